from dataclasses import replace

import numpy as np
import pytest
import shapely
from scenes import ground

from geoseg.patches.duplicates import Leaks, partners
from geoseg.patches.patch_set import PatchSet
from geoseg.patches.splits import patch_footprints
from geoseg.raster.window import Window


@pytest.fixture
def leaks_of(make_set):
    """A function that places patches: source, row, column, and split of each."""

    def make(*rows):
        patch_set = make_set(*({"image": ground(32, 32, seed)} for seed in range(2)))
        patches = [
            replace(
                patch_set.patches[0],
                source=source,
                window=Window(row_off=row, col_off=col, height=32, width=32),
                split=split,
            )
            for source, row, col, split in rows
        ]
        return Leaks(PatchSet(patch_set.folder, patch_set.record, patches))

    return make


def test_windows_of_one_source_in_two_splits_leak_where_they_overlap(leaks_of):
    leaks = leaks_of((0, 0, 0, "train"), (0, 0, 32, "val"), (0, 16, 32, "train"), (1, 0, 0, "test"))

    leaks.by_place(np.array([None] * 4))

    assert leaks.partner == {1: 2, 2: 1}  # that touches the first, and the other source is apart
    assert leaks.spared == {2}
    assert leaks.details == ["the footprints of 2 patches reach into another split"]


def test_partners_overlap_by_more_than_a_hair():
    mine = np.array([shapely.box(0, 0, 100, 100), None, shapely.box(300, 0, 400, 100)], object)
    touching, reaching = shapely.box(99, 0, 199, 100), shapely.box(95, 95, 195, 195)

    assert partners(mine, np.array([touching, reaching])).tolist() == [1, -1, -1]
    assert partners(mine, np.array([None, touching], object)).tolist() == [-1, -1, -1]
    assert partners(mine, mine[:0]).tolist() == [-1, -1, -1]


def test_partners_are_mutual_whatever_their_sizes():
    """A hair of the larger is more than one of the smaller."""
    large, small = np.array([shapely.box(0, 0, 100, 100)]), np.array([shapely.box(99, 0, 109, 10)])

    assert partners(large, small).tolist() == partners(small, large).tolist()


def test_footprints_of_pictures_are_on_no_ground(make_set):
    patch_set = make_set({"image": ground(32, 32)}, {"image": ground(32, 32)})

    assert not patch_footprints(patch_set).any()
