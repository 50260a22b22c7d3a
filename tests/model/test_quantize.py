from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from geoseg.errors import BundleError, EmptyError
from geoseg.labels.confusion import ConfusionMatrix
from geoseg.labels.legend import Legend
from geoseg.model.quantize import (
    Comparison,
    PatchImages,
    QuantizeOptions,
    check_loss,
    choose_samples,
    compare,
)
from geoseg.patches.patch_set import Sample
from geoseg.patches.record import Patch
from geoseg.raster.window import Window

LEGEND = Legend.from_dict({"class": [{"name": "a"}, {"name": "b"}]})


@dataclass
class Record:
    legend: Legend = LEGEND


class Patches:
    """A patch set in memory: 2x2 px, a source and a split per patch."""

    folder = "here"
    record = Record()

    def __init__(self, *patches, mask=((0, 1), (1, 255)), image=((1, 2), (3, np.nan))):
        self.patches = [
            Patch(
                source=source,
                window=Window(row_off=0, col_off=2 * column, height=2, width=2),
                split=split,
                valid_share=1,
                class_shares=(0.5, 0.5),
            )
            for column, (source, split) in enumerate(patches)
        ]
        self.sample = Sample(np.array([image], np.float32), np.array(mask, np.uint8))

    def in_split(self, split):
        return [patch for patch in self.patches if patch.split == split]

    def read(self, _):
        return self.sample


def saying(*classes):
    """A segmenter that always gives these classes."""
    scores = np.eye(2, dtype=np.float32)[np.array(classes)].transpose(2, 0, 1)
    return lambda images: np.stack([scores] * len(images))


def test_agreement_counts_pixels_with_data_and_iou_those_with_a_class():
    patches = Patches((0, "val"), (0, "train"), (0, "val"))

    found = compare(saying((0, 1), (1, 0)), saying((0, 1), (0, 1)), patches)

    assert found.record(2).agreement == pytest.approx(2 / 3)
    assert found.fp32.counts.tolist() == [[2, 0], [0, 4]]
    assert found.int8.counts.tolist() == [[2, 0], [2, 2]]
    assert found.patches == 2
    assert found.speed > 0


@pytest.mark.parametrize("mask", [((255, 255), (255, 255))])
def test_without_a_labelled_pixel_nothing_can_be_validated(mask):
    with pytest.raises(EmptyError, match="no labelled pixel"):
        compare(saying((0, 1), (1, 0)), saying((0, 1), (0, 1)), Patches((0, "val"), mask=mask))


def matrix(*rows):
    return ConfusionMatrix(np.array(rows))


def measured(wrong, agreement=1.0):
    """Of 1000 pixels of one class, so many are wrong in int8: the mean IoU falls by as many."""
    found = Comparison(None, None, Patches((0, "val")))
    found.fp32 = matrix((1000, 0), (0, 0))
    found.int8 = matrix((1000 - wrong, wrong), (0, 0))
    found.same, found.pixels = round(1000 * agreement), 1000
    return found.record(64)


@pytest.mark.parametrize(
    ("wrong", "agreement", "holds"),
    [(0, 1, True), (4, 0.99, True), (6, 0.99, False), (500, 0.5, False), (0, 0.749, False)],
)
def test_a_loss_of_half_a_point_or_another_class_in_5_percent_is_too_much(wrong, agreement, holds):
    found = measured(wrong, agreement)

    assert found.holds is holds
    assert check_loss([found], Path("model"), force=True) is not holds
    if holds:
        assert check_loss([found], Path("model"), force=False) is False
    else:
        with pytest.raises(BundleError, match=r"loses .* points of mean IoU .* --force"):
            check_loss([found], Path("model"), force=False)


def test_a_network_is_kept_if_it_holds_with_any_size_of_windows():
    assert not check_loss([measured(0), measured(9)], Path("model"), force=False)


def test_samples_come_as_evenly_from_all_sources_as_there_are_patches():
    patches = Patches(*[(0, "train")] * 20, (1, "train"), (2, "val"), *[(3, "train")] * 3)

    chosen = choose_samples(patches, QuantizeOptions(samples=9))

    assert sorted(patch.source for patch in chosen) == [0] * 5 + [1] + [3] * 3
    assert len({patch.window for patch in chosen}) == 9


def test_the_seed_decides_which_samples():
    patches = Patches(*[(0, "train")] * 20)
    ours, again, others = (
        choose_samples(patches, QuantizeOptions(samples=5, seed=seed)) for seed in (0, 0, 1)
    )

    assert ours == again
    assert ours != others


def test_without_training_patches_nothing_can_be_calibrated():
    with pytest.raises(EmptyError, match="training split"):
        choose_samples(Patches((0, "val")), QuantizeOptions())


def test_images_are_read_when_asked_for_and_progress_is_told():
    told = []
    images = PatchImages(Patches(*[(0, "train")] * 3), [1, 2, 3], lambda *each: told.append(each))

    assert len(images) == 3
    assert told == []
    assert [image.shape for image in images] == [(1, 2, 2)] * 3
    assert told == [("calibrate", done, 3) for done in (1, 2, 3)]
    assert len(images[1:]) == 2
