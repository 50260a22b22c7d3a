import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.warp import reproject

from geoseg.errors import EmptyError, GridMismatchError, LegendError, VectorError
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.reference import ReferenceOptions, open_reference
from geoseg.raster.grid import Grid
from geoseg.raster.window import Window

NORTH_UP = Affine(0.5, 0, 500_000, 0, -0.5, 5_700_000)
U = IGNORE
LEGEND = Legend.from_dict(
    {
        "ignore": ["#000000", 99],
        "class": [
            {"value": 1, "name": "building", "color": "#ff0000", "values": [2, 300]},
            {"value": 2, "name": "tree", "color": "#00ff00", "values": [1]},
        ],
    }
)
RED, GREEN, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 0)


def grid(height=2, width=3, transform=NORTH_UP, crs="EPSG:32632"):
    return Grid(CRS.from_string(crs) if crs else None, transform, height, width)


def read(path, on=None, where=None, legend=LEGEND, **options):
    on = on or grid()
    reference = open_reference(path, legend=legend, grid=on, options=ReferenceOptions(**options))
    try:
        return reference.read(where or on.window).tolist()
    finally:
        reference.close()


def picture(*rows):
    return np.array(rows, np.uint8).transpose(2, 0, 1)


def box(row_off, col_off, height, width):
    left, top = NORTH_UP @ (col_off, row_off)
    right, bottom = NORTH_UP @ (col_off + width, row_off + height)
    return shapely.box(left, bottom, right, top)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32"])
def test_values_are_remapped_once_and_not_twice(write_raster, dtype):
    path = write_raster("a.tif", np.array([[1, 2, 99], [2, 1, 99]], dtype))

    assert read(path) == [[1, 0, U], [0, 1, U]]


def test_values_beyond_a_byte_have_classes_too(write_raster):
    path = write_raster("a.tif", np.array([[1, 300, 2], [300, 1, 2]], np.uint16))

    assert read(path) == [[1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize("coding", ["map", "values"])
def test_the_class_map_of_geoseg_has_its_own_coding(write_raster, coding):
    path = write_raster("a.tif", np.array([[1, 2, 2], [1, 1, 1]], np.uint8))
    expected = {"map": [[0, 1, 1], [0, 0, 0]], "values": [[1, 0, 0], [1, 1, 1]]}

    assert read(path, coding=coding) == expected[coding]


@pytest.mark.parametrize("bands", [3, 4])
def test_three_bands_are_colours_with_or_without_alpha(write_raster, bands):
    image = picture([RED, GREEN, BLACK], [GREEN, GREEN, GREEN])
    alpha = np.array([[[255, 255, 255], [255, 0, 255]]], np.uint8)
    path = write_raster("a.png", np.concatenate([image, alpha])[:bands])

    hidden = U if bands == 4 else 1
    assert read(path) == [[0, 1, U], [1, hidden, 1]]


def test_a_palette_with_the_legends_values_is_read_by_value(write_raster):
    colors = {1: (*GREEN, 255), 2: (*RED, 255)}
    path = write_raster("a.tif", np.array([[1, 2, 1], [2, 2, 2]], np.uint8), colormap=colors)

    assert read(path) == [[1, 0, 1], [0, 0, 0]]


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_a_palette_with_other_values_is_read_by_colour(write_raster, name):
    colors = {7: (*RED, 255), 8: (*GREEN, 255), 9: (*BLACK, 255)}
    path = write_raster(name, np.array([[7, 8, 9], [8, 8, 7]], np.uint8), colormap=colors)

    assert read(path) == [[0, 1, U], [1, 1, 0]]


def test_a_palette_with_other_values_is_read_by_colour_also_if_resampled(write_raster):
    colors = {7: (*RED, 255), 8: (*GREEN, 255)}
    path = write_raster("a.tif", np.array([[7, 8]], np.uint8), colormap=colors)
    finer = grid(2, 4, NORTH_UP @ Affine.scale(0.5))

    assert read(path, finer, resample=True) == [[0, 0, 1, 1]] * 2


def test_an_unknown_value_is_refused_with_the_file_and_a_list(write_raster):
    path = write_raster("a.tif", np.array([[1, 7, 7], [2, 8, 1]], np.uint8))

    with pytest.raises(LegendError, match=r"a\.tif: values without a class: 7 \(2x\), 8 \(1x\)"):
        read(path)


def test_an_unknown_colour_is_refused_with_the_file_and_a_list(write_raster):
    path = write_raster("a.png", picture([RED, (1, 2, 3), GREEN], [RED, RED, RED]))

    with pytest.raises(LegendError, match=r"a\.png: colours without a class: #010203 \(1x\)"):
        read(path)


def test_nodata_of_the_reference_is_unlabelled_and_not_class_zero(write_raster):
    path = write_raster("a.tif", np.array([[0, 1, 2], [0, 0, 1]], np.uint8), nodata=0)

    assert read(path) == [[U, 1, 0], [U, U, 1]]


def test_a_class_may_have_the_value_255(write_raster):
    legend = Legend.from_dict({"class": [{"name": "no"}, {"name": "yes", "values": [255]}]})
    path = write_raster("a.tif", np.array([[0, 255, 0], [255, 0, 0]], np.uint8))

    assert read(path, legend=legend) == [[0, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize(
    ("rows", "cols", "expected"),
    [
        (-1, -1, [[1, 1, 1], [1, 0, 1]]),  # larger than the orthophoto
        (1, 1, [[U, U, U], [U, 1, 1]]),  # covers a corner of it
    ],
)
def test_a_reference_need_not_cover_the_same_ground(write_raster, rows, cols, expected):
    image = np.full((6, 6), 1, np.uint8)
    image[2, 2] = 2
    path = write_raster("a.tif", image, transform=NORTH_UP @ Affine.translation(cols, rows))

    assert read(path) == expected


def test_a_window_beyond_the_edge_is_unlabelled_there(write_raster):
    path = write_raster("a.tif", np.array([[1, 2, 1], [2, 1, 2]], np.uint8))

    assert read(path, where=Window(row_off=1, col_off=2, height=2, width=2)) == [[0, U], [U, U]]


def test_a_reference_elsewhere_is_refused(write_raster):
    elsewhere = NORTH_UP @ Affine.translation(50, 50)
    path = write_raster("a.tif", np.ones((2, 3), np.uint8), transform=elsewhere)

    with pytest.raises(EmptyError, match=r"a\.tif: does not overlap"):
        read(path)


@pytest.mark.parametrize(
    "profile",
    [
        {"transform": NORTH_UP @ Affine.translation(0.5, 0)},
        {"transform": NORTH_UP @ Affine.scale(2)},
        {"crs": "EPSG:25832"},
    ],
)
def test_another_grid_is_refused_with_the_way_out(write_raster, profile):
    path = write_raster("a.tif", np.ones((9, 9), np.uint8), **profile)

    with pytest.raises(GridMismatchError, match=r"a\.tif: .*--resample"):
        read(path)
    assert read(path, resample=True)[0] == [1, 1, 1]


def test_resampling_agrees_with_rasterio(write_raster):
    image = np.random.default_rng(0).integers(1, 3, (40, 40), np.uint8)
    path = write_raster("a.tif", image)
    on = grid(30, 30, NORTH_UP @ Affine.translation(3, 4) @ Affine.rotation(5) @ Affine.scale(0.8))
    with rasterio.open(path) as file:
        expected, _ = reproject(
            rasterio.band(file, 1),
            np.zeros((30, 30), np.uint8),
            dst_transform=on.transform,
            dst_crs=on.crs,
        )

    assert read(path, on, resample=True) == np.array([U, 1, 0])[expected].tolist()


def test_an_image_of_the_same_size_lies_on_the_orthophoto(write_raster):
    path = write_raster("a.png", np.array([[1, 2, 1], [2, 2, 2]], np.uint8))

    assert read(path) == [[1, 0, 1], [0, 0, 0]]


@pytest.mark.parametrize("resample", [True, False])
def test_an_image_of_another_size_has_no_place(write_raster, resample):
    path = write_raster("a.png", np.ones((2, 4), np.uint8))

    with pytest.raises(GridMismatchError, match="georeference it"):
        read(path, resample=resample)


@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:4326"])
def test_polygons_have_their_class_in_a_column_whatever_their_crs(write_polygons, crs):
    shapes = gpd.GeoSeries([box(0, 0, 1, 2), box(0, 1, 2, 1)], crs="EPSG:32632").to_crs(crs)
    path = write_polygons("a.gpkg", list(shapes), crs=crs, kind=["building", "tree"])

    assert read(path, attribute="kind") == [[0, 1, U], [U, 1, U]]


def test_polygons_of_one_class_need_no_column(write_polygons):
    legend = Legend.from_dict({"background": "no", "class": [{"name": "no"}, {"name": "yes"}]})
    path = write_polygons("a.gpkg", [box(0, 1, 2, 1)])

    assert read(path, legend=legend) == [[0, 1, 0], [0, 1, 0]]
    with pytest.raises(VectorError, match=r"several classes.*--attribute"):
        read(path)


def test_an_unknown_attribute_is_refused_with_file_column_and_value(write_polygons):
    path = write_polygons("a.gpkg", [box(0, 0, 1, 1)], kind=["shed"])

    with pytest.raises(LegendError, match=r"a\.gpkg: column 'kind': .*'shed' \(1x\)"):
        read(path, attribute="kind")


def test_polygons_to_be_ignored_are_unlabelled_above_all(write_polygons):
    path = write_polygons("a.gpkg", [box(0, 0, 2, 3), box(0, 0, 1, 1)], kind=[1, 99])

    assert read(path, attribute="kind") == [[U, 1, 1], [1, 1, 1]]


def test_polygons_elsewhere_are_refused(write_polygons):
    path = write_polygons("a.gpkg", [box(50, 50, 1, 1)], kind=[1])

    with pytest.raises(EmptyError, match="are the CRS right"):
        read(path, attribute="kind")


def test_polygons_without_a_value_are_unlabelled_and_counted(write_polygons):
    background = Legend.from_dict(LEGEND.to_dict() | {"background": "tree"})
    shapes = [box(0, 0, 1, 1), box(0, 1, 1, 1), box(1, 0, 1, 1)]
    path = write_polygons("a.gpkg", shapes, kind=["building", None, " "])
    options = ReferenceOptions(attribute="kind")

    reference = open_reference(path, legend=background, grid=grid(), options=options)

    assert reference.read(grid().window).tolist() == [[0, U, 1], [U, 1, 1]]
    assert "column 'kind' is null or empty for 2 of 3 polygons" in reference.notes[0]
    assert str(reference.meaning) == (
        "column 'kind' building = building, ground without a polygon = tree; unlabelled: null"
    )


def test_a_column_without_any_value_is_refused(write_polygons):
    path = write_polygons("a.gpkg", [box(0, 0, 1, 1)] * 2, kind=[None, ""])

    with pytest.raises(LegendError, match=r"a\.gpkg: column 'kind' is empty: null for all 2"):
        read(path, attribute="kind")


def test_a_layer_without_polygons_is_no_matter_of_the_crs(write_polygons):
    path = write_polygons("a.gpkg", [], kind=[])

    with pytest.raises(EmptyError, match=r"a\.gpkg: holds no polygon$"):
        read(path, attribute="kind")


@pytest.mark.parametrize("name", ["a.gpkg", "a.geojson"])
def test_an_empty_layer_needs_no_column(write_polygons, tmp_path, name):
    if name.endswith("json"):
        path = tmp_path / name
        path.write_text('{"type": "FeatureCollection", "features": []}')
    else:
        path = write_polygons(name, [])
    legend = Legend.from_dict({"background": "no", "class": [{"name": "no"}, {"name": "yes"}]})
    options = ReferenceOptions(attribute="kind")

    with pytest.raises(EmptyError, match="holds no polygon"):
        open_reference(path, legend=legend, grid=grid(), options=options)
    blank = open_reference(path, legend=legend, grid=grid(), options=options, may_be_elsewhere=True)
    assert blank.read(grid().window).tolist() == [[0, 0, 0], [0, 0, 0]]
    assert blank.is_elsewhere


def test_outside_of_labelled_areas_a_raster_is_unlabelled_too(write_raster, write_polygons):
    path = write_raster("a.tif", np.array([[1, 2, 1], [2, 2, 1]], np.uint8))
    areas = write_polygons("boxes.gpkg", [box(0, 1, 1, 1), box(1, 1, 1, 9)])

    assert read(path, labelled_areas=areas) == [[U, 0, U], [U, 0, 1]]
