import threading
import time

import numpy as np
import pytest

from geoseg.errors import BundleError, RasterError
from geoseg.prediction.blend import WindowGrid, blend
from geoseg.prediction.score import score
from geoseg.raster.reader import RasterReader
from geoseg.raster.window import Window, sliding_windows

SIZE = 8
SHAPES = [(1, 1), (1, 23), (23, 1), (7, 9), (9, 7), (8, 8), (17, 31)]


def its_input(images):
    """Scores that are the pixels: what is blended must be the orthophoto."""
    return np.nan_to_num(images, nan=0)


def of_its_mean(images):
    """Scores that depend on all that a window holds, as a network's do."""
    filled = np.nan_to_num(images, nan=0)
    return np.clip(0.5 * filled + 0.5 * filled.mean(axis=(2, 3), keepdims=True), 0, 1)


def random_ortho(height, width, holes=0.2):
    """Random brightness and holes of nodata; at least one pixel has data."""
    rng = np.random.default_rng(height * 100 + width)
    image = rng.random((3, height, width), np.float32)
    image[:, rng.random((height, width)) < holes] = np.nan
    image[:, 0, 0] = 0.5
    return image


def windows_of(window_grid):
    return window_grid.windows(window_grid.whole)


def whole_map(path, segmenter, stride, *, overhang=0, **options):
    """All cells of a map in one chunk; 0 where nothing counts."""
    with RasterReader(path) as ortho:
        height, width = ortho.grid.height, ortho.grid.width
        window_grid = WindowGrid(height, width, SIZE, stride, overhang=overhang)
        parts = score(ortho, segmenter, windows_of(window_grid), **options)
        shape = ortho.grid.height, ortho.grid.width
        scores, valid = np.zeros((3, *shape), np.float32), np.zeros(shape, bool)
        for cell in blend(parts, window_grid):
            where = cell.window.slices
            scores[(slice(len(cell.scores)), *where)] = np.where(cell.valid, cell.scores, 0)
            valid[where] = cell.valid
    return scores, valid


def test_windows_come_in_reading_order_with_the_pixels_that_count(write_raster):
    image = np.ones((1, 4, 4), np.uint8)
    image[0, 1, 2] = 0
    path = write_raster("ortho.tif", image, nodata=0)

    with RasterReader(path) as ortho:
        parts = list(score(ortho, its_input, windows_of(WindowGrid(4, 4, 2, 2))))

    assert [(part.window.row_off, part.window.col_off) for part in parts] == [
        (0, 0),
        (0, 2),
        (2, 0),
        (2, 2),
    ]
    assert parts[0].scores.tolist() == [[[1, 1], [1, 1]]]
    assert parts[1].scores.tolist() == [[[1, 1], [0, 1]]]
    assert parts[1].valid.tolist() == [[True, True], [False, True]]


def test_the_segmenter_sees_floats_with_nan_where_there_is_no_data(write_raster):
    path = write_raster("ortho.tif", np.array([[7, 0], [9, 11]], np.uint8), nodata=0)
    seen = []

    def look(images):
        seen.append(images)
        return its_input(images)

    with RasterReader(path) as ortho:
        list(score(ortho, look, windows_of(WindowGrid(2, 2, 2, 2))))

    [images] = seen
    assert images.dtype == np.float32
    np.testing.assert_array_equal(images, [[[[7, np.nan], [9, 11]]]])


@pytest.mark.parametrize("overhang", [0, 1, 3])
@pytest.mark.parametrize("stride", [1, 5, 8])
@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_an_orthophoto_that_scores_itself_comes_back(write_raster, height, width, stride, overhang):
    image = random_ortho(height, width)

    path = write_raster("o.tif", image)
    scores, valid = whole_map(path, its_input, stride, overhang=overhang)

    with_data = ~np.isnan(image[0])
    assert (valid == with_data).all()
    assert scores[:, valid] == pytest.approx(image[:, valid], abs=1e-5)
    assert (scores[:, ~valid] == 0).all()


def test_windows_beyond_the_edge_show_reflected_ground_that_does_not_count(write_raster):
    path = write_raster("o.tif", np.array([[1, 2, 3]], np.uint8))
    with RasterReader(path) as ortho:
        [part] = score(ortho, its_input, windows_of(WindowGrid(1, 3, 5, 4, overhang=1)))

    assert (part.window.row_off, part.window.col_off) == (-2, -1)
    assert part.scores[0, 2].tolist() == [1, 1, 2, 3, 3]
    assert part.valid.tolist() == [[False, row == 2, row == 2, row == 2, False] for row in range(5)]


@pytest.mark.parametrize("overhang", [0, 3])
@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_constant_scores_stay_constant(write_raster, height, width, overhang):
    def constant(images):
        shape = (len(images), 1, *images.shape[2:])
        return np.concatenate([np.full(shape, value, np.float32) for value in (0.3, 0.7)], axis=1)

    path = write_raster("o.tif", random_ortho(height, width))

    scores, valid = whole_map(path, constant, 5, overhang=overhang)

    assert scores[0][valid] == pytest.approx(0.3, abs=1e-6)
    assert scores[1][valid] == pytest.approx(0.7, abs=1e-6)


@pytest.mark.parametrize("stride", [3, 5, 8])
@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_blended_scores_equal_sums_over_the_whole_map(write_raster, height, width, stride):
    path = write_raster("o.tif", random_ortho(height, width))
    bell = np.sin(np.pi * (np.arange(SIZE) + 0.5) / SIZE) ** 2
    reach = height + SIZE, width + SIZE
    total, weight = np.zeros((3, *reach)), np.zeros(reach)
    with RasterReader(path) as ortho:
        for window in sliding_windows(height, width, size=SIZE, stride=stride, edge="spread"):
            image, valid = ortho.read_floats(window)
            counted = np.outer(bell, bell) * valid
            rows, cols = window.slices
            total[:, rows, cols] += of_its_mean(image[None])[0] * counted
            weight[rows, cols] += counted
    total, weight = total[:, :height, :width], weight[:height, :width]

    scores, valid = whole_map(path, of_its_mean, stride)

    assert (valid == (weight > 0)).all()
    assert scores[:, valid] == pytest.approx(
        (total / np.maximum(weight, 1e-12))[:, valid], abs=1e-5
    )


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_the_batch_size_changes_no_score(write_raster, batch_size):
    path = write_raster("o.tif", random_ortho(17, 31))

    scores, valid = whole_map(path, of_its_mean, 5, batch_size=batch_size)

    expected, expected_valid = whole_map(path, of_its_mean, 5)
    assert (scores == expected).all()
    assert (valid == expected_valid).all()


def test_all_batches_have_one_shape_and_the_last_is_filled_up(write_raster):
    sizes = []

    def count(images):
        sizes.append(len(images))
        return its_input(images)

    _, valid = whole_map(write_raster("o.tif", random_ortho(24, 24)), count, 8, batch_size=4)

    assert sizes == [4, 4, 4]
    assert valid.any()


@pytest.mark.parametrize("streams", [1, 2, 5])
def test_windows_stay_in_order_however_many_calls_run_at_a_time(write_raster, streams):
    path = write_raster("o.tif", random_ortho(40, 40, holes=0))
    running, most = [], []

    def slow_at_first(images):
        running.append(1)
        most.append(len(running))
        time.sleep(0.02 if len(most) % 3 == 1 else 0)
        running.pop()
        return its_input(images)

    with RasterReader(path) as ortho:
        parts = list(
            score(ortho, slow_at_first, windows_of(WindowGrid(40, 40, 8, 8)), streams=streams)
        )

    assert [part.window for part in parts] == sorted(part.window for part in parts)
    assert len(parts) == 25
    assert max(most) <= streams


def test_windows_off_the_ground_are_not_read(write_raster):
    class Corner:
        def read(self, window):
            return np.full((8, 8), (window.row_off, window.col_off) == (8, 0))

    path = write_raster("o.tif", random_ortho(16, 16, holes=0))
    with RasterReader(path) as ortho:
        seen = []

        class Watched:
            def read_floats(self, window):
                seen.append(window)
                return ortho.read_floats(window)

        parts = list(
            score(Watched(), its_input, windows_of(WindowGrid(16, 16, 8, 8)), ground=Corner())
        )

    assert [part.window for part in parts] == seen
    assert [(w.row_off, w.col_off) for w in seen] == [(8, 0)]


def test_windows_without_data_are_skipped_and_change_nothing_elsewhere(write_raster):
    image = random_ortho(8, 40, holes=0)
    whole = write_raster("whole.tif", image)
    image[:, :, 16:32] = np.nan
    holed = write_raster("holed.tif", image)
    with RasterReader(holed) as ortho:
        scored = [
            part.window.col_off
            for part in score(ortho, its_input, windows_of(WindowGrid(8, 40, 8, 8)))
        ]

    scores, valid = whole_map(holed, of_its_mean, 8)

    before, _ = whole_map(whole, of_its_mean, 8)
    assert scored == [0, 8, 32]
    assert (scores[:, valid] == before[:, valid]).all()
    assert not valid[:, 16:32].any()


def test_a_hole_changes_no_neighbour(write_raster):
    image = random_ortho(20, 20, holes=0)
    before, _ = whole_map(write_raster("whole.tif", image), its_input, 3)
    image[:, 9:12, 9:12] = np.nan

    scores, valid = whole_map(write_raster("holed.tif", image), its_input, 3)

    assert np.count_nonzero(~valid) == 9
    assert scores[:, valid] == pytest.approx(before[:, valid], abs=1e-6)


def test_an_orthophoto_without_data_gives_nothing(write_raster):
    path = write_raster("empty.tif", np.zeros((3, 9, 9), np.uint8), nodata=0)

    with RasterReader(path) as ortho:
        assert list(score(ortho, its_input, windows_of(WindowGrid(9, 9, 4, 4)))) == []


def test_a_damaged_orthophoto_says_where(write_raster):
    path = write_raster("o.tif", random_ortho(64, 64), tiled=True, blockxsize=16, blockysize=16)
    path.write_bytes(path.read_bytes()[:-5000])

    with RasterReader(path) as ortho, pytest.raises(RasterError, match=r"o\.tif: cannot be read"):
        list(score(ortho, its_input, windows_of(WindowGrid(64, 64, 16, 16))))


def test_the_reading_thread_ends_when_the_stream_is_closed(write_raster):
    before = threading.active_count()
    with RasterReader(write_raster("o.tif", random_ortho(64, 64))) as ortho:
        parts = score(ortho, its_input, windows_of(WindowGrid(64, 64, 8, 8)), batch_size=1)
        first = next(parts)
        parts.close()

    assert first.window == Window(row_off=0, col_off=0, height=8, width=8)
    assert threading.active_count() == before


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_not_finite_stop_with_the_place_and_the_values_there(write_raster, value):
    image = random_ortho(16, 16, holes=0)
    image[:, 12, 3] = 9

    def overflows(images):
        scores = its_input(images)
        scores[scores == 9] = value
        return scores

    path = write_raster("o.tif", image)
    with (
        RasterReader(path) as ortho,
        pytest.raises(BundleError, match=r"not finite .* row 8, column 0, .* to 9:"),
    ):
        list(score(ortho, overflows, windows_of(WindowGrid(16, 16, 8, 8)), batch_size=3))


def test_a_failure_of_the_segmenter_ends_the_stream(write_raster):
    def fail(images):
        raise MemoryError

    before = threading.active_count()
    path = write_raster("o.tif", random_ortho(64, 64))
    with RasterReader(path) as ortho, pytest.raises(MemoryError):
        list(score(ortho, fail, windows_of(WindowGrid(64, 64, 8, 8))))

    assert threading.active_count() == before
