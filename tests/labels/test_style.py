import json
import shutil
import subprocess
from xml.etree import ElementTree as ET

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from PIL import Image
from rasterio.crs import CRS

from geoseg.labels.legend import Legend
from geoseg.labels.style import (
    Symbol,
    attribute_table,
    colormap,
    confidence_qml,
    score_qml,
    sidecars,
    vector_qml,
    write_sidecars,
)
from geoseg.raster.grid import Grid
from geoseg.raster.polygons import write_layer
from geoseg.raster.records import PROVENANCE
from geoseg.raster.vector import read_layer
from geoseg.raster.writer import RasterFormat, copy_as_cog, create

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


GDAL_METADATA = 42112
"""The TIFF tag in which GDAL keeps what TIFF itself has no place for."""


def test_a_map_sent_alone_has_the_names_of_its_classes_inside(tmp_path):
    grid = Grid(CRS.from_epsg(32632), Affine(0.5, 0, 500_000, 0, -0.5, 5_700_000), 2, 2)
    kind = RasterFormat(
        colormap=colormap(LEGEND), tags={"kind": "x"}, attribute_table=attribute_table(LEGEND)
    )
    with create(tmp_path / "raw.tif", grid, kind) as file:
        file.write(np.array([[[1, 4], [4, 255]]], np.uint8))
    copy_as_cog(tmp_path / "raw.tif", tmp_path / "map.tif", kind, grid)

    with Image.open(tmp_path / "map.tif") as file:
        text = file.tag_v2[GDAL_METADATA].encode("latin-1")  # as Pillow takes all text
    item = ET.fromstring(text).find("Item[@role='rat']")  # noqa: S314 our own
    assert (item.get("name"), item.get("sample")) == ("DEFAULT_RASTER_ATTRIBUTE_TABLE", "0")
    rows = [[cell.text for cell in row] for row in item.iter("Row")]
    assert rows == [
        ["1", "building", "215", "48", "31"],
        ["4", 'trees & "bushes" <ü>', "0", "255", "1"],
    ]
    with rasterio.open(tmp_path / "map.tif") as file:
        assert set(file.tags()) == {PROVENANCE, "AREA_OR_POINT"}
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.read(1).tolist() == [[1, 4], [4, 255]]


@pytest.mark.parametrize(("top", "values"), [(254, ["0", "127", "254"]), (1, ["0", "0.5", "1"])])
def test_scores_of_two_classes_show_the_second_from_white_to_its_colour(top, values):
    root = ET.fromstring(score_qml(LEGEND, top))  # noqa: S314 our own

    items = [each.attrib for each in root.iter("item")]
    assert root.find("pipe/rasterrenderer").get("band") == "2"
    assert [each["value"] for each in items] == values
    assert (items[0]["color"], items[-1]["color"]) == ("#ffffff", "#00ff01")


def test_confidence_is_shown_from_red_to_green():
    root = ET.fromstring(confidence_qml(254))  # noqa: S314 our own

    labels = [each.get("label") for each in root.iter("item")]
    assert root.find("pipe/rasterrenderer").get("type") == "singlebandpseudocolor"
    assert labels == ["0%", "50%", "100%"]


@pytest.mark.parametrize("name", ["a.gpkg", "a.geojson"])
def test_a_vector_file_has_its_style_beside_it_where_qgis_looks(tmp_path, name):
    frame = gpd.GeoDataFrame({"split": ["val"]}, geometry=[shapely.Point(1, 2)], crs=4326)
    symbols = [Symbol(label="val & <test>", rule="split <> 'train'", color=(1, 2, 3))]
    style = vector_qml(symbols, points=True, label='"split"')

    write_layer(tmp_path / name, frame, "points", overwrite=False, style=style)

    written = ET.fromstring((tmp_path / "a.qml").read_text())  # noqa: S314 our own
    rule = written.find("renderer-v2/rules/rule")
    assert (rule.get("filter"), rule.get("label")) == ("split <> 'train'", "val & <test>")
    assert len(gpd.read_file(tmp_path / name)) == 1  # one layer, so none has to be named


def test_the_style_of_a_map_of_the_same_name_stays(class_map):
    frame = gpd.GeoDataFrame({"a": [1]}, geometry=[shapely.Point(1, 2)], crs=4326)
    before = class_map.with_suffix(".qml").read_text()

    write_layer(class_map.with_suffix(".gpkg"), frame, "points", overwrite=False, style="<qgis/>")

    assert class_map.with_suffix(".qml").read_text() == before


def test_a_table_of_styles_in_a_geopackage_is_no_second_layer(tmp_path):
    """As QGIS leaves it after "save style in database"."""
    path = tmp_path / "drawn.gpkg"
    frame = gpd.GeoDataFrame({"a": [1]}, geometry=[shapely.Point(1, 2)], crs=4326)
    frame.to_file(path, layer="drawn")
    pyogrio.write_dataframe(frame[["a"]], path, layer="layer_styles")

    assert len(read_layer(path)) == 1
