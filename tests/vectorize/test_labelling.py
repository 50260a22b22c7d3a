import sqlite3
from contextlib import closing
from xml.etree import ElementTree as ET

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
from affine import Affine
from rasterio.crs import CRS
from shapely import MultiPolygon, box

from geoseg.errors import EmptyError, InputError, OutputExistsError
from geoseg.evaluation.suggestion import Suggestion
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.lookup import LeastConfidence
from geoseg.labels.reference import ReferenceOptions, open_reference
from geoseg.labels.tags import carried_legend
from geoseg.patches.corrections import CorrectedReference
from geoseg.raster.grid import Grid
from geoseg.raster.window import Window
from geoseg.vectorize.labelling import write_labelling

GRID = Grid(CRS.from_epsg(32632), Affine(0.5, 0, 500_000, 0, -0.5, 5_700_000), 4, 8)
CLASSES = [{"value": 1, "name": "grass"}, {"value": 4, "name": "car"}]
LEGEND = Legend.from_dict({"background": "grass", "class": CLASSES})
LEFT, RIGHT = (Window(row_off=0, col_off=col, height=4, width=4) for col in (0, 4))
BOXES = [Suggestion(LEFT, 0.5, "grass", "car"), Suggestion(RIGHT, 0.25, "car", "car")]


@pytest.fixture
def todo(tmp_path):
    path = tmp_path / "todo.gpkg"
    write_labelling(path, BOXES, GRID, LEGEND, overwrite=False)
    return path


def drawn(path, *, done):
    """Draw a car over the middle columns, as a person would, and say which boxes are done."""
    left, top = GRID.transform @ (2, 1)
    right, bottom = GRID.transform @ (6, 3)
    shape = MultiPolygon([box(left, bottom, right, top)])
    boxes = gpd.read_file(path, layer="boxes").assign(done=done)
    frame = gpd.GeoDataFrame({"class": [4]}, geometry=[shape], crs=boxes.crs)
    frame.astype({"class": "int32"}).to_file(path, layer="labels", mode="a")
    boxes.to_file(path, layer="boxes")


def test_what_is_drawn_keeps_its_class_in_another_legend_and_column(todo, write_raster):
    drawn(todo, done=[True, True])
    other = Legend.from_dict(
        {"class": [{"value": 4, "name": "grass"}, {"value": 1, "name": "car"}]}
    )
    base = write_raster("base.tif", np.full((4, 8), 4, np.uint8), transform=GRID.transform)
    how = ReferenceOptions(attribute="kind", min_confidence=LeastConfidence("sure", 0.5))

    alone = open_reference(todo, legend=other, grid=GRID)
    reference = open_reference(base, legend=other, grid=GRID, options=how)
    over = CorrectedReference.open(reference, todo, legend=other, grid=GRID, options=how)

    assert alone.read(GRID.window)[1].tolist() == [IGNORE, IGNORE, 1, 1, 1, 1, IGNORE, IGNORE]
    assert over.read(GRID.window)[1].tolist() == [0, 0, 1, 1, 1, 1, 0, 0]


def test_boxes_all_done_in_which_nothing_is_drawn_are_background(todo):
    boxes = gpd.read_file(todo, layer="boxes").assign(done=[True, False])
    boxes.to_file(todo, layer="boxes")
    how = ReferenceOptions(labelled_areas=todo)

    labels = open_reference(todo, legend=LEGEND, grid=GRID, options=how).read(GRID.window)

    assert labels[0].tolist() == [0] * 4 + [IGNORE] * 4
    with pytest.raises(EmptyError, match="holds no polygon"):
        open_reference(todo, legend=LEGEND, grid=GRID)


def test_boxes_come_by_rank_with_what_is_known_of_them(todo):
    boxes = gpd.read_file(todo, layer="boxes")

    assert boxes["rank"].tolist() == [1, 2]
    assert boxes["expected_error"].tolist() == [0.5, 0.25]
    assert boxes["doubted_class"].tolist() == ["car", "car"]
    assert boxes["done"].tolist() == [False, False]
    assert boxes.total_bounds.tolist() == list(GRID.bounds)


def test_the_layer_to_draw_in_is_empty_and_offers_the_classes_by_name(todo):
    assert pyogrio.read_info(todo, layer="labels")["features"] == 0
    with closing(sqlite3.connect(todo)) as file:
        styles = dict(file.execute("SELECT f_table_name, styleQML FROM layer_styles"))
    forms = {
        name: ET.fromstring(text.partition("\n")[2])  # noqa: S314
        for name, text in styles.items()
    }

    choices = forms["labels"].findall(".//field[@name='class']//Option[@value]")

    assert [(each.get("name"), each.get("value")) for each in choices] == [
        ("grass", "1"),
        ("car", "4"),
    ]
    assert forms["boxes"].find(".//field[@name='done']/editWidget").get("type") == "CheckBox"


def test_what_is_drawn_is_read_without_naming_legend_or_column(todo):
    drawn(todo, done=[True, False])
    options = ReferenceOptions(labelled_areas=todo)

    reference = open_reference(todo, legend=carried_legend(todo), grid=GRID, options=options)

    assert reference.read(GRID.window)[1].tolist() == [0, 0, 1, 1, *[IGNORE] * 4]
    assert reference.read(GRID.window)[0].tolist() == [0, 0, 0, 0, *[IGNORE] * 4]
    assert all("had no data" not in note for note in reference.notes)


def test_no_box_that_is_done_is_an_error(todo):
    drawn(todo, done=[False, False])
    options = ReferenceOptions(labelled_areas=todo)

    with pytest.raises(EmptyError, match="none of its 2 boxes is done"):
        open_reference(todo, legend=LEGEND, grid=GRID, options=options)


def test_the_same_boxes_are_the_same_bytes_and_replace_nothing_unasked(todo, tmp_path):
    again = tmp_path / "again.gpkg"
    write_labelling(again, BOXES, GRID, LEGEND, overwrite=False)

    assert again.read_bytes() == todo.read_bytes()
    with pytest.raises(OutputExistsError):
        write_labelling(todo, BOXES, GRID, LEGEND, overwrite=False)
    write_labelling(todo, BOXES[:1], GRID, LEGEND, overwrite=True)
    assert len(gpd.read_file(todo, layer="boxes")) == 1


def test_another_format_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"name a \.gpkg"):
        write_labelling(tmp_path / "todo.geojson", BOXES, GRID, LEGEND, overwrite=False)
    assert not np.any([each.suffix for each in tmp_path.iterdir()])
