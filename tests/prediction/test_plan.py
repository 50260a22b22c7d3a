from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from rules import random_image

from geoseg.errors import BundleError, EmptyError, InputError
from geoseg.prediction.map_writer import MapOutputs
from geoseg.prediction.plan import PredictOptions
from geoseg.prediction.predict import plan_map
from geoseg.raster.window import Window


@pytest.fixture
def plan(write_raster, bundle):
    """A function that plans the prediction of an orthophoto of some size."""

    def make(height, width, **options):
        ortho = write_raster("ortho.tif", random_image(height, width))
        return plan_map(ortho, [bundle], PredictOptions(**options))

    return make


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [
        (5, 7, 32),  # one window, of a multiple of 32
        (33, 9, 64),
        (600, 700, 736),  # which hangs over
        (512, 512, 544),  # what fits exactly gets a larger window, not four of them
        (1024, 1024, 1056),
        (1920, 1920, 1056),  # 2 x 2 windows, none of them wasted
        (2048, 2048, 768),  # 3 x 3 of 768 px, where 1056 px would be 3 x 3 as well
        (30, 3000, 512),  # a strip: of large windows most would hang over
    ],
)
def test_windows_are_as_large_as_divides_the_orthophoto_without_waste(plan, height, width, size):
    window_grid = plan(height, width).window_grid

    assert (window_grid.size, window_grid.stride) == (size, size - size // 8)


@pytest.mark.parametrize("length", [1, 31, 32, 33, 256, 480, 512, 513, 640, 1000, 1024, 1056, 3000])
def test_windows_hang_over_the_edge_whatever_the_size_of_the_orthophoto(plan, length):
    for height, width in ((length, length), (length, 2000)):
        window_grid = plan(height, width).window_grid

        for steps, side in ((window_grid.rows, height), (window_grid.cols, width)):
            first, last = (steps(window_grid.whole)[at].start for at in (0, -1))
            assert -first >= window_grid.overhang > 0
            assert last + window_grid.size - side >= window_grid.overhang


def test_windows_of_a_size_that_the_user_has_chosen_are_no_more_for_hanging_over(plan):
    assert plan(512, 512, patch_size=512).windows == 1
    assert plan(64, 96, patch_size=32, overlap=0).windows == 2 * 3


def test_larger_windows_are_not_taken_where_they_compute_as_much(bundle):
    assert PredictOptions().size(bundle, 9000, 9000) == 640  # 1024 px would hold twice as much


def test_windows_are_never_smaller_than_training_patches(write_raster, bundle):
    ortho = write_raster("ortho.tif", random_image(600, 600))
    large = replace(bundle, patch_size=2048)

    assert plan_map(ortho, [large], PredictOptions()).window_grid.size == 2048


@pytest.mark.parametrize(
    ("sizes", "side", "chosen"),
    [
        ((224,), 100, 224),
        ((224,), 3000, 224),
        ((224, 448, 672, 896), 200, 224),
        ((224, 448, 672, 896), 440, 448),
        ((), 3000, 512),
        (None, 3000, 512),
    ],
)
def test_windows_are_of_a_size_that_the_network_takes(bundle, sizes, side, chosen):
    particular = replace(bundle, patch_size=sizes[0] if sizes else 8, sizes=sizes)

    assert PredictOptions().size(particular, side, side) == chosen


def test_a_size_that_the_network_does_not_take_is_refused_with_those_that_it_does(bundle):
    with pytest.raises(BundleError, match="windows of 300 px; choose --patch-size 224"):
        PredictOptions(patch_size=300).size(replace(bundle, sizes=(224,)), 900, 900)


def test_stride_and_overlap_say_the_same(plan):
    assert plan(50, 50, patch_size=20, stride=15) == plan(50, 50, patch_size=20, overlap=5)


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ({"stride": 33}, r"--stride 33: windows are of 32 px here, so it must be in 1\.\.32"),
        ({"overlap": 32}, r"--overlap 32: windows are of 32 px here, so it must be in 0\.\.31"),
    ],
)
def test_windows_that_leave_gaps_or_do_not_move_are_refused(plan, steps, reason):
    with pytest.raises(InputError, match=f"{reason}; .* --patch-size"):
        plan(9, 9, **steps)


def test_windows_are_large_enough_for_the_overlap(plan):
    window_grid = plan(1500, 4, overlap=900).window_grid

    assert (window_grid.size, window_grid.stride) == (1056, 156)


def test_a_batch_has_no_more_windows_than_the_map_has(plan):
    assert plan(50, 50, patch_size=32, overlap=0, batch_size=1000).batch_size == 4
    assert plan(2000, 4, patch_size=32, overlap=0, batch_size=1000, part=(1, 2)).batch_size == 63
    assert plan(50, 50, patch_size=32, overlap=0).batch_size is None


def test_the_plan_counts_the_memory_of_batches_streams_and_layers(write_raster, bundle):
    ortho = write_raster("ortho.tif", random_image(600, 600))
    outputs = MapOutputs(class_map=Path("map.tif"), scores=Path("scores.tif"), score_type="float32")

    def memory(outputs=None, **options):
        return plan_map(ortho, [bundle], PredictOptions(patch_size=32, **options), outputs).memory

    assert memory(batch_size=8) - memory() >= 7 * 6 * 4 * 32**2 * (3 + 3)
    assert memory(outputs) - memory() == 3 * 512 * (3 * 4) * 600


def test_little_memory_makes_bands_of_whole_blocks(plan):
    some = plan(40, 3000, patch_size=64, memory=1_000_000)

    assert some.band_width % 512 == 0
    assert len(some.bands) > 1
    assert [band.col_off for band in some.bands] == list(range(0, 3000, some.band_width))
    assert some.bands[-1].col_stop == 3000
    assert some.memory < plan(40, 3000, patch_size=64).memory
    assert some.windows > plan(40, 3000, patch_size=64).windows


def test_bounds_name_all_pixels_that_they_touch(plan):
    """Pixels of half a metre from (500000, 5700000) to the right and downwards."""
    bounds = (500_001.2, 5_699_990, 500_003, 5_699_998.9)

    found = plan(60, 60, bounds=bounds).region

    assert found == Window(row_off=2, col_off=2, height=18, width=4)


def test_bounds_elsewhere_are_refused_with_those_of_the_orthophoto(plan):
    with pytest.raises(EmptyError, match=r"--bounds lie outside; they are \(500000.0, "):
        plan(60, 60, bounds=(0, 0, 1, 1))


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_parts_are_whole_blocks_and_make_up_the_map(plan, count):
    regions = [plan(2500, 4, part=(index, count)).region for index in range(1, count + 1)]

    assert regions[0].row_off == 0
    for above, below in pairwise(regions):
        assert below.row_off == above.row_stop
        assert below.row_off % 512 == 0
    assert regions[-1].row_stop == 2500
    assert np.ptp([region.height // 512 for region in regions]) <= 1


def test_more_parts_than_blocks_are_refused(plan):
    with pytest.raises(InputError, match="divides into 2 parts at most"):
        plan(1000, 4, part=(1, 3))
