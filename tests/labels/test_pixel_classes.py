"""What the values and colours of a raster mean, and what is unlabelled."""

import json

import numpy as np
import pytest
import rasterio
from PIL import Image

from geoseg.errors import InputError, LegendError
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.legend_files import preset
from geoseg.labels.pixel_classes import Meaning, PixelClasses, counted_meanings
from geoseg.labels.style import colormap
from geoseg.raster.reader import RasterReader

U = IGNORE
ROOF = preset("binary:roof")
TOWN = Legend.from_dict({"name": "town", "class": [{"name": "a"}, {"name": "b"}, {"name": "c"}]})
WITH_IGNORE = Legend.from_dict(TOWN.to_dict() | {"ignore": [255]})


@pytest.fixture
def write_mask(write_raster):
    """A function that writes one row of values, or of colours, and if wanted geoseg's tag."""

    def write(values, dtype="uint8", *, own=None, name="mask.tif", **profile):
        array = np.array([values], dtype)
        path = write_raster(name, array.transpose(2, 0, 1) if array.ndim > 2 else array, **profile)
        if own is not None:
            with rasterio.open(path, "r+") as file:
                tags = {"kind": "class map", "legend": own.to_dict()}
                file.update_tags(GEOSEG=json.dumps(tags))
        return path

    return write


@pytest.fixture
def write_jpeg(tmp_path):
    def write(array):
        Image.fromarray(array).save(tmp_path / "mask.jpg", quality=90)
        return tmp_path / "mask.jpg"

    return write


def indices(path, legend, coding="auto", *, tolerance=0, as_map=False):
    """Class indices of the only row."""
    classes = (
        PixelClasses.of_map(path, legend)
        if as_map
        else PixelClasses(path, legend, coding, tolerance=tolerance)
    )
    return read(path, classes)[0].tolist()


def read(path, classes):
    with RasterReader(path, palette_index=classes.by_index) as reader:
        return classes.encode(*reader.read(reader.grid.window))


def squares(low, high):
    """A picture of squares large enough for JPEG to keep their middles."""
    return np.kron(np.array([[low, high], [high, low]], np.uint8), np.ones((16, 16), np.uint8))


@pytest.mark.parametrize("as_map", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32"])
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 1, 0], [0, 1, 0]),
        ([0, 255, 0], [0, 1, 0]),
        ([0, 0, 0], [0, 0, 0]),
        ([255, 255, 255], [1, 1, 1]),
        ([1, 1, 1], [1, 1, 1]),
    ],
)
def test_the_class_of_a_binary_mask_is_1_or_else_255(write_mask, values, expected, dtype, as_map):
    assert indices(write_mask(values, dtype), ROOF, as_map=as_map) == expected


@pytest.mark.parametrize("as_map", [False, True])
def test_1_and_255_in_one_mask_are_refused_with_the_way_out(write_mask, as_map):
    path = write_mask([0, 1, 255])

    with pytest.raises(LegendError, match=r"mask\.tif: holds 1 and 255.*geoseg legend.*ignore"):
        indices(path, ROOF, as_map=as_map)


def test_1_and_255_are_refused_also_if_they_lie_in_different_windows(write_mask):
    classes = PixelClasses(write_mask([0, 1, 255]), ROOF)
    valid = np.ones((1, 1), np.bool_)
    assert classes.encode(np.array([[[1]]], np.uint8), valid).tolist() == [[1]]

    with pytest.raises(LegendError, match="holds 1 and 255"):
        classes.encode(np.array([[[255]]], np.uint8), valid)


@pytest.mark.parametrize("values", [[1, 2, 1], [0, 2, 2], [0, 100, 100], [0, 65535, 0], [0, -1, 1]])
def test_other_values_of_a_binary_mask_are_refused_with_the_way_out(write_mask, values):
    path = write_mask(values, "int32")

    with pytest.raises(
        LegendError, match=r"values without a class: -?\d+ \([12]x\).*geoseg legend"
    ):
        indices(path, ROOF)


@pytest.mark.parametrize("as_map", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32"])
def test_255_in_a_foreign_raster_is_refused_unless_something_says_what_it_is(
    write_mask, dtype, as_map
):
    values = [0, 255, 1, 255]

    with pytest.raises(LegendError, match=r"255(\.0)? \(2x\).*ignore = \[255"):
        indices(write_mask(values, dtype), TOWN, as_map=as_map)
    assert indices(write_mask(values, dtype), WITH_IGNORE, as_map=as_map) == [0, U, 1, U]
    assert indices(write_mask(values, dtype, nodata=255), TOWN, as_map=as_map) == [0, U, 1, U]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("cba", [2, U, 1]),
        ("cxba", [3, U, 2]),  # a class more
        ("xyz", [0, U, 1]),  # renamed
    ],
)
def test_classes_that_a_class_map_names_have_the_values_named_there(write_mask, names, expected):
    other = Legend.from_dict({"class": [{"name": name} for name in names]})

    path = write_mask([0, 255, 1], own=TOWN)

    assert indices(path, other, as_map=True) == expected


@pytest.mark.parametrize("nodata", [None, 255])
@pytest.mark.parametrize("as_map", [False, True])
def test_255_in_a_class_map_of_geosegs_is_unlabelled(write_mask, nodata, as_map):
    path = write_mask([0, 255, 1], own=TOWN, nodata=nodata)

    assert indices(path, TOWN, as_map=as_map) == [0, U, 1]


def test_a_class_map_of_geosegs_is_read_by_its_values_under_its_own_legend_only(write_mask):
    own = Legend.from_dict(
        {"class": [{"name": "a", "values": [1]}, {"name": "b", "value": 1, "values": [0]}]}
    )
    merged = Legend.from_dict({"class": [{"name": "all", "value": 5, "values": [0, 1]}]})
    path = write_mask([0, 1, 255], own=own)

    assert indices(path, own) == [0, 1, U]
    assert indices(path, own, "values") == [1, 0, U]
    assert indices(path, merged) == [0, 0, U]


def test_a_mask_of_geosegs_as_png_hides_255_by_its_palette(write_mask):
    path = write_mask([0, 1, 255], name="mask.png", colormap=colormap(ROOF))

    assert indices(path, ROOF) == [0, 1, U]


@pytest.mark.parametrize(
    ("profile", "expected"),
    [({"nodata": 0}, [U, 1, U]), ({"mask": np.array([[True, True, False]])}, [0, 1, U])],
)
def test_where_the_file_has_no_data_it_is_unlabelled(write_mask, profile, expected):
    assert indices(write_mask([0, 255, 0], **profile), ROOF) == expected


def test_nan_is_unlabelled_and_a_half_is_no_class(write_mask):
    assert indices(write_mask([0, np.nan, 1], "float32"), ROOF) == [0, U, 1]
    with pytest.raises(LegendError, match=r"0\.5 \(1x\)"):
        indices(write_mask([0, 0.5, 1], "float32"), ROOF)


@pytest.mark.parametrize(
    ("values", "nodata", "told"),
    [
        ([0, 1], 0, "nodata is 0, which means 'other'"),
        ([0, 255], 255, "nodata is 255, which means 'roof'"),
        ([0, 1, 255], 255, None),
        ([0, 1], 7, None),
        ([0, 1], None, None),
    ],
)
def test_nodata_that_means_a_class_is_reported(write_mask, values, nodata, told):
    path = write_mask(values, nodata=nodata)
    classes = PixelClasses(path, ROOF)
    read(path, classes)

    assert bool(classes.notes) == bool(told)
    assert all(told in note and "-unsetnodata" in note for note in classes.notes)


def test_the_count_is_that_of_the_whole_raster(write_mask):
    classes = PixelClasses(write_mask([0, 7, 1, 7, 7]), TOWN)

    with pytest.raises(LegendError, match=r"7 \(3x\)"):
        classes.encode(np.array([[[7]]], np.uint8), np.ones((1, 1), np.bool_))


def test_isprs_values_from_1_to_6_are_named(write_mask):
    path = write_mask([0, 1, 6])

    with pytest.raises(LegendError, match=r"6 \(1x\).*--legend isprs-1to6"):
        indices(path, preset("isprs"))
    assert indices(path, preset("isprs-1to6")) == [U, 0, 5]


def test_grey_images_are_sent_to_their_values(write_mask):
    path = write_mask([(0, 0, 0), (1, 1, 1)])

    with pytest.raises(LegendError, match="--coding values"):
        indices(path, TOWN)
    assert indices(path, TOWN, "values") == [0, 1]


def test_black_and_white_images_are_binary_masks(write_mask):
    assert indices(write_mask([(0, 0, 0), (255, 255, 255)]), ROOF) == [0, 1]


@pytest.mark.parametrize(
    ("legend", "values", "told"),
    [
        (ROOF, [0, 255], "values 0 = other, 255 = roof"),
        (ROOF, [0, 1], "values 0 = other, 1 = roof"),
        (ROOF, [0, 0], "values 0 = other, 1 or 255 = roof"),
        (WITH_IGNORE, [0, 1], "values 0 = a, 1 = b, 2 = c; unlabelled: 255"),
        (
            ROOF,
            [(0, 0, 0), (255, 255, 255)],
            "colours #d9d9d9 or #000000 = other, #d7301f or #ffffff = roof",
        ),
    ],
)
def test_what_a_mask_means_is_said(write_mask, legend, values, told):
    path = write_mask(values)
    classes = PixelClasses(path, legend)
    read(path, classes)

    assert str(classes.meaning) == told


def test_a_mask_that_was_saved_as_jpeg_is_named_and_read_by_its_nearest_value(write_jpeg):
    truth = squares(0, 255)
    path = write_jpeg(np.abs(truth.astype(np.int16) - 9).astype(np.uint8))

    with pytest.raises(LegendError, match=r"is JPEG, which changes values.*--color-tolerance \d+"):
        PixelClasses(path, ROOF).encode(np.array([[[9]]], np.uint8), np.ones((1, 1), np.bool_))
    assert (read(path, PixelClasses(path, ROOF, tolerance=60)) == (truth > 0)).all()


def test_classes_next_to_one_another_are_lost_in_a_jpeg(write_jpeg):
    path = write_jpeg(squares(0, 2))

    with pytest.raises(LegendError, match="cannot tell them apart"):
        PixelClasses(path, TOWN, tolerance=10)
    assert any("where classes meet" in note for note in PixelClasses(path, TOWN).notes)


def test_colours_that_were_saved_as_jpeg_are_read_by_the_nearest_class(write_jpeg):
    legend = Legend.from_dict(
        {"class": [{"name": "a", "color": "#ff0000"}, {"name": "b", "color": "#0000ff"}]}
    )
    which = squares(0, 1)
    colors = np.array([(255, 0, 0), (0, 0, 255)], np.uint8)
    path = write_jpeg(colors[which])

    with pytest.raises(LegendError, match=r"JPEG, which changes colours.*--color-tolerance \d+"):
        read(path, PixelClasses(path, legend))
    assert (read(path, PixelClasses(path, legend, tolerance=120)) == which).all()


def test_damaged_colours_of_a_lossless_file_are_sent_to_the_tolerance(write_mask):
    legend = Legend.from_dict(
        {"class": [{"name": "a", "color": "#ff0000"}, {"name": "b", "color": "#0000ff"}]}
    )
    path = write_mask([(254, 1, 0), (250, 3, 3), (1, 1, 250), (0, 0, 255)])

    with pytest.raises(LegendError, match=r"look like those of the legend.*--color-tolerance 7"):
        indices(path, legend)
    assert indices(path, legend, tolerance=7) == [0, 0, 1, 1]


def test_values_that_lie_near_one_another_are_told_apart_exactly_in_spite_of_a_tolerance(
    write_mask,
):
    path = write_mask([0, 1, 2])

    assert indices(path, TOWN, tolerance=30) == [0, 1, 2]


@pytest.mark.parametrize(
    ("bands", "told"), [(1, None), (2, "first band is"), (3, None), (4, "three")]
)
def test_bands_that_are_not_read_are_reported(write_raster, bands, told):
    path = write_raster("mask.tif", np.zeros((bands, 2, 2), np.uint8), photometric="minisblack")
    with rasterio.open(path, "r+") as file:
        file.colorinterp = [rasterio.enums.ColorInterp.gray] * bands

    notes = PixelClasses(path, ROOF).notes

    assert bool(notes) == bool(told)
    assert all(told in note for note in notes)


def test_rasters_without_the_class_count_to_those_that_tell_its_value():
    def meaning(*codes):
        return Meaning("values", {"other": ("0",), "roof": codes}, ())

    either, one, top = meaning("1", "255"), meaning("1"), meaning("255")

    assert counted_meanings([either, one, either]) == {str(one): 3}
    assert counted_meanings([either, either]) == {str(either): 2}
    assert counted_meanings([one, top, one]) == {str(one): 2, str(top): 1}


def test_a_mask_of_0_and_1_that_was_saved_as_jpeg_is_lost(write_jpeg):
    path = write_jpeg(squares(0, 3))
    classes = PixelClasses(path, ROOF, tolerance=5)
    read(path, classes)

    with pytest.raises(LegendError, match=r"JPEG, which changes values: use labels") as refusal:
        read(path, PixelClasses(path, ROOF))
    assert "--color-tolerance" not in str(refusal.value)
    assert any("no pixel is near 255" in note for note in classes.notes)


@pytest.mark.parametrize("kind", ["scores", "confidence"])
def test_scores_and_confidence_are_no_class_map(write_mask, kind):
    path = write_mask([0, 1])
    with rasterio.open(path, "r+") as file:
        file.update_tags(GEOSEG=json.dumps({"kind": kind}))

    with pytest.raises(InputError, match=f"holds {kind}, not classes; name the class map"):
        indices(path, TOWN, as_map=True)


def test_values_with_a_fraction_are_not_asked_to_become_classes(write_mask):
    with pytest.raises(LegendError, match="Values with a fraction are no classes"):
        indices(write_mask([0, 0.5], "float32"), TOWN, as_map=True)
