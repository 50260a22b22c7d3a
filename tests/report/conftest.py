"""A small world to show: an orthophoto, a class map of geoseg's, a reference."""

import json

import numpy as np
import pytest
import rasterio

from geoseg.labels.legend import Legend

RED, GREEN = (215, 48, 31), (0, 255, 1)

LEGEND = Legend.from_dict(
    {
        "class": [
            {"value": 1, "name": "building", "color": "#d7301f"},
            {"value": 0, "name": "tree", "color": "#00ff01"},
        ]
    }
)


@pytest.fixture
def write_map(write_raster):
    """A function that writes values 1 (building), 0 (tree) and 255 as a class map of geoseg's."""

    def write(name, values, *, source="ortho.tif", legend=LEGEND, **profile):
        path = write_raster(name, np.asarray(values, np.uint8), nodata=255, **profile)
        provenance = {"source": source, "model": "unet/resnet18", "geoseg": "0.1.0"}
        tags = {"kind": "class map", "legend": legend.to_dict(), "provenance": provenance}
        with rasterio.open(path, "r+") as file:
            file.update_tags(GEOSEG=json.dumps(tags))
        return path

    return write


@pytest.fixture
def files(write_raster, write_map):
    """Blue ground of 60 x 100 pixels; building left and tree right; the reference all building."""
    blue = np.zeros((3, 60, 100), np.uint8)
    blue[2] = 200
    values = np.ones((60, 100), np.uint8)
    reference = write_raster("reference.tif", values)
    values[:, 50:] = 0
    return {
        "ortho": write_raster("ortho.tif", blue),
        "map": write_map("map.tif", values),
        "reference": reference,
    }
