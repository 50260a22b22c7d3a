"""Points, lines and borders that are not exact, as references."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS

from geoseg.errors import InputError, VectorError
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.lookup import LeastConfidence
from geoseg.labels.reference import ONLY_POLYGONS, ReferenceOptions, open_reference
from geoseg.raster.grid import Grid, Length
from geoseg.raster.window import Window

NORTH_UP = Affine(0.5, 0, 500_000, 0, -0.5, 5_700_000)
GRID = Grid(CRS.from_epsg(32632), NORTH_UP, 5, 5)
U = IGNORE
LEGEND = Legend.from_dict(
    {"background": "grass", "class": [{"value": 1, "name": "grass"}, {"value": 2, "name": "road"}]}
)
DISC = [[U, U, U, U, U], [U, U, 1, U, U], [U, 1, 1, 1, U], [U, U, 1, U, U], [U, U, U, U, U]]


def at(row, col):
    """A place in pixels as coordinates."""
    return NORTH_UP @ (col, row)


def box(row_off, col_off, height, width):
    (left, top), (right, bottom) = at(row_off, col_off), at(row_off + height, col_off + width)
    return shapely.box(left, bottom, right, top)


def opened(path, grid=GRID, border=None, **options):
    reference = open_reference(path, legend=LEGEND, grid=grid, options=ReferenceOptions(**options))
    reference.border_px = border or 0.0
    return reference


def read(path, grid=GRID, **options):
    return opened(path, grid, **options).read(grid.window).tolist()


@pytest.mark.parametrize("radius", ["0.5m", "1px"])
@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:4326"])
def test_a_point_is_a_disc_around_which_nothing_is_labelled(write_polygons, radius, crs):
    centre = gpd.GeoSeries([shapely.Point(at(2.5, 2.5))], crs="EPSG:32632").to_crs(crs)
    path = write_polygons("a.gpkg", list(centre), crs=crs, kind=["road"])
    length = Length.parse(radius).value * 1.01, Length.parse(radius).unit

    assert read(path, attribute="kind", point_radius=Length(*length)) == DISC


def test_a_point_has_at_least_its_pixel(write_polygons):
    path = write_polygons("a.gpkg", [shapely.Point(at(1.1, 3.5))], kind=["road"])

    labels = np.array(read(path, attribute="kind", point_radius=Length(0.01, "m")))

    assert labels[1, 3] == 1
    assert (labels != U).sum() <= 2


def test_with_labelled_areas_the_ground_around_points_is_background_inside(write_polygons):
    path = write_polygons("a.gpkg", [shapely.Point(at(2.5, 2.5))], kind=["road"])
    areas = write_polygons("boxes.gpkg", [box(2, 0, 2, 4)])

    labels = read(path, attribute="kind", point_radius=Length(1.01, "px"), labelled_areas=areas)

    assert labels == [[U] * 5, [U] * 5, [0, 1, 1, 1, U], [0, 0, 1, 0, U], [U] * 5]


def test_a_line_is_a_band_as_wide_as_said_and_the_rest_is_as_without_a_polygon(write_polygons):
    path = write_polygons("a.gpkg", [shapely.LineString([at(2.5, -9), at(2.5, 9)])], kind=["road"])

    labels = read(path, attribute="kind", line_width=Length(1.4, "m"))

    assert [row[0] for row in labels] == [0, 1, 1, 1, 0]
    assert read(path, attribute="kind", line_width=Length(1, "px"))[2] == [1] * 5


@pytest.mark.parametrize(
    ("shape", "what", "advice"),
    [
        (shapely.Point(at(2, 2)), "points", "--point-radius 1m"),
        (shapely.MultiLineString([[at(1, 1), at(2, 2)]]), "lines", "--line-width 1m"),
    ],
)
def test_without_a_size_points_and_lines_are_refused_by_name(write_polygons, shape, what, advice):
    path = write_polygons("a.gpkg", [box(0, 0, 1, 1), shape], kind=["road", "road"])

    with pytest.raises(VectorError, match=rf"1 of 2 rows are {what}, .* feature 2; .*{advice}"):
        read(path, attribute="kind")


def test_metres_without_a_place_on_earth_are_refused(write_polygons):
    path = write_polygons("a.gpkg", [shapely.Point(2, 2)], kind=["road"])
    picture = Grid(None, Affine.identity(), 5, 5)

    with pytest.raises(InputError, match="give it in px"):
        read(path, picture, attribute="kind", point_radius=Length(1, "m"))
    assert read(path, picture, attribute="kind", point_radius=Length(1, "px"))[1][1] == 1


def test_what_was_drawn_is_said(write_polygons):
    shapes = [shapely.Point(at(2, 2)), shapely.LineString([at(1, 1), at(2, 2)])]
    path = write_polygons("a.gpkg", shapes, kind=["road", "grass"])
    sizes = {"point_radius": Length(1, "m"), "line_width": Length(2, "px")}

    assert "column 'kind' (points of radius 1m, lines of width 2px)" in str(
        opened(path, attribute="kind", **sizes).meaning
    )


def test_near_the_border_of_two_classes_a_raster_is_unlabelled(write_raster):
    rows = [[1, 1, 1, 2, 2], [1, 1, 1, 2, 2], [1, 1, 1, 1, 1], [1, 1, 1, 1, 0], [1, 1, 1, 0, 0]]
    path = write_raster("a.tif", np.array(rows, np.uint8), nodata=0, transform=NORTH_UP)

    labels = opened(path, border=1).read(GRID.window).tolist()

    assert labels[0] == [0, 0, U, U, 1]
    assert labels[2] == [0, 0, 0, U, U]
    assert labels[4] == [0, 0, 0, U, U]  # nodata makes no border


def test_the_edge_of_a_polygon_is_a_border_also_where_nothing_else_is_drawn(write_polygons):
    path = write_polygons("a.gpkg", [box(-9, -9, 23, 13)], kind=["road"])

    reference = opened(path, border=1, attribute="kind", labelled_areas=ONLY_POLYGONS)

    assert reference.read(GRID.window)[2].tolist() == [1, 1, 1, U, U]


def test_borders_do_not_depend_on_the_window_that_is_read(write_polygons):
    shapes = [shapely.Point(at(20, 14)).buffer(6), box(3, 5, 20, 9), box(18, 2, 9, 26)]
    path = write_polygons("a.gpkg", shapes, kind=["road", "road", "grass"])
    grid = Grid(GRID.crs, NORTH_UP, 32, 30)
    reference = opened(path, grid, border=2.5, attribute="kind")
    whole = reference.read(grid.window)

    for row_off in range(0, 32, 8):
        for col_off in range(0, 30, 10):
            window = Window(row_off=row_off, col_off=col_off, height=8, width=10)
            assert (reference.read(window) == whole[window.slices]).all()
    assert 0 < (whole == U).mean() < 0.5


def test_options_come_back_from_their_record():
    sizes = {"point_radius": Length(0.12345678, "m"), "line_width": Length(2, "px")}
    options = ReferenceOptions(**sizes, min_confidence=LeastConfidence("date", 20240115))

    assert ReferenceOptions.from_record(options.to_record()) == options
    assert ReferenceOptions.from_record(ReferenceOptions().to_record()) == ReferenceOptions()


@pytest.mark.parametrize("column", [[0.6, 0.59, None], ["0.6", "0.1", ""]])
def test_polygons_of_less_confidence_are_unlabelled_ground(write_polygons, column):
    boxes = [box(0, 0, 1, 1), box(1, 1, 1, 1), box(2, 2, 1, 1)]
    path = write_polygons("a.gpkg", boxes, kind=["road"] * 3, sure=column)

    reference = opened(path, attribute="kind", min_confidence=LeastConfidence("sure", 0.6))

    assert np.diagonal(reference.read(GRID.window))[:3].tolist() == [1, U, U]
    [told] = [note for note in reference.notes if "sure=0.6" in note]
    assert "2 of 3 polygons" in told
    with pytest.raises(VectorError, match=r"no column 'trust' \(--min-confidence\)"):
        opened(path, attribute="kind", min_confidence=LeastConfidence("trust", 0.6))


def test_a_raster_says_which_options_are_of_polygons_alone(write_raster):
    values = np.ones((5, 5), np.uint8)
    path = write_raster("a.tif", values, transform=NORTH_UP, crs="EPSG:32632")

    how = {"layer": "roads", "min_confidence": LeastConfidence("sure", 0.6)}
    reference = opened(path, labelled_areas=Path("polygons"), **how)

    assert reference.notes[:3] == [
        f"{path}: is a raster; --layer applies to vector data",
        f"{path}: is a raster; --min-confidence applies to vector data",
        f"{path}: is a raster; --labelled-areas polygons applies to vector data",
    ]
    assert opened(path).notes == []
