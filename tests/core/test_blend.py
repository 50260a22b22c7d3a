import numpy as np
import pytest

from geoseg.core.blend import Lattice, WindowScores, axis_weights, blend, taper
from geoseg.core.scores import IGNORE, classify
from geoseg.core.window import Window, sliding_windows

SHAPES = [(1, 1), (1, 23), (7, 23), (8, 8), (7, 9), (23, 5), (30, 17)]
SIZES_AND_STRIDES = [(4, 1), (4, 4), (5, 3), (8, 3), (9, 4)]


def cut(scores, valid, lattice):
    """The windows of a whole map, padded where they hang over."""
    _, height, width = scores.shape
    for window in sliding_windows(height, width, size=lattice.size, stride=lattice.stride):
        rows, cols = window.clip(height, width).slices
        around = (
            (0, max(window.row_stop - height, 0)),
            (0, max(window.col_stop - width, 0)),
        )
        part = np.pad(scores[:, rows, cols], ((0, 0), *around), constant_values=9)
        yield WindowScores(window, part, np.pad(valid[rows, cols], around))


def paste(strips):
    parts = list(strips)
    return np.concatenate([p.scores for p in parts], 1), np.concatenate([p.valid for p in parts])


def random_map(height, width, holes=0.0):
    rng = np.random.default_rng(height * 100 + width)
    return rng.random((3, height, width), np.float32), rng.random((height, width)) >= holes


def constant(value, *, col_off, valid=True):
    window = Window(row_off=0, col_off=col_off, height=4, width=4)
    scores = np.full((1, 4, 4), value, np.float32)
    return WindowScores(window, scores, np.full((4, 4), valid))


def test_scores_fade_across_the_overlap():
    lattice = Lattice(height=4, width=6, size=4, stride=2)

    [strip] = blend([constant(0, col_off=0), constant(1, col_off=2)], lattice)

    left, right = np.sin(np.pi * np.array([2.5, 0.5]) / 4) ** 2  # at column 2
    fade = right / (left + right)
    assert strip.window == Window(row_off=0, col_off=0, height=4, width=6)
    for row in strip.scores[0]:
        assert row == pytest.approx([0, 0, fade, 1 - fade, 1, 1], abs=1e-6)


def test_a_window_that_is_not_valid_weighs_nothing():
    lattice = Lattice(height=4, width=6, size=4, stride=2)

    [strip] = blend([constant(0.25, col_off=0), constant(1, col_off=2, valid=False)], lattice)

    assert (strip.scores[0] == [[0.25] * 4 + [0] * 2] * 4).all()
    assert (strip.valid == [[True] * 4 + [False] * 2] * 4).all()


@pytest.mark.parametrize("size", [1, 2, 5, 64])
def test_the_taper_is_symmetric_and_never_zero(size):
    weights = taper(size)

    assert weights == pytest.approx(weights[::-1])
    assert weights.min() > 0
    assert weights[(size - 1) // 2] == pytest.approx(weights.max())


@pytest.mark.parametrize("length", [1, 3, 4, 5, 8, 9, 10, 27])
@pytest.mark.parametrize(("size", "stride"), SIZES_AND_STRIDES)
def test_weights_sum_to_one_at_every_coordinate(length, size, stride):
    total = np.zeros(max(length, size))
    for start, weights in axis_weights(length, size, stride).items():
        total[start : start + size] += weights

    assert total[:length] == pytest.approx(1, abs=1e-6)
    assert (total[length:] == 0).all()


@pytest.mark.parametrize(("height", "width"), SHAPES)
@pytest.mark.parametrize(("size", "stride"), SIZES_AND_STRIDES)
def test_windows_of_a_map_blend_back_to_it(height, width, size, stride):
    lattice = Lattice(height, width, size, stride)
    scores, valid = random_map(height, width, holes=0.3)

    blended, found = paste(blend(cut(scores, valid, lattice), lattice))

    assert (found == valid).all()
    assert blended[:, valid] == pytest.approx(scores[:, valid], abs=1e-6)
    assert (blended[:, ~valid] == 0).all()


@pytest.mark.parametrize(("height", "width"), [(7, 23), (23, 5), (30, 17)])
@pytest.mark.parametrize(("size", "stride"), SIZES_AND_STRIDES)
def test_blending_in_strips_agrees_with_a_map_held_whole(height, width, size, stride):
    lattice = Lattice(height, width, size, stride)
    rng = np.random.default_rng(1)
    parts = [
        part._replace(
            scores=rng.random(part.scores.shape, np.float32),
            valid=part.valid & (rng.random(part.valid.shape) > 0.4),
        )
        for part in cut(*random_map(height, width), lattice)
        if rng.random() > 0.2
    ]
    side = max(height, width, size)
    total, weight = np.zeros((3, side, side)), np.zeros((side, side))
    for part in parts:
        weights = (
            np.outer(
                taper_in_sum(height, part.window.row_off, size, stride),
                taper_in_sum(width, part.window.col_off, size, stride),
            )
            * part.valid
        )
        total[:, *part.window.slices] += part.scores * weights
        weight[part.window.slices] += weights

    blended, found = paste(blend(parts, lattice))

    total, weight = total[:, :height, :width], weight[:height, :width]
    assert (found == (weight > 0)).all()
    assert blended[:, found] == pytest.approx(total[:, found] / weight[found], abs=1e-5)


def taper_in_sum(length, start, size, stride):
    """The taper of one window over the sum of all tapers, written as the design has it."""
    last = max(length - size, 0)
    starts = [*range(0, last, stride), last]
    here = np.arange(start, start + size)
    return taper(size) / sum(
        np.where((here >= s) & (here < s + size), np.sin(np.pi * (here - s + 0.5) / size) ** 2, 0)
        for s in starts
    )


@pytest.mark.parametrize(("size", "stride"), SIZES_AND_STRIDES)
def test_constant_scores_blend_to_that_constant_up_to_the_outermost_ring(size, stride):
    lattice = Lattice(19, 22, size, stride)
    scores = np.full((2, 19, 22), 0.7, np.float32)

    blended, valid = paste(blend(cut(scores, np.ones((19, 22), bool), lattice), lattice))

    assert valid.all()
    assert blended == pytest.approx(0.7, abs=1e-6)


def test_a_hole_of_nodata_changes_no_neighbour():
    lattice = Lattice(20, 20, 8, 3)
    scores, valid = random_map(20, 20)
    holed = valid.copy()
    holed[6:11, 4:15] = False
    garbage = np.where(holed, scores, np.float32(1e6))

    whole, _ = paste(blend(cut(scores, valid, lattice), lattice))
    around, found = paste(blend(cut(garbage, holed, lattice), lattice))

    assert (found == holed).all()
    assert around[:, holed] == pytest.approx(whole[:, holed], abs=1e-6)


@pytest.mark.parametrize("kept", [[0], [-1], [7], [0, -1], range(3, 9)])
def test_skipped_windows_never_stop_the_buffer(kept):
    lattice = Lattice(26, 11, 6, 4)
    parts = list(cut(*random_map(26, 11), lattice))
    chosen = sorted((parts[index] for index in kept), key=lambda part: part.window)

    strips = list(blend(chosen, lattice))

    _, valid = paste(strips)
    covered = np.zeros((26, 11), bool)
    for part in chosen:
        covered[part.window.slices] = True
    assert [strip.window for strip in strips] == lattice.strips
    assert (valid == covered).all()


def test_ground_without_any_window_is_not_class_zero():
    lattice = Lattice(4, 6, 4, 2)

    [strip] = blend([constant(0.9, col_off=0)], lattice)

    assert classify(strip.scores, strip.valid).tolist() == [[0] * 4 + [IGNORE] * 2] * 4


def test_a_strip_leaves_as_soon_as_no_later_window_reaches_it():
    lattice = Lattice(10, 4, 4, 2)
    taken = []

    def windows():
        for part in cut(*random_map(10, 4), lattice):
            taken.append(part.window.row_off)
            yield part

    first = next(blend(windows(), lattice))

    assert first.window == Window(row_off=0, col_off=0, height=2, width=4)
    assert taken == [0, 2]


@pytest.mark.parametrize(("height", "width"), SHAPES)
@pytest.mark.parametrize(("size", "stride"), SIZES_AND_STRIDES)
def test_strips_cover_the_raster_from_top_to_bottom(height, width, size, stride):
    lattice = Lattice(height, width, size, stride)
    rows = [row for s in lattice.strips for row in range(s.row_off, s.row_stop)]

    assert rows == list(range(height))
    assert lattice.window_count == len(
        list(sliding_windows(height, width, size=size, stride=stride))
    )


def test_nothing_to_blend_is_refused():
    with pytest.raises(ValueError, match="nothing to blend"):
        list(blend([], Lattice(4, 4, 4, 4)))


@pytest.mark.parametrize("offs", [[(0, 1)], [(1, 0)], [(4, 0), (0, 0)], [(9, 0)]])
def test_windows_off_the_lattice_or_out_of_order_are_refused(offs):
    parts = [
        WindowScores(
            Window(row_off=row, col_off=col, height=4, width=4),
            np.zeros((1, 4, 4), np.float32),
            np.ones((4, 4), bool),
        )
        for row, col in offs
    ]

    with pytest.raises(ValueError, match="is not on"):
        list(blend(parts, Lattice(8, 8, 4, 4)))
