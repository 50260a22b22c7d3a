"""Predicting with a rule instead of a network: what is known of every pixel must be in the map."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp
from rules import VALUES, brightest_band, like_a_network, random_image

from geoseg.errors import BundleError, EmptyError, GeosegWarning, OutputExistsError, RasterError
from geoseg.prediction.map_writer import MapOutputs
from geoseg.prediction.mosaic import mosaic
from geoseg.prediction.plan import PredictOptions
from geoseg.prediction.predict import plan_map
from geoseg.prediction.scores import decode_scores
from geoseg.raster.reader import ReadOptions

WINDOW_SIZES_PX = [(1, 1), (1, 23), (7, 5), (8, 8), (8, 9), (9, 7), (23, 31)]


def starts(length, size, stride):
    """Where windows begin: an eighth beyond the edge, where this takes no more of them."""
    if length <= size:
        return [-((size - length) // 2)]
    count = int(np.ceil((length - size) / stride)) + 1
    over = min(size // 8, ((count - 1) * stride + size - length) // 2)
    return (np.linspace(0, length + 2 * over - size, count).astype(int) - over).tolist()


def accumulated(image, segmenter, size, stride):
    """The blend as everybody would write it: sums over the whole map, in double precision."""
    height, width = image.shape[1:]
    valid = (image != 0).any(axis=0)
    around = ((size, size), (size, size))
    padded = np.pad(np.where(valid, image, np.nan), ((0, 0), *around), mode="symmetric")
    counts = np.pad(valid, around).astype(float)
    bell = np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2
    total, weight = np.zeros(padded.shape), np.zeros(padded.shape[1:])
    for row in starts(height, size, stride):
        for col in starts(width, size, stride):
            part = np.s_[row + size : row + 2 * size, col + size : col + 2 * size]
            weights = np.outer(bell, bell) * counts[part]
            [scores] = segmenter(padded[(slice(None), *part)][None].astype(np.float32))
            total[(slice(None), *part)] += scores * weights
            weight[part] += weights
    mean = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
    return mean[:, size : size + height, size : size + width], valid


@pytest.mark.parametrize(("height", "width"), WINDOW_SIZES_PX)
@pytest.mark.parametrize(("size", "stride"), [(8, 6), (8, 3), (5, 5), (40, 30)])
def test_a_rule_for_pixels_gives_its_classes_whatever_the_windows(
    write_raster, predict, tmp_path, height, width, size, stride, read
):
    image = random_image(height, width, holes=0.2)
    ortho = write_raster("ortho.tif", image, nodata=0)

    report = predict(ortho, patch_size=size, stride=stride)

    hole = (image == 0).all(axis=0)
    expected = np.where(hole, 255, VALUES[image.argmax(axis=0)])
    assert (read(tmp_path / "out/map.tif") == expected).all()
    assert report.pixels == height * width
    assert sum(report.class_pixels.values()) == np.count_nonzero(~hole)


@pytest.mark.parametrize(("height", "width"), WINDOW_SIZES_PX)
@pytest.mark.parametrize("stride", [3, 8])
def test_scores_are_those_of_an_accumulator_over_the_whole_map(
    write_raster, predict, tmp_path, height, width, stride, read
):
    image = random_image(height, width, holes=0.2)
    ortho = write_raster("ortho.tif", image, nodata=0)
    scores = {"scores": tmp_path / "scores.tif", "score_type": "float32"}

    predict(ortho, like_a_network, stride=stride, more=scores)

    expected, valid = accumulated(image, like_a_network, 8, stride)
    found, [classes] = read(tmp_path / "scores.tif"), read(tmp_path / "out/map.tif")
    assert found[:, valid] == pytest.approx(expected[:, valid], abs=1e-5)
    assert np.isnan(found[:, ~valid]).all()
    second, first = np.sort(expected, axis=0)[-2:]
    sure = valid & (first - second > 1e-4)
    assert (classes[sure] == VALUES[expected.argmax(axis=0)][sure]).all()
    assert (classes[~valid] == 255).all()


@pytest.mark.parametrize(("height", "width"), WINDOW_SIZES_PX)
def test_kept_windows_give_the_map_to_the_byte(write_raster, predict, tmp_path, height, width):
    image = random_image(height, width, holes=0.2)
    ortho = write_raster("ortho.tif", image, nodata=0)

    ours = predict(ortho, like_a_network, windows=tmp_path / "windows", stride=5)
    paths = sorted((tmp_path / "windows").glob("*.tif"))
    theirs = mosaic(paths, MapOutputs(class_map=tmp_path / "mosaic.tif"))

    assert (tmp_path / "mosaic.tif").read_bytes() == ours.path.read_bytes()
    assert theirs.class_pixels == ours.class_pixels


def test_a_window_that_was_lost_leaves_a_hole_and_no_class_0(write_raster, predict, tmp_path, read):
    ortho = write_raster("ortho.tif", random_image(24, 24))
    predict(ortho, windows=tmp_path / "windows", stride=8)
    (tmp_path / "windows" / "r000008_c000016.tif").unlink()

    paths = sorted((tmp_path / "windows").glob("*.tif"))
    mosaic(paths, MapOutputs(class_map=tmp_path / "mosaic.tif"))

    [whole], [rest] = read(tmp_path / "out/map.tif"), read(tmp_path / "mosaic.tif")
    whole[8:16, 16:24] = 255
    assert (rest == whole).all()


def test_the_same_input_gives_the_same_bytes_and_says_what_made_them(
    write_raster, predict, bundle, tmp_path
):
    ortho = write_raster("ortho.tif", random_image(20, 20))

    once = predict(ortho, like_a_network, batch_size=1).path.read_bytes()
    again = predict(ortho, like_a_network, streams=3, more={"overwrite": True}).path

    assert again.read_bytes() == once
    with rasterio.open(again) as file:
        made_of = json.loads(file.tags()["GEOSEG"])["provenance"]
    assert made_of["source"] == "ortho.tif"
    assert made_of["weights_sha256"] == bundle.weights_sha256
    assert (made_of["window_size"], made_of["window_stride"]) == (8, 6)


def test_stored_scores_and_confidence_tell_of_the_same_map(write_raster, predict, tmp_path, read):
    image = random_image(20, 20, holes=0.3)
    ortho = write_raster("ortho.tif", image, nodata=0)
    more = {"scores": tmp_path / "s.tif", "confidence": tmp_path / "c.tif"}

    predict(ortho, like_a_network, more=more)

    stored, [margin] = read(tmp_path / "s.tif"), read(tmp_path / "c.tif")
    hole = (image == 0).all(axis=0)
    assert (stored[:, hole] == 255).all()
    assert (margin[hole] == 255).all()
    scores = decode_scores(stored)
    assert scores[:, ~hole].sum(axis=0) == pytest.approx(1, abs=0.007)
    second, first = np.sort(scores, axis=0)[-2:]
    assert margin[~hole] / 254 == pytest.approx((first - second)[~hole], abs=0.007)


def test_a_plan_counts_the_windows_that_will_be_scored(write_raster, predict, bundle):
    ortho = write_raster("ortho.tif", random_image(23, 31))
    seen = []

    def counting(images):
        seen.extend(images)
        return brightest_band(images)

    plan = plan_map(ortho, [bundle], PredictOptions(patch_size=8, stride=6))
    predict(ortho, counting)

    assert (plan.window_grid.size, plan.window_grid.stride) == (8, 6)
    assert plan.windows == len(seen) == 4 * 5
    assert plan.pixels == 23 * 31
    assert plan.memory > 4 * 2 * 31 * 4  # the overlap of a row of windows of three classes


@pytest.mark.parametrize(
    ("gsd", "size", "stride"), [(0.25, 16, 12), (0.5, 8, 6), (1.0, 4, 3), (0.3, 13, 10)]
)
def test_resample_takes_windows_of_as_much_ground_as_the_models(
    write_raster, predict, bundle, tmp_path, gsd, size, stride, read
):
    place = Affine(gsd, 0, 500_000, 0, -gsd, 5_700_000)
    image = random_image(50, 40)
    ortho = write_raster("ortho.tif", image, transform=place)
    shapes = set()

    def watching(images):
        shapes.add(images.shape[-2:])
        return brightest_band(images)

    plan = plan_map(ortho, [bundle], PredictOptions(patch_size=8, stride=6, resample=True))
    predict(ortho, watching, resample=True)

    assert (plan.window_grid.size, plan.window_grid.stride) == (size, stride)
    assert shapes == {(size, size)}
    assert (read(tmp_path / "out/map.tif") == VALUES[image.argmax(axis=0)]).all()


@pytest.mark.parametrize("gsd", [0.39, 0.61, 3.0])
def test_another_gsd_is_refused_unless_resampled(write_raster, predict, tmp_path, gsd):
    place = Affine(gsd, 0, 500_000, 0, -gsd, 5_700_000)
    ortho = write_raster("ortho.tif", random_image(20, 20), transform=place)

    with pytest.raises(BundleError, match=r"ortho.tif: GSD is .*--resample"):
        predict(ortho)

    assert not (tmp_path / "out").exists()
    predict(ortho, resample=True)


def test_resampling_needs_a_gsd_on_both_sides(write_raster, predict, bundle):
    ortho = write_raster("ortho.tif", random_image(20, 20))
    picture = write_raster("picture.png", random_image(20, 20))

    with pytest.raises(BundleError, match="the orthophoto has none"):
        predict(picture, resample=True)
    with pytest.raises(BundleError, match="the model has none"):
        predict(ortho, model=replace(bundle, gsd=None), resample=True)
    predict(picture)


def test_another_number_of_bands_is_refused_and_bands_can_be_chosen(
    write_raster, predict, tmp_path, read
):
    image = random_image(12, 12)
    four = np.concatenate([np.full((1, 12, 12), 255, np.uint8), image])
    ortho = write_raster("ortho.tif", four, photometric="minisblack", alpha="no")

    with pytest.raises(BundleError, match=r"has 4 bands, the model takes 3 .*--bands"):
        predict(ortho)

    predict(ortho, read=ReadOptions(bands=(2, 3, 4)))
    assert (read(tmp_path / "out/map.tif") == VALUES[image.argmax(axis=0)]).all()


def test_bands_of_a_stack_are_named_where_they_are_too_many(write_raster, predict):
    ortho = write_raster("ortho.tif", random_image(12, 12))
    heights = write_raster("heights.tif", np.ones((1, 12, 12), np.uint8))

    with pytest.raises(BundleError, match=r"has 4 bands with those of --with \(.*, heights\)"):
        predict(ortho, read=ReadOptions(stacked=(heights,)))


def test_a_batch_is_no_larger_than_the_map_has_windows(write_raster, predict):
    ortho = write_raster("ortho.tif", random_image(8, 13))
    seen = []

    def counting(images):
        seen.extend(images)
        return brightest_band(images)

    predict(ortho, counting, batch_size=100)

    assert len(seen) == 2


def test_an_alpha_band_is_no_band_and_hides_pixels(write_raster, predict, tmp_path, read):
    image = random_image(12, 12)
    alpha = np.full((1, 12, 12), 255, np.uint8)
    alpha[0, :, :5] = 0
    ortho = write_raster("ortho.tif", np.concatenate([image, alpha]), alpha="yes")

    predict(ortho)

    [classes] = read(tmp_path / "out/map.tif")
    assert (classes[:, :5] == 255).all()
    assert (classes[:, 5:] == VALUES[image.argmax(axis=0)][:, 5:]).all()


@pytest.mark.parametrize(("factor", "dtype"), [(257, np.uint16), (1 / 255, np.float32)])
def test_values_on_another_scale_are_refused(write_raster, predict, factor, dtype):
    ortho = write_raster("ortho.tif", (random_image(20, 20) * np.float64(factor)).astype(dtype))

    with pytest.raises(BundleError, match=r"ortho.tif: values of .* rescale"):
        predict(ortho)


def test_an_existing_map_is_refused_before_anything_is_read(predict, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/map.tif").write_bytes(b"precious")

    with pytest.raises(OutputExistsError, match="--overwrite"):
        predict(tmp_path / "nothing.tif")

    assert (tmp_path / "out/map.tif").read_bytes() == b"precious"


def test_an_orthophoto_without_data_is_refused_and_leaves_nothing(
    write_raster, predict, tmp_path, files
):
    ortho = write_raster("ortho.tif", np.zeros((3, 20, 20), np.uint8), nodata=0)
    before = files(tmp_path)

    with pytest.raises(EmptyError, match=r"ortho.tif: has no pixel with data"):
        predict(ortho, windows=tmp_path / "windows")

    assert files(tmp_path) == before


def test_a_corrupt_orthophoto_is_named_and_leaves_nothing(write_raster, predict, tmp_path, files):
    ortho = write_raster("ortho.tif", random_image(300, 300), compress="deflate")
    ortho.write_bytes(ortho.read_bytes()[:-20_000])
    before = files(tmp_path)

    with pytest.raises(RasterError, match=r"ortho.tif: cannot be read"):
        predict(ortho, windows=tmp_path / "windows", patch_size=64)

    assert files(tmp_path) == before


def test_a_model_that_fails_half_way_leaves_nothing(write_raster, predict, tmp_path, files):
    ortho = write_raster("ortho.tif", random_image(40, 40))
    calls = []

    def failing(images):
        calls.append(len(images))
        if len(calls) > 3:
            raise BundleError("the model is tired")
        return brightest_band(images)

    before = files(tmp_path)
    with pytest.raises(BundleError, match="tired"):
        predict(ortho, failing, windows=tmp_path / "windows")

    assert files(tmp_path) == before


BGR = [ColorInterp.blue, ColorInterp.green, ColorInterp.red]


def test_bands_are_those_of_the_models_names_and_it_is_said(write_raster, predict, tmp_path, read):
    """In another order, or among others."""
    image = random_image(9, 11)
    more = np.concatenate([image[:1] // 2, image[::-1]])
    expected = VALUES[image.argmax(axis=0)]

    for bands, colors in ((image[::-1], BGR), (more, [ColorInterp.undefined, *BGR])):
        ortho = write_raster("ortho.tif", bands, colorinterp=colors, photometric="minisblack")
        with pytest.warns(GeosegWarning, match="bands .* are taken, which are the model's red, gr"):
            predict(ortho, more={"overwrite": True})
        assert (read(tmp_path / "out/map.tif") == expected).all()


def test_bands_that_the_user_names_are_taken_as_they_are(write_raster, predict, tmp_path, read):
    image = random_image(9, 11)
    ortho = write_raster("ortho.tif", image, colorinterp=BGR)

    predict(ortho, read=ReadOptions(bands=(1, 2, 3)))

    assert (read(tmp_path / "out/map.tif") == VALUES[image.argmax(axis=0)]).all()


def test_bands_in_other_places_that_cannot_be_found_are_refused(write_raster, predict):
    colors = [ColorInterp.blue, ColorInterp.green, ColorInterp.undefined]
    ortho = write_raster("ortho.tif", random_image(9, 11), colorinterp=colors)

    with pytest.raises(BundleError, match=r"ortho\.tif: its bands are blue, .* --bands"):
        predict(ortho)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_scene_unlike_the_training_is_told_band_by_band(
    write_raster, predict, bundle, tmp_path, dtype
):
    image = random_image(40, 40)
    mean, std = image.mean(axis=(1, 2)).tolist(), image.std(axis=(1, 2)).tolist()
    ortho = write_raster("ortho.tif", image.astype(dtype))
    known = replace(bundle, training={"statistics": {"mean": mean, "std": std}})
    predict(ortho, model=known)  # no warning, which would be an error

    mean[1] -= 2 * std[1]
    other = replace(bundle, training={"statistics": {"mean": mean, "std": std}})
    with pytest.warns(GeosegWarning, match=r"trust it: green .*\+2.00 standard .* 1.00\)$"):
        predict(ortho, model=other, more={"overwrite": True})
    with pytest.warns(GeosegWarning, match="unlike"):
        plan = plan_map(ortho, [other], PredictOptions(patch_size=8))

    assert [band.is_far for band in plan.scene[""]] == [False, True, False]
    small = write_raster("small.tif", image[:, :31, :31].astype(dtype))  # less than 16 patches
    assert not plan_map(small, [other], PredictOptions(patch_size=8)).scene


def test_a_scene_is_held_against_the_training_of_each_model(write_raster, bundle):
    image = random_image(40, 40)
    ortho = write_raster("ortho.tif", image)
    mean, std = image.mean(axis=(1, 2)), image.std(axis=(1, 2))
    near, far, further = (
        replace(
            bundle,
            folder=Path(name),
            training={"statistics": {"mean": (mean - shift * std).tolist(), "std": std.tolist()}},
        )
        for name, shift in [("near", 0), ("far", 1), ("further", 2)]
    )
    options = PredictOptions(patch_size=8)

    with pytest.warns(GeosegWarning, match="unlike what trained far, further, .*: red") as told:
        plan = plan_map(ortho, [near, bundle, far, further], options)
    assert len(told) == 1
    assert [*plan.scene] == ["near", "far", "further"]

    with pytest.warns(GeosegWarning, match="unlike what the model was trained on") as told:
        plan = plan_map(ortho, [far, replace(far, folder=Path("twin"))], options)
    assert len(told) == 1
    assert [*plan.scene] == [""]

    small = replace(bundle, value_range=(0, 10), dtype="uint16")
    with pytest.raises(BundleError, match="the model was trained on uint16"):
        plan_map(ortho, [near, small], options)
