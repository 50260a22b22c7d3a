import numpy as np
import pytest

from geoseg.patches.record import Patch, PatchTable
from geoseg.raster.window import Window
from geoseg.training.data import Jitter

SIZE = 8


def table(*places, source=0):
    return [
        Patch(
            source=source,
            window=Window(row_off=row, col_off=col, height=SIZE, width=SIZE),
            split="train",
            valid_share=1.0,
            class_shares=(1.0,),
        )
        for row, col in places
    ]


def window_grid(rows, cols):
    return [(row, col) for row in rows for col in cols]


def windows(patches, draws=400):
    """Where each patch is seen: the set of its offsets from its place."""
    jitter = Jitter.of_split(PatchTable.of(patches, size=SIZE))
    rng = np.random.default_rng(0)
    seen = []
    for number, patch in enumerate(patches):
        moved = [jitter.moved(patch, number, rng).window for _ in range(draws)]
        seen.append(
            {
                (window.row_off - patch.window.row_off, window.col_off - patch.window.col_off)
                for window in moved
            }
        )
    return seen


def square(rows, cols):
    return {(row, col) for row in rows for col in cols}


def test_a_window_moves_half_the_way_to_its_neighbours():
    seen = windows(table(*window_grid((0, 4, 8), (0, 4, 8))))

    assert seen[4] == square(range(-2, 3), range(-2, 3))
    assert seen[0] == square(range(3), range(3))  # the edge of the raster, or of the split
    assert seen[8] == square(range(-2, 1), range(-2, 1))


def test_the_last_window_at_an_edge_is_nearer():
    seen = windows(table((0, 0), (0, 6), (0, 8)))

    assert seen[1] == square([0], range(-3, 2))
    assert seen[2] == square([0], range(-1, 1))


def test_without_a_neighbour_it_stays():
    assert windows(table((0, 0), (30, 30), (0, 9))) == [{(0, 0)}] * 3


def test_other_sources_are_no_neighbours():
    assert windows(table((0, 0)) + table((0, 4), source=1)) == [{(0, 0)}] * 2


def test_around_a_corner_it_moves_straight():
    seen = windows(table((0, 0), (0, 4), (4, 0)))

    assert seen[0] == {(0, 0), (0, 1), (0, 2), (1, 0), (2, 0)}


@pytest.mark.parametrize("stride", [3, 8])
def test_no_window_leaves_the_ground_of_its_split(stride):
    rng = np.random.default_rng(stride)
    places = window_grid(range(0, 60, stride), range(0, 60, stride))
    own = table(*[place for place in places if rng.random() < 0.7])
    ground = np.zeros((80, 80), bool)
    for patch in own:
        ground[patch.window.slices] = True

    jitter = Jitter.of_split(PatchTable.of(own, size=SIZE))
    moved = [jitter.moved(patch, at, rng) for _ in range(20) for at, patch in enumerate(own)]

    assert all(ground[patch.window.slices].all() for patch in moved)
    assert len({patch.window for patch in moved}) > 3 * len(own)
