import pytest
from affine import Affine
from rasterio.crs import CRS

from geoseg.errors import InputError
from geoseg.raster.grid import AreaSize, Grid, Length

GRID = Grid(CRS.from_epsg(32632), Affine(0.5, 0, 500_000, 0, -0.5, 5_700_000), 10, 10)


def test_metres_are_measured_on_the_ground():
    assert Length(1.5, "m").in_pixels(GRID) == pytest.approx(3, abs=0.01)
    assert Length(2, "px").in_pixels(GRID) == 2


def test_a_distance_of_less_than_a_pixel_is_refused():
    with pytest.raises(InputError, match=r"0\.4m is 0\.80 px, and a distance is at least 1 px"):
        Length(0.4, "m").in_pixels(GRID)


def test_metres_on_an_image_without_a_place_are_refused():
    picture = Grid(None, Affine.identity(), 4, 4)

    with pytest.raises(InputError, match="1m cannot be converted to pixels without a CRS"):
        Length(1, "m").in_pixels(picture)


@pytest.mark.parametrize("value", [256, 0.5, 1234567.5, 0.12345678, 1e-7, 1e16])
def test_lengths_and_areas_are_written_with_all_their_digits(value):
    for size in (Length(value, "m"), AreaSize(value, "m2")):
        assert type(size).parse(str(size)) == size
    assert str(Length(256.0, "px")) == "256px"
