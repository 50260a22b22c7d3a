import json
import shutil
import subprocess
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from geoseg.core.grid import Grid
from geoseg.core.legend import Legend
from geoseg.io.style import colormap, sidecars, write_sidecars
from geoseg.io.writer import RasterFormat, create

LEGEND = Legend.from_dict(
    {
        "class": [
            {"value": 1, "name": "building", "color": "#d7301f"},
            {"value": 4, "name": 'trees & "bushes" <ü>', "color": "#00ff01"},
        ]
    }
)


@pytest.fixture
def class_map(tmp_path):
    """A class map with all that makes it open coloured and named."""
    path = tmp_path / "map.tif"
    grid = Grid(CRS.from_epsg(32632), Affine(0.5, 0, 500_000, 0, -0.5, 5_700_000), 2, 2)
    kind = RasterFormat(nodata=255, colormap=colormap(LEGEND), overviews="mode")
    with create(path, grid, kind) as file:
        file.write(np.array([[[1, 4], [4, 255]]], np.uint8))
    write_sidecars(path, LEGEND, np.array([1, 2]))
    return path


def test_every_class_has_its_colour_and_the_rest_is_transparent():
    colors = colormap(LEGEND)

    assert colors[1] == (215, 48, 31, 255)
    assert colors[4] == (0, 255, 1, 255)
    assert {colors[value] for value in set(range(256)) - {1, 4}} == {(0, 0, 0, 0)}


def test_rasterio_reads_the_colours(class_map):
    with rasterio.open(class_map) as file:
        assert file.colormap(1)[4] == (0, 255, 1, 255)
        assert file.colormap(1)[255] == (0, 0, 0, 0)


@pytest.mark.skipif(shutil.which("gdalinfo") is None, reason="gdalinfo is not installed")
def test_gdal_reads_names_colours_and_pixel_counts(class_map):
    done = subprocess.run(
        ["gdalinfo", "-json", class_map], capture_output=True, check=True, text=True
    )

    info = json.loads(done.stdout)

    band = info["bands"][0]
    rows = [row["f"] for row in info["rat"]["row"]]
    usages = [field["usage"] for field in info["rat"]["fieldDefn"]]
    assert band["noDataValue"] == 255
    assert band["colorTable"]["entries"][1] == [215, 48, 31, 255]
    assert rows == [
        [1, 1, "building", 215, 48, 31],
        [4, 2, 'trees & "bushes" <ü>', 0, 255, 1],
    ]
    assert usages == [5, 1, 2, 6, 7, 8]


@pytest.mark.skipif(shutil.which("gdalinfo") is None, reason="gdalinfo is not installed")
def test_gdal_reads_category_names_at_their_values(class_map):
    done = subprocess.run(["gdalinfo", class_map], capture_output=True, check=True, text=True)

    assert "  1: building\n" in done.stdout
    assert '  4: trees & "bushes" <ü>\n' in done.stdout


def test_qgis_finds_a_paletted_renderer(class_map):
    root = ET.fromstring(class_map.with_suffix(".qml").read_text())  # noqa: S314 our own
    renderer = root.find("pipe/rasterrenderer")

    entries = [each.attrib for each in renderer.iter("paletteEntry")]
    assert renderer.get("type") == "paletted"
    assert [(each["value"], each["color"], each["label"]) for each in entries] == [
        ("1", "#d7301f", "building"),
        ("4", "#00ff01", 'trees & "bushes" <ü>'),
    ]


def test_the_sidecars_are_named_so_that_they_are_found(class_map):
    assert [path.name for path in sidecars(class_map)] == ["map.tif.aux.xml", "map.qml"]
    assert all(path.exists() for path in sidecars(class_map))
