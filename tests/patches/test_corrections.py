import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS

from geoseg.errors import EmptyError, LegendError, VectorError
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.lookup import LeastConfidence
from geoseg.labels.reference import ReferenceOptions, open_reference
from geoseg.patches.corrections import CorrectedReference, is_corrected
from geoseg.raster.grid import Grid

NORTH_UP = Affine(0.5, 0, 500_000, 0, -0.5, 5_700_000)
GRID = Grid(CRS.from_epsg(32632), NORTH_UP, 3, 5)
U = IGNORE
CLASSES = [{"value": 1, "name": "grass"}, {"value": 2, "name": "road"}]
LEGEND = Legend.from_dict({"class": CLASSES})
WITH_BACKGROUND = Legend.from_dict({"background": "grass", "class": CLASSES})
OLD = [[1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, U, U]]


def box(row_off, col_off, height, width):
    left, top = NORTH_UP @ (col_off, row_off)
    right, bottom = NORTH_UP @ (col_off + width, row_off + height)
    return shapely.box(left, bottom, right, top)


@pytest.fixture
def old(write_raster):
    values = np.where(np.array(OLD) == U, 0, 2).astype(np.uint8)
    return write_raster("old.tif", values, nodata=0, transform=NORTH_UP)


@pytest.fixture
def draw(tmp_path):
    """A function that writes layers of polygons and their columns into one file."""

    def write(**layers):
        path = tmp_path / "drawn.gpkg"
        for name, (shapes, columns) in layers.items():
            frame = gpd.GeoDataFrame(columns, geometry=shapes, crs="EPSG:32632")
            frame.to_file(path, layer=name)
        return path

    return write


def corrected(old, path, legend=LEGEND, grid=GRID, **options):
    how = ReferenceOptions(attribute="kind", **options)
    reference = open_reference(old, legend=legend, grid=GRID, options=how)
    return CorrectedReference.open(reference, path, legend=legend, grid=grid, options=how)


def test_polygons_without_boxes_override_what_they_cover(old, draw):
    path = draw(labels=([box(1, 1, 2, 3)], {"kind": ["grass"]}))

    labels = corrected(old, path, WITH_BACKGROUND).read(GRID.window).tolist()

    assert labels == [[1, 1, 1, 1, 1], [1, 0, 0, 0, 1], [1, 0, 0, 0, U]]


def test_polygons_without_a_class_or_in_doubt_take_the_label_away(old, draw):
    rows = {"kind": ["grass", "?", None, "grass"], "sure": [0.9, 1, 1, 0.1]}
    shapes = [box(0, column, 2, 1) for column in range(4)]
    legend = Legend.from_dict({"background": "grass", "ignore": ["?"], "class": CLASSES})
    expected = [[0, U, U, U, 1], [0, U, U, U, 1], OLD[2]]
    how = {"legend": legend, "min_confidence": LeastConfidence("sure", 0.5)}

    assert corrected(old, draw(labels=(shapes, rows)), **how).read(GRID.window).tolist() == expected
    path = draw(labels=(shapes, rows), boxes=([box(0, 0, 1, 5)], {"id": [1]}))
    boxed = [[0, U, U, U, 0], [1, 1, 1, 1, 1], OLD[2]]
    assert corrected(old, path, **how).read(GRID.window).tolist() == boxed


def test_corrections_need_no_column_of_confidence(old, draw):
    path = draw(labels=([box(0, 0, 1, 1)], {"kind": ["grass"]}))

    reference = corrected(old, path, min_confidence=LeastConfidence("sure", 0.5))

    assert reference.read(GRID.window).tolist() == [[0, 1, 1, 1, 1], *OLD[1:]]


def test_several_layers_of_corrections_are_refused(old, draw):
    one = ([box(0, 0, 1, 1)], {"kind": ["grass"]})

    with pytest.raises(VectorError, match="several layers; leave one besides that of the boxes"):
        corrected(old, draw(a=one, b=one))


def test_in_boxes_they_are_all_there_is_and_the_rest_is_background(old, draw):
    path = draw(
        labels=([box(0, 1, 1, 4), box(2, 0, 1, 1)], {"kind": ["road", "grass"]}),
        boxes=([box(0, 0, 2, 3)], {"id": [1]}),
    )

    labels = corrected(old, path, WITH_BACKGROUND).read(GRID.window).tolist()

    assert labels == [[0, 1, 1, 1, 1], [0, 0, 0, 1, 1], [1, 1, 1, U, U]]


def test_without_a_background_what_is_not_drawn_stays_as_it_was(old, draw):
    path = draw(
        labels=([box(0, 1, 1, 1)], {"kind": ["grass"]}), boxes=([box(0, 0, 2, 3)], {"id": [1]})
    )

    labels = corrected(old, path).read(GRID.window).tolist()

    assert labels == [[1, 0, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, U, U]]


def test_boxes_that_are_not_done_do_not_count(old, draw):
    shapes = [box(0, 0, 1, 2), box(1, 0, 1, 2)]
    path = draw(
        labels=([box(0, 1, 2, 1)], {"kind": ["road"]}), boxes=(shapes, {"done": [True, False]})
    )

    labels = corrected(old, path, WITH_BACKGROUND).read(GRID.window).tolist()

    assert labels[:2] == [[0, 1, 1, 1, 1], [1, 1, 1, 1, 1]]


def test_boxes_none_of_which_is_done_are_refused_also_as_labelled_areas(old, draw):
    path = draw(
        labels=([box(0, 0, 1, 1)], {"kind": ["road"]}),
        boxes=([box(0, 0, 1, 2)], {"done": [None]}),
    )

    with pytest.raises(EmptyError, match=r"none of its 1 boxes is done \(column 'done'\)"):
        corrected(old, path)
    with pytest.raises(EmptyError, match="none of its 1 boxes is done"):
        corrected(old, path, labelled_areas=path)


def test_corrections_elsewhere_change_nothing_and_are_known(old, draw):
    path = draw(labels=([box(0, 0, 1, 1)], {"kind": ["grass"]}))
    away = Grid(GRID.crs, Affine.translation(1000, 0) @ NORTH_UP, 3, 5)

    assert is_corrected(corrected(old, path))
    assert not is_corrected(corrected(old, path, grid=away))
    assert corrected(old, path, grid=away).read(GRID.window).tolist() == OLD


def test_labelled_areas_of_polygons_need_a_background(draw):
    path = draw(labels=([box(0, 0, 1, 1)], {"kind": ["road"]}))
    areas = path.with_name("areas.gpkg")
    gpd.GeoDataFrame(geometry=[box(0, 0, 2, 2)], crs="EPSG:32632").to_file(areas)
    options = ReferenceOptions(attribute="kind", labelled_areas=areas)

    with pytest.raises(LegendError, match=r"areas\.gpkg: .* the legend has none; .*--aoi"):
        open_reference(path, legend=LEGEND, grid=GRID, options=options)
    whole = open_reference(path, legend=WITH_BACKGROUND, grid=GRID, options=options)
    assert whole.read(GRID.window).tolist() == [[1, 0, U, U, U], [0, 0, U, U, U], [U] * 5]
