import numpy as np
import pytest
import shapely
from affine import Affine

from geoseg.core.grid import Grid
from geoseg.core.legend import Legend
from geoseg.core.window import Window
from geoseg.errors import EmptyError, GridMismatchError, LegendError
from geoseg.io.raster import RasterReader
from geoseg.io.reference import ReferenceOptions
from geoseg.reporting.layers import PictureLayer, RasterClasses, coding_of, open_classes

OPTIONS = ReferenceOptions()

LEGEND = Legend.from_dict(
    {
        "class": [
            {"value": 1, "name": "building", "color": "#d7301f"},
            {"value": 0, "name": "tree", "color": "#00ff01"},
        ]
    }
)


def grid_of(path):
    with RasterReader(path) as reader:
        return reader.grid


def read_all(layer, grid, step=1):
    return layer.read(grid.window, step)


def test_a_map_gives_indices_and_255_without_data(write_map):
    path = write_map("map.tif", [[1, 0, 255]])

    layer = open_classes(path, LEGEND, grid_of(path), OPTIONS, title="map")

    assert read_all(layer, grid_of(path)).tolist() == [[0, 1, 255]]


def test_a_reference_of_colours_gives_the_same(write_raster):
    colors = np.array([[[215, 0]], [[48, 255]], [[31, 1]]], np.uint8)
    path = write_raster("colors.tif", colors)

    layer = open_classes(path, LEGEND, grid_of(path), OPTIONS, title="reference")

    assert read_all(layer, grid_of(path)).tolist() == [[0, 1]]


def test_polygons_are_burnt_at_every_scale(write_raster, write_polygons):
    grid = grid_of(write_raster("ortho.tif", np.zeros((8, 8), np.uint8)))
    left = shapely.box(500_000, 5_699_996, 500_002, 5_700_000)
    path = write_polygons("p.gpkg", [left], kind=["building"])
    options = ReferenceOptions(attribute="kind")

    layer = open_classes(path, LEGEND, grid, options, title="reference")

    assert read_all(layer, grid)[0].tolist() == [0, 0, 0, 0, 255, 255, 255, 255]
    assert read_all(layer, grid, 2).tolist() == [[0, 0, 255, 255]] * 4


def test_exactly_the_pixel_in_the_middle_stands_for_its_square(write_map):
    values = np.random.default_rng(0).integers(0, 2, (23, 31))
    path = write_map("map.tif", values)
    layer = RasterClasses(path, LEGEND, grid_of(path), title="map", exact=True)

    whole, shrunk = (read_all(layer, grid_of(path), step) for step in (1, 3))

    rows, cols = (np.minimum(np.arange(n) * 3 + 1, m - 1) for n, m in ((8, 23), (11, 31)))
    assert (shrunk == whole[np.ix_(rows, cols)]).all()


def test_a_raster_in_another_crs_lies_where_it_belongs(write_raster, write_map):
    """Half of the ground is building; the reference is in degrees, and larger."""
    values = np.ones((60, 100), np.uint8)
    values[:, 50:] = 0
    path = write_map("map.tif", values)
    grid = grid_of(path)
    degrees = Affine(4e-6, 0, 8.9999, 0, -4e-6, 51.4513)
    west = (np.arange(400) * 4e-6 + 8.9999) < 9.00036
    reference = write_raster(
        "degrees.tif",
        np.broadcast_to(west, (300, 400)).astype(np.uint8),
        crs="EPSG:4326",
        transform=degrees,
    )
    layer = open_classes(reference, LEGEND, grid, OPTIONS, title="reference")

    found = read_all(layer, grid)

    known = found != 255
    assert known.mean() > 0.9
    assert (found == read_all(open_classes(path, LEGEND, grid, OPTIONS, title=""), grid))[
        known
    ].mean() > 0.95


def test_an_unknown_value_is_named_with_its_file(write_raster):
    path = write_raster("odd.tif", np.array([[0, 7]], np.uint8))
    layer = open_classes(path, LEGEND, grid_of(path), OPTIONS, title="reference")

    with pytest.raises(LegendError, match=r"odd\.tif.*7"):
        read_all(layer, grid_of(path))


def test_a_picture_without_georeference_must_be_of_the_same_size(write_raster):
    path = write_raster("photo.png", np.zeros((3, 4, 4), np.uint8))
    place = Grid(None, Affine.identity(), 5, 4)

    with pytest.raises(GridMismatchError, match="georeference it"):
        PictureLayer(path, place, title="photo")


def test_a_reference_of_other_ground_is_refused(write_map, write_raster):
    path = write_map("map.tif", [[1, 0]])
    far = write_raster("far.tif", np.zeros((2, 2), np.uint8), crs="EPSG:3857")

    with pytest.raises(EmptyError, match=r"far\.tif: shares no ground"):
        open_classes(far, LEGEND, grid_of(path), OPTIONS, title="reference")


def test_a_shrunk_picture_is_a_mean_and_keeps_its_hole(write_raster):
    image = np.full((3, 8, 8), 100, np.uint8)
    image[:, :, 4:] = 200
    image[:, :4, :4] = 0
    path = write_raster("ortho.tif", image, nodata=0)

    picture = read_all(PictureLayer(path, grid_of(path), title=""), grid_of(path), 4)

    assert picture[..., 0].tolist() == [[0, 200], [100, 200]]
    assert picture[..., 3].tolist() == [[0, 255], [255, 255]]


def test_a_part_is_read_as_it_is_in_the_whole(write_raster):
    image = np.random.default_rng(0).integers(0, 65535, (3, 40, 50), dtype=np.uint16)
    path = write_raster("ortho.tif", image)
    layer = PictureLayer(path, grid_of(path), title="")
    window = Window(row_off=8, col_off=16, height=16, width=20)

    part = layer.read(window, 2)

    assert (part == read_all(layer, grid_of(path), 2)[4:12, 8:18]).all()


@pytest.mark.parametrize(
    ("bands", "coding"),
    [(np.zeros((3, 2, 2), np.uint8), "colors"), (np.zeros((2, 2), np.uint8), "values")],
)
def test_how_pixels_name_classes_is_seen_in_the_file(write_raster, bands, coding):
    assert coding_of(write_raster("r.tif", bands), LEGEND) == coding


def test_a_map_of_geosegs_own_says_so(write_map):
    assert coding_of(write_map("map.tif", [[1]]), LEGEND) == "map"
