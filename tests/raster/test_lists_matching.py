from pathlib import Path

import pytest

from geoseg.errors import InputError
from geoseg.raster.lists import match_by_name, match_by_order


def paths(*names):
    return [Path(name) for name in names]


def test_the_first_reference_belongs_to_the_first_raster():
    truths = paths("r/2.tif", "r/1.tif")

    assert match_by_order(paths("o/a.tif", "o/b.tif"), truths) == truths


def test_one_reference_may_serve_all():
    assert match_by_order(paths("a.tif", "b.tif"), paths("r.gpkg")) == paths("r.gpkg", "r.gpkg")


@pytest.mark.parametrize("count", [0, 2, 4])
def test_different_numbers_are_refused_with_the_way_out(count):
    with pytest.raises(InputError, match=rf"3 rasters and {count} references.*--pair name"):
        match_by_order(paths("a.tif", "b.tif", "c.tif"), paths("r.tif") * count)


@pytest.mark.parametrize(
    "truth", ["r/a.tif", "r/a.png", "r/a_mask.tif", "r/label_a.gpkg", "r/mask-a.tif"]
)
def test_a_reference_is_found_by_the_rasters_name(truth):
    found = match_by_name(paths("o/b.tif", "o/a.tif"), paths("r/b.tif", truth))

    assert found == paths("r/b.tif", truth)


def test_the_whole_name_goes_before_a_part_of_it():
    found = match_by_name(paths("o/a.tif", "o/a_1.tif"), paths("r/a_1.tif", "r/a.tif"))

    assert found == paths("r/a.tif", "r/a_1.tif")


def test_numbers_differ_from_longer_ones():
    rasters = paths("o/tile_1.tif", "o/tile_10.tif", "o/tile_11.tif")
    truths = paths("r/tile_1_mask.tif", "r/tile_10_mask.tif", "r/tile_11_mask.tif")

    assert match_by_name(rasters, truths) == truths


@pytest.mark.parametrize(
    ("raster", "truth"), [("tile_1", "tile_10_mask"), ("area1", "area12"), ("12", "mask_312")]
)
def test_a_longer_number_is_another_raster(raster, truth):
    with pytest.raises(InputError, match="no reference has its name"):
        match_by_name(paths(f"o/{raster}.tif"), paths(f"r/{truth}.tif"))


def test_of_the_same_names_the_one_in_the_kindred_folder_is_taken():
    rasters = paths("north/o/1.tif", "south/o/1.tif")
    truths = paths("south/r/1.tif", "north/r/1.tif")

    assert match_by_name(rasters, truths) == truths[::-1]


@pytest.mark.parametrize(
    ("truths", "reason"),
    [(["r/b.tif"], "no reference has its name"), (["r/a_1.tif", "r/a_2.tif"], "several")],
)
def test_none_or_several_that_fit_are_refused(truths, reason):
    with pytest.raises(InputError, match=rf"o/a\.tif: {reason}"):
        match_by_name(paths("o/a.tif"), paths(*truths))
