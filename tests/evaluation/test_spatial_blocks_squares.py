import numpy as np
import pytest

from geoseg.evaluation.spatial_blocks import Squares, SquareTable
from geoseg.raster.window import Window, blocks


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


def test_parts_cover_a_window_and_pixels_lie_in_them():
    squares = Squares(side=4, height=10, width=9)
    window = Window(row_off=3, col_off=2, height=6, width=7)
    found = np.full((10, 9), -1)

    for number, part in squares.parts(window):
        assert (found[part.slices] == -1).all()
        found[part.slices] = number

    expected = squares.of_pixels(np.arange(90)).reshape(10, 9)
    assert (found[window.slices] == expected[window.slices]).all()
    assert np.count_nonzero(found >= 0) == 6 * 7


def random_table(rng, squares, **more):
    """A table of squares that has come in twenty parts, and those parts."""
    table = SquareTable(squares, 3, **more)
    parts = []
    for _ in range(20):
        keys = np.unique(rng.integers(0, len(squares) * 3, 9))
        parts.append((keys, rng.integers(1, 5, len(keys))))
        table.add(parts[-1])
    return table, parts


@pytest.mark.parametrize("waiting", [0, 30, 1000])
def test_a_table_is_the_sum_of_its_parts_whenever_they_are_merged(monkeypatch, waiting):
    monkeypatch.setattr("geoseg.evaluation.spatial_blocks.WAITING", waiting)
    squares = Squares(side=4, height=30, width=30)

    table, parts = random_table(np.random.default_rng(0), squares)

    assert (table.counts.toarray() == squares.matrix(parts, 3).toarray()).all()
    assert table.squares == squares


@pytest.mark.parametrize("waiting", [0, 30, 1000])
def test_a_table_that_would_be_too_large_is_of_larger_squares(monkeypatch, waiting):
    monkeypatch.setattr("geoseg.evaluation.spatial_blocks.WAITING", waiting)
    squares = Squares(side=4, height=30, width=30)

    table, parts = random_table(np.random.default_rng(0), squares, most=20)

    larger = table.squares
    assert larger.side in (8, 16, 32)
    assert table.counts.nnz <= 20
    expected = np.zeros((len(larger), 3), int)
    for number, row in enumerate(squares.matrix(parts, 3).toarray()):
        here = squares.window(number)
        expected[larger.of_pixels(np.array([here.row_off * 30 + here.col_off]))] += row
    assert (table.counts.toarray() == expected).all()
