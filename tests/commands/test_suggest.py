import json

import geopandas as gpd
import pytest


@pytest.fixture
def suggested(geoseg, world):
    """What the command says of boxes on the world's reference, half sure of everything."""

    def run(*more):
        import numpy as np
        import rasterio

        with rasterio.open(world / "reference.tif") as file:
            profile = file.profile | {"nodata": None, "dtype": "float32"}
            sure = np.full((1, file.height, file.width), 0.5, np.float32)
        with rasterio.open(world / "sure.tif", "w", **profile) as file:
            file.write(sure)
        words = ("suggest", world / "reference.tif", "-l", world / "legend.toml",
                 "--confidence", world / "sure.tif", "--window-size", "16px")  # fmt: skip
        return geoseg(*words, "--windows", 3, "-o", world / "todo.gpkg", *more)

    return run


def test_the_summary_says_what_to_do_with_the_boxes(suggested, world):
    done = suggested()

    assert done.code == 0
    assert "todo.gpkg: 3 boxes of " in done.out
    assert "expected error 50.0%" in done.out
    assert "draw in layer 'labels', and tick 'done' in 'boxes'" in done.out
    assert len(gpd.read_file(world / "todo.gpkg", layer="boxes")) == 3


def test_programs_get_the_numbers(suggested):
    told = json.loads(suggested("--json").out)

    assert told["boxes"] == 3
    assert told["expected_errors"] == pytest.approx([0.5] * 3)


def test_without_confidence_the_way_out_is_told(geoseg, world):
    done = geoseg("suggest", world / "reference.tif", "-o", world / "todo.gpkg")

    assert done.code == 1
    assert "predict with --confidence score" in done.err
