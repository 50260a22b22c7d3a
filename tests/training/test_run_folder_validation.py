import numpy as np
import torch
from PIL import Image

from geoseg.patches.patch_set import PatchSet
from geoseg.training.run_folder import draw_validation


class Right:
    """Knows the classes by their colours."""

    device = "cpu"

    def eval(self):
        """Nothing to switch."""

    def __call__(self, images):
        bright = images.nan_to_num().mean(dim=1, keepdim=True) > 110
        return torch.cat([~bright, bright], dim=1).float()


def test_a_row_per_patch_with_the_colours_of_the_legend(patches, tmp_path):
    patch_set = PatchSet.open(patches)

    draw_validation(tmp_path / "v.png", Right(), patch_set, patch_set.in_split("val"))

    pixels = np.asarray(Image.open(tmp_path / "v.png").convert("RGB"))
    for each in patch_set.record.legend.classes:
        shares = (pixels == each.color).all(axis=2)
        thirds = np.array_split(shares, 3, axis=1)
        assert not thirds[0].any()
        assert thirds[1].any()
        assert thirds[2].any()


def test_without_patches_there_is_no_picture(patches, tmp_path):
    draw_validation(tmp_path / "v.png", Right(), PatchSet.open(patches), [])

    assert list(tmp_path.iterdir()) == []
