import pytest
from affine import Affine
from rasterio.crs import CRS

from geoseg.errors import InputError
from geoseg.postprocess.options import ClassArea, Fill, Rule
from geoseg.raster.grid import AreaSize, Grid

METRE = Grid(CRS.from_epsg(32632), Affine(0.5, 0, 500_000, 0, -0.5, 5_700_000), 100, 100)


def test_square_metres_become_pixels_of_the_ground():
    assert AreaSize(5, "m2").in_pixels(METRE) == pytest.approx(20, rel=0.001)
    assert AreaSize(5, "px").in_pixels(METRE) == 5


def test_square_metres_need_a_crs():
    with pytest.raises(InputError, match="give it in px"):
        AreaSize(5, "m2").in_pixels(Grid(None, Affine.identity(), 3, 3))


@pytest.mark.parametrize("text", ["", "m2", "0px", "-3", "5m", "five", "1.2.3"])
def test_what_is_no_area_is_refused(text):
    with pytest.raises(ValueError, match="is not an area"):
        AreaSize.parse(text)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (Fill.parse, "low veg=bare soil"),
        (ClassArea.parse, "low veg=4m2"),
        (Rule.parse, "a b>4px:c<d"),
    ],
)
def test_names_may_hold_what_divides_words(parse, text):
    assert str(parse(text)) == text


@pytest.mark.parametrize("text", ["car<2m2", "car:road", "<2m2:road", "car<2m2:", "car=2m2:road"])
def test_what_is_no_rule_is_refused(text):
    with pytest.raises(ValueError, match="is no rule"):
        Rule.parse(text)


@pytest.mark.parametrize("text", ["", "=grass", "grass="])
def test_what_is_no_fill_is_refused(text):
    with pytest.raises(ValueError, match="is none of"):
        Fill.parse(text)
