from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest

from geoseg.errors import OutputExistsError, PatchSetError
from geoseg.training.options import TrainOptions
from geoseg.training.run_folder import draw_samples

OPTIONS = TrainOptions(augment="strong,mixup", oversample="rare", samples_per_epoch=4)


@pytest.fixture(scope="module")
def sheet(patches, tmp_path_factory):
    """A function that draws a sheet and gives its pixels, (height, width, 3) 0..1."""

    def draw(options):
        path = tmp_path_factory.mktemp("sheet") / "sheet.png"
        draw_samples(patches, path, options=options)
        return matplotlib.image.imread(path)[..., :3]

    return draw


def test_a_sheet_shows_what_the_options_do(sheet):
    changed, plain = sheet(OPTIONS), sheet(replace(OPTIONS, augment="none"))

    assert changed.shape == plain.shape
    first = changed.shape[1] // 5
    assert np.array_equal(changed[:, :first], plain[:, :first])  # as tiled
    differ = (changed != plain).any(axis=(0, 2))
    assert all(part.mean() > 0.5 for part in np.array_split(differ[first:], 4))


def test_without_a_change_all_epochs_are_alike(sheet):
    plain = sheet(replace(OPTIONS, augment="none"))[30:]

    columns = np.array_split(plain, 5, axis=1)
    assert all(abs(each - columns[0]).mean() < 0.02 for each in columns)
    assert columns[0].std() > 0.1


def test_a_sheet_in_the_way_stays(patches, tmp_path):
    path = tmp_path / "sheet.png"
    path.write_text("mine")

    with pytest.raises(OutputExistsError, match="--overwrite"):
        draw_samples(patches, path, options=OPTIONS)
    assert path.read_text() == "mine"


def test_what_is_no_patch_set_gives_no_sheet(tmp_path):
    with pytest.raises(PatchSetError):
        draw_samples(tmp_path, tmp_path / "sheet.png", options=OPTIONS)
    assert not (tmp_path / "sheet.png").exists()
