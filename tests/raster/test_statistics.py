from functools import reduce
from operator import add

import numpy as np
import pytest

from geoseg.raster.statistics import MAX_VALUES, PERCENTILES, SAMPLE_SIZE, BandStatistics

DTYPES = ["uint8", "int8", "uint16", "int16", "int32", "float32", "float64"]


def random_image(dtype, height=31, width=17):
    rng = np.random.default_rng(3)
    image = rng.normal(60, 20, (3, height, width)) * np.array([1, 0.5, 0.1])[:, None, None]
    return image.astype(dtype), rng.random((height, width)) > 0.3


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("holes", [True, False])
def test_statistics_agree_with_numpy(dtype, holes):
    image, valid = random_image(dtype)
    valid |= not holes
    pixels = image[:, valid].astype(float)

    found = BandStatistics.measure(image, valid)

    assert found.count == pixels.shape[1]
    assert found.mean == pytest.approx(pixels.mean(axis=1))
    assert found.std == pytest.approx(pixels.std(axis=1))
    assert (found.minimum == pixels.min(axis=1)).all()
    assert (found.maximum == pixels.max(axis=1)).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_percentiles_agree_with_numpy(dtype):
    image, valid = random_image(dtype)
    found = BandStatistics.measure(image, valid)

    for percent in (1, *PERCENTILES, 100):
        expected = np.percentile(image[:, valid], percent, axis=1, method="inverted_cdf")
        assert found.percentile(percent) == pytest.approx(expected), percent


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
@pytest.mark.parametrize("step", [1, 5, 16])
def test_the_sum_over_windows_is_the_statistic_of_the_whole(dtype, step):
    image, valid = random_image(dtype)
    rows = range(0, image.shape[1], step)

    parts = [BandStatistics.measure(image[:, r : r + step], valid[r : r + step]) for r in rows]
    total = reduce(add, parts, BandStatistics.empty(3))

    whole = BandStatistics.measure(image, valid)
    assert total.count == whole.count
    assert total.mean == pytest.approx(whole.mean)
    assert total.std == pytest.approx(whole.std)
    assert (total.minimum == whole.minimum).all()
    assert (total.maximum == whole.maximum).all()
    for percent in PERCENTILES:
        assert (total.percentile(percent) == whole.percentile(percent)).all()


def test_what_is_not_valid_does_not_count():
    image = np.array([[[1, 99], [3, 99]]], np.uint8)

    found = BandStatistics.measure(image, np.array([[True, False], [True, False]]))

    assert (found.count, found.mean.tolist(), found.std.tolist()) == (2, [2], [1])
    assert (found.minimum.tolist(), found.maximum.tolist()) == ([1], [3])


def test_nan_that_is_not_valid_spoils_nothing():
    image = np.array([[[1, np.nan], [3, np.nan]]], np.float32)

    assert BandStatistics.measure(image, ~np.isnan(image[0])).mean.tolist() == [2]


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_window_without_pixels_adds_nothing(dtype):
    image, valid = random_image(dtype)
    nothing = BandStatistics.measure(image, np.zeros_like(valid))

    assert nothing.count == 0
    assert nothing.std.tolist() == [0, 0, 0]
    assert ((nothing + BandStatistics.measure(image, valid)).mean > 0).all()
    assert (nothing + nothing).count == 0


@pytest.mark.parametrize("pixels", [1, 2, 3, 255])
def test_odd_and_even_numbers_of_bytes_are_counted_alike(pixels):
    image = np.arange(pixels, dtype=np.uint8).reshape(1, 1, pixels)

    found = BandStatistics.measure(image, np.ones((1, pixels), bool))

    assert found.values.tolist() == list(range(pixels))
    assert found.frequencies.tolist() == [[1] * pixels]


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
def test_the_ends_of_a_type_are_counted(dtype):
    ends = np.iinfo(dtype)
    image = np.array([[[ends.min, ends.max, ends.max]]], dtype)

    found = BandStatistics.measure(image, np.ones((1, 3), bool))

    assert found.values.tolist() == [ends.min, ends.max]
    assert found.frequencies.tolist() == [[1, 2]]


def test_a_bright_band_of_small_spread_keeps_its_digits():
    image = np.random.default_rng(0).normal(1e6, 0.01, (1, 64, 64))

    half = [BandStatistics.measure(part, np.ones((32, 64), bool)) for part in np.split(image, 2, 1)]

    assert (half[0] + half[1]).std == pytest.approx([image.std()], rel=1e-6)


def test_percentiles_of_many_floats_come_from_an_even_sample():
    image = np.linspace(0, 1, SAMPLE_SIZE * 4).reshape(1, 64, -1)

    found = BandStatistics.measure(image, np.ones(image.shape[1:], bool))

    assert found.frequencies.sum() == SAMPLE_SIZE
    assert found.percentile(25) == pytest.approx([0.25], abs=1e-2)


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(("bands", "dtype"), [(1, "float32"), (3, "float64"), (4, "int32")])
def test_many_windows_of_ever_new_values_are_kept_short(bands, dtype, order):
    rng = np.random.default_rng(0)
    images = rng.lognormal(7, 2, (60, bands, 1, SAMPLE_SIZE)) - rng.normal(
        0, 1000, (60, bands, 1, 1)
    )
    images = images.astype(dtype)

    parts = [
        BandStatistics.measure(each, np.ones((1, SAMPLE_SIZE), bool)) for each in images[::order]
    ]
    total = reduce(add, parts)

    assert len(total.values) <= MAX_VALUES
    assert total.frequencies.sum(axis=1).tolist() == [60 * SAMPLE_SIZE] * bands
    pixels = images.transpose(1, 0, 2, 3).reshape(bands, -1)
    for percent in PERCENTILES:
        expected = np.percentile(pixels, percent, axis=1, method="inverted_cdf")
        assert total.percentile(percent) == pytest.approx(expected, rel=0.01), percent


def test_large_integers_of_one_window_are_kept_short():
    image = np.arange(4 * MAX_VALUES, dtype=np.int32).reshape(1, 4, -1)

    found = BandStatistics.measure(image, np.ones(image.shape[1:], bool))

    assert len(found.values) <= MAX_VALUES
    assert found.mean == pytest.approx([image.mean()])
    assert found.std == pytest.approx([image.std()])
    assert found.percentile(98) == pytest.approx([0.98 * image.max()], rel=0.01)


def test_a_value_of_many_pixels_keeps_its_share():
    rng = np.random.default_rng(0)
    images = np.where(
        rng.random((60, 1, 1, SAMPLE_SIZE)) < 0.4, 0, rng.normal(3, 1, (60, 1, 1, SAMPLE_SIZE))
    )

    total = reduce(add, [BandStatistics.measure(each, images[0, 0] > -9) for each in images])

    assert len(total.values) < images.size // 2
    assert total.frequencies[0, total.values == 0] == np.count_nonzero(images == 0)


@pytest.mark.parametrize("dtype", ["uint16", "int16"])
def test_all_values_of_16_bits_are_counted_exactly(dtype):
    values = np.arange(np.iinfo(dtype).min, np.iinfo(dtype).max + 1).astype(dtype)
    image = np.stack([values, values[::-1]]).reshape(2, 256, 256)
    window = BandStatistics.measure(image, np.ones((256, 256), bool))

    total = window + window

    assert total.values.tolist() == sorted(values.tolist())
    assert (total.frequencies == 2).all()
