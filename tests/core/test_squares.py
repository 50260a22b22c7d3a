import numpy as np
import pytest

from geoseg.core.squares import Squares
from geoseg.core.window import Window, blocks


def counted(squares, kinds, counts, how_many, *, rows, cols):
    """The table of squares, tallied in blocks."""
    parts = [
        squares.tally(kinds[each.slices], each, counts=counts[each.slices], how_many=how_many)
        for each in blocks(*kinds.shape, rows=rows, cols=cols)
    ]
    return squares.matrix(parts, how_many).toarray()


def test_a_small_map_written_out():
    kinds = np.array([[0, 0, 1], [0, 1, 1], [1, 1, 1]])
    counts = kinds >= 0
    counts[0, 1] = False

    table = counted(Squares(side=2, height=3, width=3), kinds, counts, 2, rows=3, cols=3)

    assert table.tolist() == [[2, 1], [0, 2], [0, 2], [0, 1]]


@pytest.mark.parametrize("side", [1, 4, 7, 40])
@pytest.mark.parametrize(("rows", "cols"), [(30, 50), (8, 50), (5, 13)])
@pytest.mark.parametrize("how_many", [3, 1000])
def test_blocks_add_up_to_a_histogram_of_each_square(side, rows, cols, how_many):
    rng = np.random.default_rng(side)
    kinds = rng.integers(0, how_many, (30, 50))
    counts = rng.random(kinds.shape) > 0.3
    squares = Squares(side=side, height=30, width=50)

    table = counted(squares, kinds, counts, how_many, rows=rows, cols=cols)

    for number in range(len(squares)):
        here = squares.window(number).slices
        expected = np.bincount(kinds[here][counts[here]], minlength=how_many)
        assert (table[number] == expected).all()
    assert len(table) == len(squares)


def test_squares_cover_a_map_once():
    squares = Squares(side=4, height=6, width=9)
    cover = np.zeros((6, 9), int)

    for number in range(len(squares)):
        cover[squares.window(number).slices] += 1

    assert (cover == 1).all()
    assert squares.window(5) == Window(row_off=4, col_off=8, height=2, width=1)


def test_nothing_tallied_is_an_empty_table():
    squares = Squares(side=4, height=8, width=8)

    assert squares.matrix([], 2).toarray().tolist() == [[0, 0]] * 4
