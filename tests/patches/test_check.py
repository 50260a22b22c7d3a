import numpy as np
import pytest
from affine import Affine
from PIL import Image
from rasterio.crs import CRS
from scenes import blobs, ground
from scipy import ndimage

from geoseg.errors import EmptyError, PatchSetError
from geoseg.labels.legend import Legend
from geoseg.patches.check import check


def numbers(patch_set, source):
    return tuple(np.flatnonzero(patch_set.patches.source == source).tolist())


def test_a_set_without_faults_has_no_findings(make_set, find):
    patch_set = make_set(
        {"image": ground(64, 64, 0), "corner": (0, 0)},
        {"image": ground(64, 64, 1), "corner": (0, 64), "split": "val"},
    )

    assert find(patch_set) == {}


def test_footprints_in_two_splits_leak(make_set, find):
    picture = ground(96, 64)
    patch_set = make_set(
        {"image": picture[..., :32], "corner": (0, 0)},
        {"image": ground(32, 32, 1), "corner": (48, 16), "split": "val"},
    )

    leaks = find(patch_set)["leaks"]

    assert leaks.patches == (1, 2, 3)  # rows 32..64 and 64..96 of the first; all of the second
    assert leaks.drop == (1, 2)
    assert leaks.severity == "error"
    assert "2 of 3 train patches and 1 of 1 val patches" in leaks.what


OSLO = CRS.from_epsg(4326), Affine(2e-5, 0, 10.75, 0, -1e-5, 59.9)
TURNED = CRS.from_epsg(32632), Affine.translation(5e5, 5.7e6) @ Affine.rotation(20)
BORDER = CRS.from_epsg(32632), Affine(1, 0, 8e5, 0, -1, 5.7e6)
FAR = CRS.from_epsg(32633), Affine(1, 0, 5e5, 0, -1, 4e6)


@pytest.mark.parametrize("place", [OSLO, TURNED, BORDER], ids=["degrees", "turned", "several CRS"])
def test_footprints_that_touch_do_not_leak_in_any_crs(make_set, find, place):
    """In metres of another CRS they are turned, and the boxes around them overlap."""

    def leaks(row, col):
        other = place[0], place[1] @ Affine.translation(col, row)
        found = find(
            make_set(
                {"image": ground(64, 64), "place": place},
                {"image": ground(64, 64, 1), "place": other, "split": "val"},
                *([{"image": ground(32, 32, 2), "place": FAR}] if place is BORDER else []),
            )
        )
        return found["leaks"].patches if "leaks" in found else ()

    assert leaks(0, 64) == leaks(64, 0) == leaks(-64, 64) == ()
    assert leaks(0, 60) == (1, 3, 4, 6)


def test_the_same_pictures_under_other_names_leak(make_set, find):
    picture = ground(64, 64)
    patch_set = make_set({"image": picture}, {"image": picture, "split": "test"})

    leaks = find(patch_set)["leaks"]

    assert leaks.patches == tuple(range(8))
    assert leaks.drop == (0, 1, 2, 3)
    assert any("8 patches have the very pixels" in line for line in leaks.details)


@pytest.mark.parametrize("corner", [None, (0, 500)])
def test_a_compressed_and_brightened_copy_leaks_wherever_it_is_said_to_lie(make_set, find, corner):
    whole = ground(96, 96).astype(float)
    blurred = ndimage.gaussian_filter(whole, (0, 0.6, 0.6)) * 0.8 + 20
    noise = np.random.default_rng(5).normal(0, 4, whole.shape)
    patch_set = make_set(
        {"image": whole.astype(np.uint8), "corner": corner and (0, 0)},
        {
            "image": (blurred + noise).clip(0, 255).astype(np.uint8),
            "split": "val",
            "corner": corner,
        },
        {"image": ground(96, 96, 9), "split": "val", "corner": corner and (500, 0)},
        size=96,
    )

    leaks = find(patch_set)["leaks"]

    assert leaks.patches == (0, 1)
    assert leaks.drop == (0,)
    [line] = leaks.details
    assert line == "2 patches show the image of one in another split, stored differently"


@pytest.mark.parametrize("quality", [50, 90])
def test_a_copy_that_went_through_jpeg_leaks(make_set, find, tmp_path, quality):
    whole = ground(64, 64)
    Image.fromarray(np.moveaxis(whole, 0, -1)).save(tmp_path / "copy.jpg", quality=quality)
    patch_set = make_set(
        {"image": whole},
        {
            "image": np.moveaxis(np.asarray(Image.open(tmp_path / "copy.jpg")), -1, 0),
            "split": "val",
        },
        {"image": ground(64, 64, 3), "split": "val"},
        size=64,
    )

    assert find(patch_set)["leaks"].patches == (0, 1)


def test_a_near_copy_in_one_split_is_told_unless_the_footprints_say_so(make_set, find):
    picture = ground(96, 96)
    copy = {"image": picture + np.uint8(1)}

    hidden = find(make_set({"image": picture}, copy, size=96))["near-duplicates"]
    open_ = find(make_set({"image": picture, "corner": (0, 0)}, copy | {"corner": (0, 9)}, size=96))

    assert (hidden.severity, hidden.patches, hidden.drop) == ("warning", (0, 1), (1,))
    assert "near-duplicates" not in open_


def test_one_image_with_two_masks_contradicts_itself(make_set, find):
    picture, truth = ground(32, 32), blobs(32, 32)
    patch_set = make_set(
        {"image": picture, "mask": truth},
        {"image": picture, "mask": 1 - truth},
        {"image": ground(32, 32, 1)},
    )

    found = find(patch_set)["contradictions"]

    assert (found.patches, found.drop, found.severity) == ((0, 1), (0, 1), "error")


def test_of_duplicates_the_first_is_kept(make_set, find):
    picture, truth = ground(32, 32), blobs(32, 32)
    same = {"image": picture, "mask": truth}
    found = find(make_set(same, {"image": ground(32, 32, 1)}, same, same))["duplicates"]

    assert (found.patches, found.drop, found.severity) == ((0, 2, 3), (2, 3), "warning")


def test_a_mask_shared_by_many_images_is_an_outlier(make_set, find):
    """As in a set of 2,615 pairs from Mars, whose false pictures all had one mask."""
    shared = np.zeros((32, 32), np.uint8)
    shared[20:, :9] = 1
    false = [{"image": ground(32, 32, 10 + n), "mask": shared} for n in range(5)]
    two = [{"image": ground(32, 32, 20 + n), "mask": blobs(32, 32, 7)} for n in range(2)]
    right = [{"image": ground(32, 32, 30 + n), "mask": blobs(32, 32, 30 + n)} for n in range(6)]

    found = find(make_set(*right[:3], *false, *right[3:], *two))

    assert found["outliers"].drop == (3, 4, 5, 6, 7)
    assert found["outliers"].severity == "error"
    assert found["identical-masks"].drop == (11, 12)
    assert found["identical-masks"].severity == "warning"


@pytest.mark.parametrize("where", [{"corner": (0, 0)}, {"reference": 0}])
def test_several_dates_of_one_place_may_share_a_mask(make_set, find, where):
    """As of `geoseg tile 2019.tif 2020.tif ... -r truth.tif`."""
    first = {"image": ground(32, 32), "mask": blobs(32, 32, 7), "corner": where.get("corner")}
    dates = [{"image": ground(32, 32, n), "mask": blobs(32, 32, 7), **where} for n in range(1, 6)]
    elsewhere = {"image": ground(32, 32, 9), "mask": blobs(32, 32, 7)}

    assert not {"outliers", "identical-masks"} & set(find(make_set(first, *dates)))
    assert find(make_set(first, *dates, elsewhere))["identical-masks"].drop == tuple(range(7))


ROWS, COLS = np.indices((32, 32))


@pytest.mark.parametrize("mask", [ROWS < 0, COLS < 9, ROWS > 20, ROWS + COLS < 4])
def test_masks_of_one_class_or_stripe_or_a_mere_corner_may_be_the_same(make_set, find, mask):
    images = [{"image": ground(32, 32, n), "mask": mask.astype(np.uint8)} for n in range(6)]

    assert not {"outliers", "identical-masks"} & set(find(make_set(*images)))


def test_constant_images_and_unlabelled_masks_are_found(make_set, find):
    empty = np.full((32, 32), 255, np.uint8)
    found = find(
        make_set(
            {"image": ground(32, 32)},
            {"image": np.full((3, 32, 32), 7, np.uint8)},
            {"image": ground(32, 32, 1), "mask": empty},
        )
    )

    assert found["constant-images"].drop == (1,)
    assert found["unlabelled"].drop == (2,)


def test_patches_that_cannot_be_read_are_named(make_set, find):
    wrong = blobs(32, 32) + np.uint8(7)
    found = find(make_set({"image": ground(32, 32)}, {"image": ground(32, 32, 1), "mask": wrong}))

    assert found["unreadable"].drop == (1,)
    assert "values without a class" in found["unreadable"].details[0]


def test_classes_and_splits_that_are_missing_are_told(make_set, find):
    legend = Legend.from_dict({"class": [{"name": name} for name in "abc"]})
    one_class = {"image": ground(32, 32, 1), "mask": np.zeros((32, 32), np.uint8)}
    sources = {"image": ground(32, 32)}, {**one_class, "split": "val"}

    both = find(make_set(*sources))
    alone = find(make_set({"image": ground(32, 32)}))

    assert both["missing-classes"].what.endswith("missing: val lacks b")
    assert alone["missing-splits"].what == "no patch is for val"
    assert legend.names == ["a", "b", "c"]


def test_infinite_values_are_errors(make_set, find):
    image = ground(32, 32).astype(np.float32)
    image[0, 3, 3] = -3.4e38

    found = find(make_set({"image": ground(32, 32, 1).astype(np.float32)}, {"image": image}))

    assert found["not-finite"].drop == (1,)


def rgba(alpha):
    return {"image": np.concatenate([ground(32, 32), alpha[None]])}


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ({"image": ground(32, 32).astype(np.uint16)}, "the pixels are uint16, but no value is"),
        (rgba(np.full((32, 32), 255, np.uint8)), "band 4 is 0 or 255 everywhere, an alpha"),
        (rgba(255 * blobs(32, 32)), "leave it out, --bands 1,2,3"),
        ({"image": ground(32, 32)[[0, 0, 0]]}, "all bands are the same"),
        (
            {"image": ground(32, 32) * np.array([[[1]], [[0]], [[1]]], np.uint8)},
            "band 2 is 0 every",
        ),
        ({"image": ground(32, 32) * (blobs(32, 32) > 0)}, "1 images are 0 on 25% or more"),
    ],
)
def test_odd_values_are_told(make_set, find, source, line):
    found = find(make_set(source))["value-ranges"]

    assert any(line in each for each in found.details)


def test_a_fourth_band_with_values_is_no_alpha(make_set, find):
    assert "value-ranges" not in find(make_set(rgba(ground(32, 32)[0])))


def test_a_source_in_other_units_is_told(make_set, find):
    sources = [{"image": ground(32, 32, n).astype(np.float32)} for n in range(3)]
    found = find(make_set(*sources, {"image": ground(32, 32, 4) / np.float32(255)}))

    [line] = found["value-ranges"].details
    assert line.startswith("scene3: values reach 0.8")


def test_a_dark_patch_in_a_single_source_is_not_of_other_units(make_set, find):
    image = ground(32, 96).astype(np.float32)
    image[:, :, 32:] /= 50

    assert "value-ranges" not in find(make_set({"image": image}))


def test_one_bright_patch_does_not_put_its_source_into_other_units(make_set, find):
    image = ground(32, 96).astype(np.float32)
    image[:, :, :32] *= 50

    assert "value-ranges" not in find(
        make_set({"image": image}, {"image": ground(32, 96, 1).astype(np.float32)})
    )


def test_the_value_of_an_alpha_is_its_own(make_set, find):
    colours = ground(32, 32).astype(np.uint16) * 100
    image = np.concatenate([colours, np.full((1, 32, 32), 255, np.uint16)])

    details = find(make_set({"image": image}))["value-ranges"].details

    assert details[0].startswith("band 4 is 0 or 255 everywhere")


def test_a_class_that_is_nowhere_is_told(make_set, find):
    legend = Legend.from_dict({"class": [{"name": name} for name in "ab"]})
    mask = np.ones((32, 32), np.uint8)

    found = find(make_set({"image": ground(32, 32), "mask": mask}, legend=legend))

    assert "a is nowhere" in found["missing-classes"].what


def test_what_is_not_there_cannot_be_checked(tmp_path):
    with pytest.raises(PatchSetError, match="no patch set"):
        check(tmp_path, watch=lambda _: lambda items, _: items)


def test_a_set_of_which_nothing_is_left_is_refused(make_set):
    same = {"image": np.full((3, 32, 32), 7, np.uint8)}
    patch_set = make_set(same, same)
    report = check(patch_set.folder, workers=1, watch=lambda _: lambda items, _: items)

    with pytest.raises(EmptyError, match="no patch is left"):
        report.without(["constant-images"])
