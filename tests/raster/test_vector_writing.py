"""Vector files that are written whole, or refused."""

import sqlite3
from contextlib import closing

import geopandas as gpd
import pytest
import shapely

from geoseg.errors import OutputError
from geoseg.raster.atomic import write_vector_style
from geoseg.raster.polygons import write_layer
from geoseg.raster.vector import refuse_incomplete

STYLE = (
    '<qgis version="3.22" styleCategories="Symbology|Labeling">'
    "{}<layerGeometryType>{}</layerGeometryType></qgis>"
)


@pytest.fixture(params=["gpkg", "fgb", "geojson", "geojsonl"])
def layer(request, tmp_path):
    """A file of 9 squares."""
    path = tmp_path / f"squares.{request.param}"
    squares = [shapely.box(each, 0, each + 0.5, 1) for each in range(9)]
    frame = gpd.GeoDataFrame({"name": ["a"] * 9}, geometry=squares, crs=4326)
    write_layer(path, frame, "my squares", overwrite=False)
    return path


def test_a_whole_file_is_no_fault(layer):
    refuse_incomplete(layer, "my squares", 9)

    with pytest.raises(OutputError, match="cannot be written: its end is missing"):
        refuse_incomplete(layer, "my squares", 10)


@pytest.mark.parametrize("lost", [1, 30, 200])
def test_a_file_without_its_end_is_refused(layer, lost):
    if layer.suffix == ".gpkg":
        with closing(sqlite3.connect(layer)) as file:
            file.execute("DROP TABLE gpkg_extensions")
            file.execute('DROP TABLE "rtree_my squares_geom_rowid"')
    else:
        layer.write_bytes(layer.read_bytes().rstrip(b"\n")[:-lost])

    with pytest.raises(OutputError, match="cannot be written: its end is missing"):
        refuse_incomplete(layer, "my squares", 9)


def test_a_style_of_the_same_kind_is_replaced_and_another_stays(tmp_path):
    path, style = tmp_path / "a.fgb", tmp_path / "a.qml"

    assert write_vector_style(path, STYLE.format("old", 2))
    assert write_vector_style(path, STYLE.format("new", 2))
    assert not write_vector_style(path, STYLE.format("points", 0))
    assert style.read_text() == STYLE.format("new", 2)
    style.write_text("edited by the user")
    assert not write_vector_style(path, STYLE.format("new", 2))
    style.unlink()
    style.mkdir()
    assert not write_vector_style(path, STYLE.format("new", 2))
