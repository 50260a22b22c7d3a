import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS
from rasterio.transform import array_bounds
from rasterio.windows import Window as RasterioWindow
from rasterio.windows import transform as window_transform

from geoseg.errors import GridMismatchError
from geoseg.raster.grid import Grid, union
from geoseg.raster.window import Window

UTM = CRS.from_epsg(32632)
NORTH_UP = Affine(0.5, 0, 500_000, 0, -0.5, 5_700_000)
ROTATED = NORTH_UP @ Affine.rotation(30)


def grid(height=40, width=60, transform=NORTH_UP, crs=UTM):
    return Grid(crs, transform, height, width)


def window(row_off, col_off, height=10, width=20):
    return Window(row_off=row_off, col_off=col_off, height=height, width=width)


def test_bounds_agree_with_rasterio():
    assert grid().bounds == array_bounds(40, 60, NORTH_UP)


def test_corners_of_a_rotated_grid_lie_on_its_bounds():
    x_min, y_min, x_max, y_max = grid(transform=ROTATED).bounds
    xs, ys = zip(*grid(transform=ROTATED).corners, strict=True)

    assert (min(xs), max(xs), min(ys), max(ys)) == (x_min, x_max, y_min, y_max)
    assert len(set(xs)) == len(set(ys)) == 4


@pytest.mark.parametrize("transform", [NORTH_UP, ROTATED])
def test_the_transform_of_a_part_agrees_with_rasterio(transform):
    part = grid(transform=transform).part(window(7, 11))

    assert part.transform.almost_equals(
        window_transform(RasterioWindow(11, 7, 20, 10), transform), 1e-6
    )
    assert (part.height, part.width) == (10, 20)


@pytest.mark.parametrize("transform", [NORTH_UP, ROTATED])
@pytest.mark.parametrize("where", [window(0, 0), window(7, 11), window(-5, -3), window(39, 59)])
def test_a_part_is_found_where_it_was_cut(transform, where):
    whole = grid(transform=transform)

    assert whole.window_of(whole.part(where)) == where


@pytest.mark.parametrize(
    ("crs", "transform", "metres"),
    [
        ("EPSG:32632", Affine(0.5, 0, 500_000, 0, -0.5, 5_700_000), 0.5),
        ("EPSG:3857", Affine(1, 0, 1_000_000, 0, -1, 8_399_738), 0.5),  # 60 degrees north
        ("EPSG:2263", Affine(1, 0, 984_250, 0, -1, 200_000), 0.3048),  # feet
        ("EPSG:4326", Affine(1e-5, 0, 9, 0, -1e-5, 0.001), 1.11),  # degrees
        ("EPSG:32632", Affine(0.5, 0, 5e5, 0, -0.5, 5.7e6) @ Affine.rotation(30), 0.5),
    ],
)
def test_gsd_is_in_metres_on_the_ground(crs, transform, metres):
    assert grid(transform=transform, crs=CRS.from_string(crs)).gsd == pytest.approx(
        metres, rel=0.01
    )


def test_gsd_without_crs_is_unknown():
    assert grid(crs=None).gsd is None


def test_an_image_is_not_georeferenced():
    assert not grid(crs=None, transform=Affine.identity()).is_georeferenced
    assert grid(crs=None).is_georeferenced


def test_another_crs_is_refused_with_both_names():
    other = grid(crs=CRS.from_epsg(25832))

    with pytest.raises(GridMismatchError, match=r"EPSG:32632.*EPSG:25832"):
        grid().window_of(other)


@pytest.mark.parametrize(
    ("transform", "drift"),
    [
        (NORTH_UP @ Affine.translation(0.3, 0), "0.30"),
        (NORTH_UP @ Affine.translation(0, -0.4), "0.40"),
        (NORTH_UP @ Affine.rotation(1), r"\d"),
        (NORTH_UP @ Affine.scale(1, -1), r"\d"),
        (NORTH_UP @ Affine.scale(2), r"\d"),
    ],
)
def test_pixels_that_do_not_line_up_are_refused_with_the_drift(transform, drift):
    with pytest.raises(GridMismatchError, match=f"off by {drift}"):
        grid().window_of(grid(transform=transform))


def test_a_pixel_size_off_by_a_hair_shows_at_the_far_corner():
    stretched = NORTH_UP @ Affine.scale(1 + 5e-6)

    with pytest.raises(GridMismatchError, match=r"off by 0\.20 px"):
        grid(40_000, 40_000).window_of(grid(40_000, 40_000, stretched))
    assert grid().window_of(grid(transform=stretched)) == grid().window


def test_a_shift_below_the_tolerance_counts_as_the_same_pixels():
    assert grid().window_of(grid(transform=NORTH_UP @ Affine.translation(2.04, 0))).col_off == 2


def test_the_union_holds_all_grids():
    whole = grid()
    parts = [whole.part(window(5, 30)), whole.part(window(-2, 3)), whole.part(window(20, 10))]

    assert whole.window_of(union(parts)) == window(-2, 3, height=32, width=47)


def test_the_union_of_grids_that_do_not_line_up_is_refused():
    with pytest.raises(GridMismatchError):
        union([grid(), grid(transform=NORTH_UP @ Affine.translation(0.5, 0))])


@pytest.mark.parametrize(
    ("epsg", "transform", "expected"),
    [
        (3035, Affine(2, 0, 4_321_000, 0, -2, 3_210_000), 4),  # equal area
        (3857, Affine(1, 0, 1_000_000, 0, -1, 8_399_737), 0.25),  # at 60 degrees north
        (4326, Affine(1e-5, 0, 9, 0, -1e-5, 60), 1e-10 * 111_412 * 55_800),
    ],
)
def test_the_area_of_a_pixel_is_measured_on_the_ground(epsg, transform, expected):
    grid = Grid(CRS.from_epsg(epsg), transform, 400, 300)

    assert grid.pixel_area == pytest.approx(expected, rel=0.005)


def test_the_pixel_of_an_image_without_a_place_has_no_area():
    assert Grid(None, Affine.identity(), 4, 4).pixel_area is None


def test_bounds_that_are_hardly_numbers_any_more_hold_the_raster():
    grid = Grid(None, Affine(0.1, 0.1, 5, 0.1, -0.1, 5), 4, 4)

    window = grid.window_around((-1e308, -1e308, 1e308, 1e308))

    assert window.intersection(grid.window) == grid.window


MOON = (
    'GEOGCS["Moon",DATUM["D_Moon",SPHEROID["Moon",1737400,0]],PRIMEM["Reference",0],'
    'UNIT["degree",0.0174532925199433]]'
)
MOON_METRES = (
    f'PROJCS["Moon plane",{MOON},PROJECTION["Equirectangular"],'
    'PARAMETER["standard_parallel_1",0],PARAMETER["central_meridian",0],UNIT["metre",1]]'
)
FEET = 'LOCAL_CS["site",UNIT["US survey foot",0.304800609601219]]'


@pytest.mark.parametrize(
    ("wkt", "step", "gsd"),
    [
        (MOON_METRES, 0.5, 0.5),
        (MOON, 0.001, 0.001 * np.pi / 180 * 1_737_400),
        ('LOCAL_CS["site",UNIT["metre",1]]', 0.5, 0.5),
        (FEET, 2.0, 2 * 0.304800609601219),
    ],
)
def test_ground_that_is_not_the_earths_is_measured_in_its_own_metres(wkt, step, gsd):
    grid = Grid(CRS.from_wkt(wkt), Affine(step, 0, 0, 0, -step, 0), 4, 6)

    assert grid.gsd == pytest.approx(gsd, rel=1e-6)
    assert grid.pixel_area == pytest.approx(gsd**2, rel=1e-3)


@pytest.mark.parametrize(
    ("crs", "gsd"),
    [
        ("+proj=eqc +R=1737400 +units=m", 1),
        ("EPSG:4326", 111_319.49),
        ("+proj=longlat +R=1", 0.01745),
    ],
)
def test_places_beyond_the_poles_are_measured_in_units_of_the_crs(crs, gsd):
    beyond = Grid(CRS.from_string(crs), Affine(1, 0, 500_000, 0, -1, 6_000_000), 4, 6)

    assert beyond.gsd == pytest.approx(gsd, rel=1e-3)
    assert beyond.pixel_area == pytest.approx(gsd**2, rel=1e-3)


@pytest.mark.parametrize(
    "transform",
    [
        Affine(0, 0, 5, 0, 0, 6),
        Affine(1, 1, 5, 1, 1, 6),
        Affine(float("nan"), 0, 5, 0, -1, 6),
        Affine(1, 0, float("inf"), 0, -1, 6),
        Affine(1e300, 0, 0, 0, -1e300, 0),
    ],
)
def test_a_geotransform_that_places_no_pixel_is_refused(transform):
    with pytest.raises(ValueError, match="cannot be inverted"):
        Grid(UTM, transform, 4, 6)


COMPOUND = CRS.from_user_input("EPSG:25833+7837")
PLAIN = CRS.from_epsg(25833)
SITE, OTHER_SITE = (
    CRS.from_wkt(f'LOCAL_CS["{name}",UNIT["metre",1]]') for name in ("site", "other site")
)
NAMELESS = CRS.from_proj4("+proj=utm +zone=33 +ellps=GRS80 +units=m +no_defs")


def lambert(parameters):
    """A projection of these parameters that has no name."""
    return CRS.from_proj4(f"+proj=lcc +lat_1=46.5 +lat_0=46.5 +lon_0=3 {parameters}")


@pytest.mark.parametrize(("one", "other"), [(PLAIN, COMPOUND), (COMPOUND, PLAIN)])
def test_heights_make_no_other_ground(one, other):
    grid = Grid(one, NORTH_UP, 4, 6)

    assert grid.window_of(Grid(other, NORTH_UP, 4, 6)) == grid.window


@pytest.mark.parametrize(
    ("one", "other", "difference"),
    [
        (PLAIN, NAMELESS, r"datum European Terrestrial .* and Unknown based on GRS 1980"),
        (PLAIN, CRS.from_epsg(25832), r"EPSG:25833 .* and EPSG:25832 .*origin 15 and 9"),
        (COMPOUND, CRS.from_epsg(3857), r"EPSG:25833 \(ETRS89 / UTM zone 33N\) and EPSG:3857"),
        (PLAIN, None, r"one has no CRS, the other EPSG:25833"),
        (lambert("+ellps=GRS80"), lambert("+ellps=GRS80 +pm=paris"), r"prime meridian 0 and 2\.33"),
        (
            lambert("+ellps=GRS80 +x_0=600000.5"),
            lambert("+ellps=GRS80 +x_0=600000.25"),
            r"False easting 600000\.5 and 600000\.2",
        ),
        (
            lambert("+a=6378137 +b=6356752"),
            lambert("+a=6378138 +b=6356752"),
            r"semi-major axis 6378137 and 6378138",
        ),
        (PLAIN, SITE, r"EPSG:25833 .* and 'site' .*ellipsoid GRS 1980 and none"),
        (SITE, OTHER_SITE, r"'site' and 'other site'"),
    ],
)
def test_what_differs_between_two_crs_is_named(one, other, difference):
    with pytest.raises(GridMismatchError, match=difference) as caught:
        Grid(one, NORTH_UP, 4, 6).window_of(Grid(other, NORTH_UP, 4, 6))

    assert len(str(caught.value)) < 400
