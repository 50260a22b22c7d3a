"""Right angles for buildings: what they are given, and that none overlaps another."""

import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS
from scipy import ndimage
from shapely import affinity
from vectorize_maps import outlines

from geoseg.raster.grid import Grid
from geoseg.vectorize.regularize import main_direction, pixel_ratio, regularized

ANGLES = (0, 17, 45, 70)


def drawn(shapes, angle, rough=0, side=140, seed=0):
    """Polygons of shapes that are turned and burnt into pixels, with a rough border."""
    draw = np.random.default_rng(seed)
    values = np.zeros((side, side), np.uint8)
    rows, columns = np.indices(values.shape) + 0.5
    noise = ndimage.gaussian_filter(draw.random((2, *values.shape)), (0, 1.5, 1.5)) - 0.5
    for number, shape in enumerate(shapes, 1):
        turned = affinity.rotate(shape, angle, origin=(side / 2, side / 2))
        own = shapely.contains_xy(turned, columns + rough * noise[0], rows + rough * noise[1])
        values[own & (values == 0)] = number
    regions, _, polygons = outlines(values)
    large = (regions.values > 0) & (regions.areas > 50)
    return polygons[large]


def corners(polygon):
    """Angles at the corners of the outer ring, in degrees."""
    xy = shapely.get_coordinates(polygon.exterior)[:-1]
    ahead, back = np.roll(xy, -1, axis=0) - xy, np.roll(xy, 1, axis=0) - xy
    turn = np.arctan2(ahead[:, 1], ahead[:, 0]) - np.arctan2(back[:, 1], back[:, 0])
    return np.degrees(turn) % 180


HOUSE = shapely.box(40, 50, 100, 90)
WINGED = HOUSE.union(shapely.box(80, 20, 100, 60))


@pytest.mark.parametrize("angle", ANGLES)
@pytest.mark.parametrize(("shape", "count"), [(HOUSE, 4), (WINGED, 6)])
def test_a_house_gets_its_corners_back(shape, count, angle):
    polygons = drawn([shape], angle, rough=8)
    found, flags = regularized(polygons)
    truth = affinity.rotate(shape, angle, origin=(70, 70))

    assert flags.all()
    assert corners(found[0]) == pytest.approx(np.full(count, 90))
    assert found[0].intersection(truth).area > 0.95 * found[0].union(truth).area
    assert shapely.get_num_coordinates(polygons[0]) > 5 * count


def test_a_wall_aslant_stays_aslant():
    cut = shapely.Polygon([(40, 50), (80, 50), (100, 70), (100, 90), (40, 90)])
    found, _ = regularized(drawn([cut], 0, rough=4))

    assert sorted(corners(found[0])) == pytest.approx([45, 45, 90, 90, 90], abs=4) or sorted(
        corners(found[0])
    ) == pytest.approx([90, 90, 90, 135, 135], abs=4)


def test_a_courtyard_stays_and_a_hole_of_a_pixel_goes():
    court = HOUSE.difference(shapely.box(60, 60, 80, 80)).difference(shapely.box(50, 55, 51, 56))
    found, _ = regularized(drawn([court], 0))

    assert [round(shapely.Polygon(ring).area) for ring in found[0].interiors] == [400]


@pytest.mark.parametrize("gap", [0, 1.5])
@pytest.mark.parametrize("angle", ANGLES)
def test_a_terrace_keeps_its_walls_in_common(angle, gap):
    terrace = [
        shapely.box(20 + 20 * k, 50 + k % 2, 40 + 20 * k, 90).difference(
            shapely.box(40 + 20 * k - gap, 62, 40 + 20 * k, 68)
        )
        for k in range(5)
    ]
    polygons = drawn(terrace, angle, rough=5)
    found, flags = regularized(polygons)

    assert len(found) == 5
    assert flags.all()
    assert shapely.coverage_is_valid(found)
    assert shapely.coverage_union_all(found).geom_type == "Polygon"
    assert shapely.get_num_coordinates(found).max() < 12


@pytest.mark.parametrize("seed", range(8))
def test_nothing_overlaps_and_all_is_like_its_source(seed):
    draw = np.random.default_rng(seed)
    shapes = [
        affinity.rotate(shapely.box(x, y, x + width, y + height), draw.integers(0, 90))
        for x, y, width, height in draw.integers(5, 110, (20, 4)) * [1, 1, 0.2, 0.2] + [0, 0, 9, 9]
    ]
    obstacle = shapely.box(60, 60, 75, 75)
    polygons = [each.difference(obstacle) for each in drawn(shapes, 0, rough=6, seed=seed)]
    polygons = np.array([each for each in polygons if each.geom_type == "Polygon"], object)
    found, flags = regularized(polygons, np.array([obstacle]))

    assert flags.any()
    assert (found == polygons)[~flags].all()
    assert shapely.is_valid(found).all()
    common = shapely.area(shapely.intersection(found, polygons))
    assert (common >= 0.8 * shapely.area(shapely.union(found, polygons))).all()
    every = np.append(found, obstacle)
    assert shapely.area(shapely.union_all(every)) == pytest.approx(shapely.area(every).sum())


def test_what_would_be_another_shape_stays():
    arms = [affinity.rotate(shapely.box(68, 20, 72, 120), angle) for angle in (0, 30, 60, 90)]
    polygons = drawn([shapely.union_all(arms), HOUSE.difference(shapely.box(44, 54, 96, 90))], 0)
    found, flags = regularized(polygons)

    assert not flags[0]
    assert found[0] is polygons[0]


def test_the_main_direction_is_that_of_long_walls():
    turned = affinity.rotate(HOUSE.union(affinity.rotate(shapely.box(45, 40, 55, 60), 30)), 20)

    assert np.degrees(main_direction(np.array([turned]))) == pytest.approx(20, abs=2)


@pytest.mark.parametrize(
    ("crs", "transform", "ratio"),
    [
        ("EPSG:32632", Affine(0.5, 0, 500_000, 0, -0.5, 5_700_000), 1),
        ("EPSG:32632", Affine(0.5, 0, 500_000, 0, -1, 5_700_000), 2),
        ("EPSG:4326", Affine(1e-5, 0, 10, 0, -1e-5, 60), 2),
        (None, Affine.identity(), 1),
    ],
)
def test_right_angles_are_those_of_the_ground(crs, transform, ratio):
    grid = Grid(CRS.from_string(crs) if crs else None, transform, height=10, width=10)

    assert pixel_ratio(grid) == pytest.approx(ratio, rel=0.01)
