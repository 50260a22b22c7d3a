import re

import numpy as np
import pytest
from rasterio.enums import ColorInterp

from geoseg.raster.doubts import band_doubts, doubts_of
from geoseg.raster.reader import RasterReader, ReadOptions

RNG = np.random.default_rng(0)
RGB = RNG.integers(30, 220, (3, 60, 60))
NIR = RNG.integers(0, 250, (1, 60, 60))
ALPHA = np.where(np.arange(60) < 20, 0, 255) * np.ones((1, 60, 1), int)
COLORS = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
LOWEST = np.float32(-3.4028234663852886e38)


def with_holes(bands, value, dtype):
    bands = bands.astype(dtype)
    bands[:, :9] = value
    return bands


@pytest.mark.parametrize(
    ("image", "role", "read", "doubt"),
    [
        ([RGB, NIR], "alpha", {}, "band 4 is tagged alpha .*--bands 1,2,3,4 --nodata none"),
        ([RGB, ALPHA], "undefined", {}, "band 4 holds nothing but 0 and 255.*--bands 1,2,3 "),
        ([RGB, ALPHA], "alpha", {}, None),
        ([RGB, NIR], "undefined", {}, None),
        ([RGB, NIR], "alpha", {"bands": (1, 2, 3, 4), "nodata": "none"}, None),
        ([RGB, ALPHA], "undefined", {"bands": (1, 2, 3)}, None),
    ],
)
def test_bands_that_look_like_alpha_are_reported_with_a_remedy(
    write_raster, image, role, read, doubt
):
    colors = [*COLORS, ColorInterp[role]]
    path = write_raster("a.tif", np.concatenate(image).astype(np.uint8), colorinterp=colors)

    found = " ".join(band_doubts(path, ReadOptions(**read)))

    assert (re.search(doubt, found) is not None) if doubt else found == ""


@pytest.mark.parametrize(
    ("value", "dtype", "written"),
    [
        (LOWEST, "float32", "-3.4028235e+38"),
        (-9999, "float32", "-9999.0"),
        (-9999, "int16", "-9999"),
        (-32768, "int16", "-32768"),
        (65535, "uint16", "65535"),
        (1e20, "float64", "1e+20"),
    ],
)
def test_an_undeclared_nodata_value_is_reported_and_its_remedy_works(
    write_raster, value, dtype, written
):
    path = write_raster("a.tif", with_holes(RGB, value, dtype))

    [doubt] = band_doubts(path, ReadOptions())

    assert f"band 1, 2, 3 holds {written} " in doubt
    assert f"--nodata {written} leaves it out" in doubt
    read = ReadOptions(nodata=float(written))
    assert band_doubts(path, read) == []
    with RasterReader(path, read) as reader:
        assert reader.read(reader.grid.window).valid.mean() == 51 / 60


@pytest.mark.parametrize(
    ("image", "profile"),
    [
        (with_holes(RGB, -9999, "float32"), {"nodata": -9999}),
        (with_holes(RGB, np.nan, "float32"), {}),
        (with_holes(RGB, 0, "uint8"), {}),
        (with_holes(RGB, 255, "uint8"), {}),
        (RGB.astype(np.int16) - 150, {}),
        (RGB.astype(np.float32) * 1000 - 5e4, {}),
        (RNG.integers(0, 65536, (1, 60, 60)).astype(np.uint16), {}),
        (np.full((1, 60, 60), -9999, np.float32), {}),
    ],
)
def test_other_values_are_in_no_doubt(write_raster, image, profile):
    assert band_doubts(write_raster("a.tif", image, **profile), ReadOptions()) == []


def test_of_stacked_rasters_the_file_is_named_and_no_option_of_the_orthophoto(write_raster):
    ortho = write_raster("a.tif", RGB.astype(np.uint8))
    dsm = write_raster("dsm.tif", with_holes(NIR, -9999, "float32"))

    [doubt] = doubts_of(ortho, ReadOptions(stacked=(dsm,)))

    assert doubt.startswith(f"{dsm}: ")
    assert "--nodata" not in doubt
    assert "gdal_edit.py -a_nodata -9999.0" in doubt
