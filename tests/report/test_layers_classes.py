import numpy as np
import pytest
import shapely
from affine import Affine

from geoseg.errors import EmptyError, LegendError
from geoseg.labels.legend import Legend
from geoseg.labels.legend_map import Correspondence, merge_legends
from geoseg.labels.reference import ReferenceOptions
from geoseg.raster.reader import RasterReader
from geoseg.report.layers import Ground, Reading, open_map, open_references

LEGEND = Legend.from_dict(
    {
        "class": [
            {"value": 1, "name": "building", "color": "#d7301f"},
            {"value": 0, "name": "tree", "color": "#00ff01"},
        ]
    }
)
TREES_AROUND = Legend.from_dict(LEGEND.to_dict() | {"background": "tree"})
WEST = shapely.box(500_000, 5_699_996, 500_002, 5_700_000)
"""The left half of 8 x 8 pixels."""


def grid_of(path):
    with RasterReader(path) as reader:
        return reader.grid


def read_all(layer, grid, step=1):
    return layer.read(grid.window, step)


def test_a_map_gives_indices_and_255_without_data(write_map):
    path = write_map("map.tif", [[1, 0, 255]])

    layer = open_map(path, LEGEND, grid_of(path), Reading())

    assert read_all(layer, grid_of(path)).tolist() == [[0, 1, 255]]


def test_a_reference_of_colours_gives_the_same(write_raster):
    colors = np.array([[[215, 0]], [[48, 255]], [[31, 1]]], np.uint8)
    path = write_raster("colors.tif", colors)

    layer = open_references([path], LEGEND, grid_of(path), Reading())

    assert read_all(layer, grid_of(path)).tolist() == [[0, 1]]


def test_polygons_are_burnt_at_every_scale(write_raster, write_polygons):
    grid = grid_of(write_raster("ortho.tif", np.zeros((8, 8), np.uint8)))
    left = shapely.box(500_000, 5_699_996, 500_002, 5_700_000)
    path = write_polygons("p.gpkg", [left], kind=["building"])
    reading = Reading(reference=ReferenceOptions(attribute="kind"))

    layer = open_references([path], LEGEND, grid, reading)

    assert read_all(layer, grid)[0].tolist() == [0, 0, 0, 0, 255, 255, 255, 255]
    assert read_all(layer, grid, 2).tolist() == [[0, 0, 255, 255]] * 4


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
    layer = open_references([reference], LEGEND, grid, Reading())

    found = read_all(layer, grid)

    known, mapped = found != 255, read_all(open_map(path, LEGEND, grid, Reading()), grid)
    assert known.mean() > 0.9
    assert (found == mapped)[known].mean() > 0.95


def test_an_unknown_value_is_named_with_its_file(write_raster):
    path = write_raster("odd.tif", np.array([[0, 7]], np.uint8))
    layer = open_references([path], LEGEND, grid_of(path), Reading())

    with pytest.raises(LegendError, match=r"odd\.tif.*7"):
        read_all(layer, grid_of(path))


def test_a_reference_of_other_ground_is_refused(write_map, write_raster):
    path = write_map("map.tif", [[1, 0]])
    far = write_raster("far.tif", np.zeros((2, 2), np.uint8), crs="EPSG:3857")

    with pytest.raises(EmptyError, match=r"far\.tif: does not overlap"):
        open_references([far], LEGEND, grid_of(path), Reading())


@pytest.mark.parametrize("step", [1, 2])
def test_outside_the_ground_that_counts_there_is_no_reference(write_raster, write_polygons, step):
    path = write_raster("reference.tif", np.ones((8, 8), np.uint8))
    aoi = write_polygons("aoi.geojson", [WEST])
    reading = Reading(grounds=(Ground(aoi),))

    layer = open_references([path], LEGEND, grid_of(path), reading)

    half = 4 // step
    assert read_all(layer, grid_of(path), step).tolist() == [[0] * half + [255] * half] * 2 * half


def test_ground_elsewhere_is_refused(write_raster, write_polygons):
    path = write_raster("reference.tif", np.ones((8, 8), np.uint8))
    aoi = write_polygons("aoi.geojson", [shapely.box(0, 0, 1, 1)])

    with pytest.raises(EmptyError, match=r"aoi\.geojson: no polygon .* are the CRS right"):
        open_references([path], LEGEND, grid_of(path), Reading(grounds=(Ground(aoi),)))


def test_references_fill_each_other_and_what_none_labels_is_background(
    write_raster, write_polygons
):
    """A raster labels the first two rows, polygons the left half; far.tif nothing here."""
    values = np.full((8, 8), 99, np.uint8)
    values[:2] = 0
    first = write_raster("first.tif", values, nodata=99)
    far = write_raster("far.tif", np.zeros((2, 2), np.uint8), crs="EPSG:3857")
    rest = write_polygons("rest.gpkg", [WEST], kind=["building"])
    reading = Reading(reference=ReferenceOptions(attribute="kind"))

    layer = open_references([first, far, rest], TREES_AROUND, grid_of(first), reading)

    expected = [[1] * 8] * 2 + [[0] * 4 + [1] * 4] * 6
    assert read_all(layer, grid_of(first)).tolist() == expected
    assert layer.title == "first.tif, rest.gpkg"


def test_references_that_all_lie_elsewhere_are_refused(write_raster):
    path = write_raster("map.tif", np.zeros((2, 2), np.uint8))
    far = [
        write_raster(f"{name}.tif", np.zeros((2, 2), np.uint8), crs="EPSG:3857") for name in "ab"
    ]

    with pytest.raises(EmptyError, match="none overlaps the raster"):
        open_references(far, LEGEND, grid_of(path), Reading())


MERGED = merge_legends([Correspondence("building", "10"), Correspondence("tree", "20")], LEGEND)


def test_with_merged_legends_map_and_reference_have_values_of_their_own(write_map, write_raster):
    path = write_map("map.tif", [[1, 0]])
    plain = write_raster("plain.tif", np.array([[1, 0]], np.uint8))
    painted = write_raster("painted.tif", np.array([[[215, 0]], [[48, 255]], [[31, 1]]], np.uint8))
    reference = write_raster("reference.tif", np.array([[10, 20]], np.uint8))

    found = [open_map(each, MERGED, grid_of(path), Reading()) for each in (path, plain, painted)]
    found.append(open_references([reference], MERGED, grid_of(path), Reading()))

    assert [read_all(layer, grid_of(path)).tolist() for layer in found] == [[[0, 1]]] * 4


def test_a_map_that_was_evaluated_has_the_values_of_maps(write_raster):
    """Where a reference has other values, a map of one band may be taken for one."""
    tables = [{"value": 1, "name": "building", "values": [0]}, {"value": 0, "name": "tree",
              "values": [1]}]  # fmt: skip
    legend = Legend.from_dict({"class": tables})
    path = write_raster("map.tif", np.array([[1, 0]], np.uint8))

    evaluated, else_ = (
        open_map(path, legend, grid_of(path), Reading(by_map_values=by)) for by in (True, False)
    )

    assert read_all(evaluated, grid_of(path)).tolist() == [[0, 1]]
    assert read_all(else_, grid_of(path)).tolist() == [[1, 0]]
