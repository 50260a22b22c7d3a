import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import numpy as np
import pytest
from affine import Affine

from geoseg.errors import RasterError
from geoseg.labels.legend import IGNORE, Legend
from geoseg.patches import extract as source_module
from geoseg.patches.extract import has_enough, open_source, region, runs, survey
from geoseg.patches.record import Source, TileOptions
from geoseg.raster.grid import Grid
from geoseg.raster.reader import ReadOptions
from geoseg.raster.window import sliding_windows

LEGEND = Legend.from_dict({"ignore": [255], "class": [{"name": "a"}, {"name": "b"}, {"name": "c"}]})


def surveyed(ortho, reference, options):
    source = Source(name="a", ortho=ortho, reference=reference)
    with open_source(source, LEGEND, options) as opened, ThreadPoolExecutor(2) as pool:
        return survey(opened, runs(opened.grid, options), len(LEGEND), pool)


def options(size, stride, edge="shift", **more):
    return TileOptions(patch_size=size, stride=stride, edge=edge, **more)


@pytest.fixture
def files(write_raster):
    """A function that writes a random orthophoto with holes and a reference with gaps."""

    def write(height, width):
        rng = np.random.default_rng(height)
        image = rng.integers(1, 250, (2, height, width), np.uint8)
        image[:, rng.random((height, width)) < 0.3] = 0
        truth = rng.choice([0, 1, 2, 255], (height, width)).astype(np.uint8)
        return (
            write_raster("a.tif", image, nodata=0),
            write_raster("truth.tif", truth),
            image,
            truth,
        )

    return write


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 30), (8, 8), (9, 7), (21, 34)])
@pytest.mark.parametrize(("size", "stride"), [(8, 8), (8, 3), (5, 4)])
@pytest.mark.parametrize("edge", ["shift", "spread", "pad", "drop"])
def test_shares_agree_with_counting_each_window(files, height, width, size, stride, edge):
    ortho, reference, image, truth = files(height, width)
    valid = (image != 0).any(axis=0)

    found = surveyed(ortho, reference, options(size, stride, edge))

    windows = list(sliding_windows(height, width, size=size, stride=stride, edge=edge))
    for window, (share, *classes) in zip(windows, found, strict=True):
        here = valid[window.slices]
        labels = truth[window.slices][here]
        assert share * size**2 == pytest.approx(here.sum())
        assert np.array(classes) * size**2 == pytest.approx(np.bincount(labels, minlength=256)[:3])


def test_a_wide_raster_is_read_in_parts(files, monkeypatch):
    ortho, reference, _, _ = files(12, 100)
    whole = surveyed(ortho, reference, options(8, 3))
    monkeypatch.setattr(source_module, "RUN_COLUMNS", 20)

    parts = surveyed(ortho, reference, options(8, 3))

    assert (parts == whole).all()


def test_runs_hold_every_window_once_and_are_not_too_wide(files, monkeypatch):
    monkeypatch.setattr(source_module, "RUN_COLUMNS", 20)
    with open_source(
        Source(name="a", ortho=(paths := files(12, 100))[0], reference=paths[1]),
        LEGEND,
        options(8, 3),
    ) as opened:
        todo = runs(opened.grid, options(8, 3))

        assert list(chain(*todo)) == list(sliding_windows(12, 100, size=8, stride=3))
        assert max(region(run, opened.grid).width for run in todo) <= 20
        assert len({run[0].row_off for run in todo}) == 3


def test_nothing_is_known_where_there_is_no_data(files):
    ortho, reference, image, _ = files(8, 8)
    source = Source(name="a", ortho=ortho, reference=reference)

    with open_source(source, LEGEND, options(8, 8)) as opened:
        pixels = opened.ortho.read(opened.grid.window)
        mask = opened.mask(opened.grid.window, pixels.valid)

    assert (pixels.valid == (image != 0).any(axis=0)).all()
    assert (mask[~pixels.valid] == IGNORE).all()


def test_without_nodata_all_is_valid(files):
    ortho, reference, _, _ = files(8, 8)

    found = surveyed(ortho, reference, options(8, 8, read=ReadOptions(nodata="none")))

    assert found[:, 0].tolist() == [1]


@pytest.mark.parametrize(
    ("min_valid", "min_labelled", "kept"),
    [
        (0, 0, [True, True, False, False]),
        (0.5, 0, [True, True, False, False]),
        (0.6, 0, [True, False, False, False]),
        (0, 0.3, [True, False, False, False]),
        (0, 0.9, [False, False, False, False]),
    ],
)
def test_windows_with_too_little_on_them_are_left_out(min_valid, min_labelled, kept):
    shares = np.array([[1, 0.1, 0.2], [0.5, 0.05, 0.2], [1, 0, 0], [0, 0, 0]])

    found = has_enough(shares, options(2, 2, min_valid=min_valid, min_labelled=min_labelled))

    assert found.tolist() == kept


class FailingSource:
    """Fails in its first row while another thread is still busy with the second."""

    grid = Grid(None, Affine.identity(), 16, 8)

    def __init__(self):
        self.busy = threading.Event()
        self.failed = threading.Event()
        self.finished = threading.Event()

    def valid(self, window):
        if window.row_off == 0:
            self.busy.wait(10)
            self.failed.set()
            raise RasterError("why")
        self.busy.set()
        self.failed.wait(10)
        self.finished.wait(0.3)  # time for the failure to arrive
        self.finished.set()
        return np.ones((window.height, window.width), bool)

    def mask(self, _window, valid):
        return valid.astype(np.uint8)


def test_no_thread_reads_any_more_when_a_failure_comes_out():
    source = FailingSource()
    chosen = options(8, 8)

    with ThreadPoolExecutor(2) as pool:
        with pytest.raises(RasterError, match="why"):
            survey(source, runs(source.grid, chosen), len(LEGEND), pool)

        assert source.finished.is_set()
