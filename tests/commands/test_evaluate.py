import csv
import json
import shutil

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from shapely import box

from geoseg.patches.patch_set import PatchSet
from geoseg.patches.training_ground import TrainingGround
from geoseg.report.inputs import read_evaluated
from geoseg.report.scenes import opened_scenes

TRANSFORM = Affine(0.5, 0, 500_000, 0, -0.5, 5_700_000)
"""Of the rasters that tests write."""


@pytest.fixture
def maps(world, write_raster):
    """Two maps and their references."""
    (world / "truth").mkdir()
    for name, mapped, truth in (("one", [[5, 5, 9, 9]], [[5, 9, 9, 9]]), ("two", [[5]], [[5]])):
        write_raster(f"maps/{name}.tif", np.array(mapped, np.uint8), nodata=255)
        write_raster(f"truth/{name}_truth.tif", np.array(truth, np.uint8))
    return world


def test_the_table_names_classes_and_figures(geoseg, maps):
    outcome = geoseg("evaluate", maps / "maps/one.tif", "-r", maps / "truth/one_truth.tif",
                     "-l", maps / "legend.toml")  # fmt: skip

    assert outcome.code == 0
    assert "dark" in outcome.out
    assert "50.00" in outcome.out
    assert "mean IoU 58.33" in outcome.out


def test_several_maps_are_told_each_and_pooled(geoseg, maps):
    outcome = geoseg("evaluate", maps / "maps", "-r", maps / "truth", "--pair", "name",
                     "-l", maps / "legend.toml", "-o", maps / "report", "--json")  # fmt: skip

    figures = json.loads(outcome.out)
    assert figures["pixels"] == 5
    assert figures["overall_accuracy"] == pytest.approx(0.8)
    assert figures["maps"]["two"]["classes"][1]["iou"] is None
    with (maps / "report" / "maps.csv").open() as file:
        assert [row["map"] for row in csv.DictReader(file)] == ["one", "two"]
    assert json.loads((maps / "report" / "evaluation.json").read_text()) == figures
    assert (maps / "report" / "confusion.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_of_predict_gives_maps_and_scores(geoseg, maps, write_raster):
    folder = maps / "maps"
    for name, width in (("one", 4), ("two", 1)):
        dark = np.full((1, width), 200, np.uint8)
        write_raster(f"maps/{name}_scores.tif", np.stack([dark, 254 - dark]), nodata=255)
    for path in folder.iterdir():
        with rasterio.open(path, "r+") as file:
            kind = "scores" if "scores" in path.name else "class map"
            file.update_tags(GEOSEG=json.dumps({"kind": kind}))

    outcome = geoseg("evaluate", folder, "-r", maps / "truth", "--pair", "name", "--score-map",
                     folder, "-l", maps / "legend.toml", "--json")  # fmt: skip

    figures = json.loads(outcome.out)
    assert figures["inputs"]["two"]["map"] == str(folder / "two.tif")
    assert figures["inputs"]["two"]["scores"] == str(folder / "two_scores.tif")
    assert outcome.err == (
        f"{folder}: 2 of 4 files taken; passed over: 2 scores\n"
        f"{folder}: 2 of 4 files taken; passed over: 2 class map\n"
    )


def test_one_bad_map_is_named_and_the_others_count(geoseg, maps):
    (maps / "maps" / "torn.tif").write_bytes(b"II*\0nothing")

    outcome = geoseg("evaluate", maps / "maps/torn.tif", maps / "maps/two.tif",
                     "-r", maps / "truth/two_truth.tif", "-l", maps / "legend.toml")  # fmt: skip

    assert outcome.code == 1
    assert "1 px counted" in outcome.out
    assert "torn.tif" in outcome.err


def test_only_the_ground_of_a_split_counts(geoseg, world):
    geoseg("tile", world / "ortho.tif", "-r", world / "reference.tif", "-l", world / "legend.toml",
           "-o", world / "patches", "--patch-size", 32, "--stride", 32, "--split-block", 32,
           "--edge", "drop")  # fmt: skip
    outcome = geoseg("evaluate", world / "reference.tif", "-r", world / "reference.tif",
                     "-l", world / "legend.toml", "--patches", world / "patches", "--split", "val",
                     "--json")  # fmt: skip

    figures = json.loads(outcome.out)
    assert figures["pixels"] % 32**2 == 0
    assert 0 < figures["pixels"] < 96 * 112 / 2
    assert figures["mean_iou"] == 1


def test_a_split_without_patches_is_named(geoseg, world, patches):
    outcome = geoseg("evaluate", world / "reference.tif", "-r", world / "reference.tif",
                     "-l", world / "legend.toml", "--patches", patches, "--split",
                     "test")  # fmt: skip

    assert outcome.code == 1
    assert f"{patches}: has no patches of split 'test', only of " in outcome.err


def test_a_map_that_names_no_classes_needs_a_legend(geoseg, maps):
    outcome = geoseg("evaluate", maps / "maps/one.tif", "-r", maps / "truth/one_truth.tif")

    assert outcome.code == 1
    assert "pass --legend" in outcome.err


def test_figures_along_borders_are_told_on_request(geoseg, world):
    same = ("evaluate", world / "reference.tif", "-r", world / "reference.tif",
            "-l", world / "legend.toml", "--boundary", "1m", "--erode", 3)  # fmt: skip
    table, figures = geoseg(*same).out, json.loads(geoseg(*same, "--json").out)

    assert "borders within 1m: mean boundary IoU 100.00, mean boundary F1 100.00" in table
    assert "without 3px along the reference's borders" in table
    assert figures["boundary"]["distance"] == "1m"
    assert figures["classes"][0]["boundary_iou"] == figures["classes"][1]["eroded_f1"] == 1
    assert 0 < figures["eroded"]["pixels"] < figures["pixels"]


def test_a_distance_without_sense_is_wrong_usage(geoseg, maps):
    outcome = geoseg("evaluate", maps / "maps/one.tif", "-r", maps / "truth/one_truth.tif",
                     "-l", maps / "legend.toml", "--boundary", "3 miles")  # fmt: skip

    assert outcome.code == 2
    assert "is not a distance such as 2px or 1.5m" in outcome.err


def test_objects_of_a_class_are_matched_on_request(geoseg, world):
    same = ("evaluate", world / "reference.tif", "-r", world / "reference.tif",
            "-l", world / "legend.toml", "--objects")  # fmt: skip
    table, figures = geoseg(*same, "dark").out, json.loads(geoseg(*same, "dark", "--json").out)

    assert "objects of dark" in table
    assert figures["objects"][0]["f1"] == 1
    assert geoseg(*same, "tree").code == 1


def test_bounds_regions_and_errors_are_told_on_request(geoseg, maps, write_raster, write_polygons):
    rng = np.random.default_rng(0)
    mapped = write_raster("map.tif", rng.choice([5, 9], (64, 64)).astype(np.uint8), nodata=255)
    truth = write_raster("truth.tif", rng.choice([5, 9], (64, 64)).astype(np.uint8))
    town = write_polygons("towns.gpkg", [box(500_000, 5_699_990, 500_010, 5_700_000)], town=["old"])
    outcome = geoseg("evaluate", mapped, "-r", truth, "-l", maps / "legend.toml",
                     "--intervals", 90, "--block", "16px", "--bootstrap", 100, "--seed", 3,
                     "--by", f"{town}:town", "--error-map", maps / "errors.tif", "--worst", 2,
                     "--window", 16, "--ortho", truth, "--workers", 2,
                     "-o", maps / "report", "--json")  # fmt: skip

    figures = json.loads(outcome.out)
    low, high = figures["confidence"]["overall_accuracy"]
    assert low < figures["overall_accuracy"] < high
    assert figures["confidence"]["blocks"] == 16
    assert figures["regions"]["rows"][0]["pixels"] == 400
    assert len(figures["worst"]) == 2
    assert "only 16 blocks of 16px" in outcome.err
    assert (maps / "errors.tif").exists()
    names = {path.name for path in (maps / "report").iterdir()}
    assert {"regions.csv", "worst.csv", "worst.gpkg", "worst.png"} <= names
    with (maps / "report/classes.csv").open() as file:
        assert float(next(csv.DictReader(file))["iou_low"]) > 0


def test_error_maps_of_several_maps_are_in_a_folder(geoseg, maps):
    outcome = geoseg("evaluate", maps / "maps", "-r", maps / "truth", "--pair", "name",
                     "-l", maps / "legend.toml", "--error-map", maps / "errors")  # fmt: skip

    assert outcome.code == 0
    assert sorted(path.name for path in (maps / "errors").glob("*.tif")) == [
        "one_errors.tif",
        "two_errors.tif",
    ]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--block", "16px"], "is for --intervals"),
        (["--ortho", "o.tif"], "is for --worst with --output"),
        (["--error-map", "errors.png"], "rasters are written as GeoTIFF"),
        (["--intervals", 10], "50"),
    ],
)
def test_options_without_sense_are_wrong_usage(geoseg, maps, write_raster, words, complaint):
    write_raster("o.tif", np.zeros((1, 4), np.uint8))
    words = [maps / word if word == "o.tif" else word for word in words]
    outcome = geoseg("evaluate", maps / "maps/one.tif", "-r", maps / "truth/one_truth.tif",
                     "-l", maps / "legend.toml", *words)  # fmt: skip

    assert outcome.code == 2
    assert complaint in outcome.err


def test_errors_of_several_maps_in_one_file_are_wrong_usage(geoseg, maps):
    outcome = geoseg("evaluate", maps / "maps", "-r", maps / "truth", "--pair", "name",
                     "-l", maps / "legend.toml", "--error-map", maps / "errors.tif")  # fmt: skip

    assert outcome.code == 2
    assert "name a folder" in outcome.err


def test_regions_that_lie_elsewhere_are_refused(geoseg, maps, write_polygons):
    away = write_polygons("away.gpkg", [box(0, 0, 1, 1)], town=["far"])
    outcome = geoseg("evaluate", maps / "maps/one.tif", "-r", maps / "truth/one_truth.tif",
                     "-l", maps / "legend.toml", "--by", f"{away}:town")  # fmt: skip

    assert outcome.code == 1
    assert "no region lies on a map" in outcome.err


@pytest.fixture
def villages(write_raster, write_polygons, tmp_path):
    """Three maps of 4 x 4 px; the polygons of the first one's reference lie on it alone."""
    (tmp_path / "legend.toml").write_text(
        'background = "no"\n[[class]]\nname = "no"\nvalue = 0\n[[class]]\nname = "yes"\nvalue = 1\n'
    )
    mapped = np.array([[1, 1, 0, 0]] * 4, np.uint8)
    for number, name in enumerate("abc"):
        at = TRANSFORM @ Affine.translation(100 * number, 0)
        write_raster(f"{name}.tif", mapped, nodata=255, transform=at)
    write_polygons("a.gpkg", [box(500_000, 5_699_998, 500_001, 5_700_000)])
    write_polygons("b.gpkg", [])
    write_polygons("c.gpkg", [box(900_000, 5_699_998, 900_001, 5_700_000)])
    return tmp_path


def test_a_map_without_any_object_is_all_background(geoseg, villages):
    outcome = geoseg("evaluate", villages / "a.tif", villages / "b.tif",
                     "-r", villages / "a.gpkg", "-r", villages / "b.gpkg",
                     "-l", villages / "legend.toml", "--json")  # fmt: skip

    assert outcome.code == 0
    assert "b.tif is without a polygon: all ground there is 'no'" in outcome.err
    assert json.loads(outcome.out)["confusion"]["counts"] == [[16, 8], [0, 8]]


def test_a_map_far_from_its_polygons_is_a_fault(geoseg, villages):
    outcome = geoseg("evaluate", villages / "a.tif", villages / "c.tif", "-r", villages / "a.gpkg",
                     "-r", villages / "c.gpkg", "-l", villages / "legend.toml")  # fmt: skip

    assert outcome.code == 1
    assert "16 px counted" in outcome.out
    assert "c.gpkg: no polygon lies on the raster; are the CRS right?" in outcome.err


def test_a_map_outside_of_the_aoi_is_left_out_if_another_is_not(geoseg, villages, write_polygons):
    aoi = write_polygons("aoi.gpkg", [box(500_000, 5_699_999, 500_002, 5_700_000)])
    words = ("-r", villages / "a.tif", "-r", villages / "b.tif", "--aoi", aoi,
             "-l", villages / "legend.toml", "--json")  # fmt: skip

    both = geoseg("evaluate", villages / "a.tif", villages / "b.tif", *words)
    alone = geoseg("evaluate", villages / "b.tif", *words)

    assert both.code == 0
    assert "b.tif is outside of the ground that counts: left out" in both.err
    assert json.loads(both.out)["confusion"]["counts"] == [[4, 0], [0, 4]]
    assert alone.code == 1
    assert "no polygon of the area lies on the raster" in alone.err


def test_a_single_map_without_any_object_is_refused(geoseg, villages):
    outcome = geoseg("evaluate", villages / "b.tif", "-r", villages / "b.gpkg",
                     "-l", villages / "legend.toml")  # fmt: skip

    assert outcome.code == 1
    assert outcome.err.endswith("b.gpkg: holds no polygon\n")


def test_only_labelled_areas_count_and_the_report_shows_them(geoseg, villages, write_polygons):
    areas = write_polygons("boxes.gpkg", [box(500_000.5, 5_699_999, 500_001.5, 5_700_000)])
    outcome = geoseg("evaluate", villages / "a.tif", "-r", villages / "a.gpkg", "-l",
                     villages / "legend.toml", "--labelled-areas", areas, "-o", villages / "report",
                     "--json")  # fmt: skip

    assert outcome.code == 0
    assert json.loads(outcome.out)["confusion"]["counts"] == [[2, 0], [0, 2]]
    page = geoseg("report", villages / "report", "-o", villages / "report.html")
    assert page.code == 0, page.err


def test_ground_between_polygons_counts_only_if_it_is_known(geoseg, villages):
    outcome = geoseg("evaluate", villages / "a.tif", "-r", villages / "a.gpkg",
                     "-l", villages / "legend.toml", "--labelled-areas", "polygons",
                     "--json")  # fmt: skip

    assert json.loads(outcome.out)["confusion"]["counts"] == [[0, 0], [0, 8]]


def test_the_headline_says_over_what_it_was_counted(geoseg, maps, write_polygons):
    aoi = write_polygons("aoi.gpkg", [box(500_000, 5_699_999, 500_001, 5_700_000)])
    same = ("evaluate", maps / "maps/one.tif", "-r", maps / "truth/one_truth.tif",
            "-l", maps / "legend.toml")  # fmt: skip

    assert "over all 2 classes and 100 % of the map: overall accuracy" in geoseg(*same).out
    part = geoseg(*same, "--aoi", aoi)
    assert "over all 2 classes and 50 % of the map: overall accuracy" in part.out
    figures = json.loads(geoseg(*same, "--aoi", aoi, "--json").out)
    assert (figures["classes_counted"], figures["share_of_map"]) == (2, 0.5)


@pytest.mark.parametrize(
    ("truth", "warning"),
    [
        ([5, 9, 5, 9], ""),
        ([9, 9, 9, 255], "the reference holds one class only, 'bright': its metrics say little"),
        ([5, 9] + [255] * 46, "only 4.2 % of the map is counted"),
    ],
)
def test_what_spoils_figures_is_told(geoseg, maps, write_raster, truth, warning):
    reference = write_raster("t.tif", np.array([truth], np.uint8), nodata=255)
    dark = write_raster("m.tif", np.full((1, len(truth)), 5, np.uint8))

    outcome = geoseg("evaluate", dark, "-r", reference, "-l", maps / "legend.toml")

    assert outcome.code == 0
    assert outcome.err == (f"warning: {warning}\n" if warning else "")


def test_classes_without_a_reference_are_told(geoseg, maps):
    legend = maps / "three.toml"
    legend.write_text((maps / "legend.toml").read_text() + '[[class]]\nvalue = 1\nname = "sea"\n')

    outcome = geoseg("evaluate", maps / "maps/one.tif", "-r", maps / "truth/one_truth.tif",
                     "-l", legend)  # fmt: skip

    assert outcome.err == "warning: no pixel of 'sea' in the reference: the means leave it out\n"
    assert "over 2 of 3 classes and 100 % of the map" in outcome.out


@pytest.fixture
def trained_map(geoseg, world, patches, model):
    """The map of a copy of the orthophoto, made by a model that knows where it was trained."""
    patch_set = PatchSet.open(patches)
    TrainingGround.of(patch_set.record, patch_set.patches).write(model)
    copy = shutil.copy(world / "ortho.tif", world / "renamed.tif")
    outcome = geoseg("predict", model, copy, "-o", world / "map.tif", "--runtime", "torch")
    assert outcome.code == 0, outcome.err
    return world / "map.tif"


def test_figures_of_training_ground_and_of_the_rest_are_both_told(
    geoseg, world, patches, trained_map
):
    inputs = ("-r", world / "reference.tif")
    outcome = geoseg("evaluate", trained_map, *inputs, "-o", world / "report")
    figures = json.loads((world / "report" / "evaluation.json").read_text())

    trained = np.zeros((96, 112), bool)
    for patch in PatchSet.open(patches).in_split("train"):
        trained[patch.window.slices] = True
    with rasterio.open(trained_map) as one, rasterio.open(world / "reference.tif") as other:
        mapped, truth = one.read(1), other.read(1)
    seen, new = trained & (mapped != 255), ~trained & (mapped != 255)
    ground = figures["training_ground"]
    assert ground["pixels"] == seen.sum()
    assert ground["share"] == pytest.approx(seen.sum() / (mapped != 255).sum())
    assert ground["elsewhere"]["pixels"] == new.sum()
    assert ground["elsewhere"]["overall_accuracy"] == pytest.approx((mapped == truth)[new].mean())
    share = f"{100 * ground['share']:.0f} % of this ground trained the model"
    assert f"{share}; on the rest ({new.sum()} px): overall accuracy" in outcome.out
    assert f"warning: {share}; honest: --patches PATCHES --split test" in outcome.err
    page = geoseg("report", world / "report", "-o", world / "page.html")
    assert page.code == 0
    assert "of this ground trained the model; on the other" in (world / "page.html").read_text()


def test_ground_that_did_not_train_is_said_to_be_honest(geoseg, world, patches, trained_map):
    same = ("evaluate", trained_map, "-r", world / "reference.tif", "--patches", patches)

    val, train = (geoseg(*same, "--split", split) for split in ("val", "train"))

    assert "none of this ground trained the model" in val.out
    assert "trained the model" not in val.err
    assert "all of this ground trained the model: there are no metrics of other" in train.out
    assert "warning: 100 % of this ground trained the model" in train.err


def test_what_is_made_of_a_map_knows_its_training_ground(geoseg, world, trained_map):
    def pixels(path):
        told = geoseg("evaluate", path, "-r", world / "reference.tif", "--json", "-l",
                      world / "legend.toml")  # fmt: skip
        return json.loads(told.out)["training_ground"]["pixels"]

    geoseg("postprocess", trained_map, "-o", world / "clean.tif", "--min-area", "9px")
    geoseg("mosaic", trained_map, world / "clean.tif", "-o", world / "both.tif")
    with rasterio.open(trained_map) as file:
        tags, values, profile = file.tags(), file.read(1), file.profile
    cut = {"driver": "GTiff", "height": 60, "width": 112, "count": 1, "dtype": "uint8"}
    cut |= {"crs": profile["crs"], "transform": profile["transform"], "nodata": 255}
    with rasterio.open(world / "cut.tif", "w", **cut) as file:
        file.write(values[:60], 1)
        file.update_tags(**tags)

    whole = pixels(trained_map)
    assert pixels(world / "clean.tif") == pixels(world / "both.tif") == whole
    assert 0 < pixels(world / "cut.tif") < whole


def test_a_map_of_a_model_that_does_not_know_its_ground_says_nothing(geoseg, world, model):
    geoseg("predict", model, world / "ortho.tif", "-o", world / "map.tif", "--runtime", "torch")
    same = ("evaluate", world / "map.tif", "-r", world / "reference.tif")

    quiet, verbose = geoseg(*same), geoseg(*same, "-v")

    assert "trained" not in quiet.out + quiet.err
    assert "1 of 1 map(s) do not say, or not in full, which ground trained" in verbose.err
    assert json.loads(geoseg(*same, "--json").out)["training_ground"] is None


@pytest.mark.parametrize(("words", "objects"), [((), 2), (("--connectivity", 8), 1)])
def test_what_an_object_is_can_be_chosen_and_is_said(geoseg, maps, write_raster, words, objects):
    corner = write_raster("corner.tif", np.array([[9, 5], [5, 9]], np.uint8))
    same = ("evaluate", corner, "-r", corner, "-l", maps / "legend.toml", "--objects", "bright")

    (row,) = json.loads(geoseg(*same, *words, "--json").out)["objects"]

    assert (row["reference"], row["map"]) == (objects, objects)
    assert row["connectivity"] == (4 if objects == 2 else 8)
    assert "an object is pixels that touch along a side" in geoseg(*same, *words).out


def test_a_sample_of_training_ground_is_told(geoseg, world, patches, trained_map):
    geoseg("sample-points", trained_map, "-o", world / "points.gpkg", "--points", 20,
           "--min-per-class", 5)  # fmt: skip
    points = gpd.read_file(world / "points.gpkg")
    points["reference"] = "dark"
    points.to_file(world / "points.gpkg")

    same = ("evaluate", trained_map, "--sample", world / "points.gpkg")
    ground = json.loads(geoseg(*same, "--json").out)["training_ground"]

    area = sum(
        each.height * each.width
        for each in TrainingGround.of(PatchSet.open(patches).record, PatchSet.open(patches).patches)
        .sources[0]
        .windows["train"]
    )
    with rasterio.open(trained_map) as file:
        valid = int((file.read(1) != 255).sum())
    assert ground["share"] == pytest.approx(area / valid, abs=100 / valid)  # the hole is 10 x 10
    assert ground["is_complete"]
    assert "of this ground trained the model; honest: a sample of other ground" in geoseg(*same).out
    outcome = geoseg(*same, "-o", world / "sampled")
    page = geoseg("report", world / "sampled", "-o", world / "page.html")
    assert (outcome.code, page.code) == (0, 0), page.err
    assert "of this ground trained the model." in (world / "page.html").read_text()


@pytest.fixture
def masks(geoseg, write_raster):
    """A function that evaluates a map of others by a mask of others, with a binary legend."""

    def run(mapped, truth, *words, **profile):
        paths = [
            write_raster(f"{name}.tif", np.array([values], np.uint8), **own)
            for name, values, own in (("map", mapped, {}), ("mask", truth, profile))
        ]
        legend = () if "-l" in words else ("-l", "binary:roof")
        return geoseg("evaluate", paths[0], "-r", paths[1], *legend, *words)

    return run


@pytest.mark.parametrize("mapped", [[0, 0, 1, 1], [0, 0, 255, 255]])
@pytest.mark.parametrize("truth", [[0, 1, 1, 1], [0, 255, 255, 255]])
def test_masks_of_0_and_255_are_evaluated_like_those_of_0_and_1(masks, mapped, truth):
    figures = json.loads(masks(mapped, truth, "--json").out)

    assert figures["pixels"] == 4
    assert figures["confusion"]["counts"] == [[1, 0], [1, 2]]


def test_a_map_without_a_roof_is_no_perfect_one(masks):
    figures = json.loads(masks([0, 0, 0, 0], [0, 255, 255, 0], "--json").out)

    assert figures["overall_accuracy"] == 0.5


def test_255_in_no_class_is_refused_on_either_side(masks, world):
    legend = ("-l", world / "legend.toml")

    for mapped, truth, name in (([5, 255], [5, 5], "map"), ([5, 5], [5, 255], "mask")):
        outcome = masks(mapped, truth, *legend)

        assert outcome.code == 1
        assert f"{name}.tif: values without a class: 255 (1x)" in outcome.err


def test_references_of_1_and_of_255_in_one_evaluation_are_told(geoseg, write_raster):
    words = ["-l", "binary:roof"]
    for name, top in (("a", 1), ("b", 255)):
        mask = write_raster(f"{name}_mask.tif", np.array([[0, top]], np.uint8))
        words = [write_raster(f"{name}.tif", np.array([[0, 1]], np.uint8)), *words, "-r", mask]

    outcome = geoseg("evaluate", *words)

    assert outcome.code == 0
    assert "'roof' is 1 in 1 references and 255 in 1; if 255 is unlabelled" in outcome.err


@pytest.mark.parametrize(("legend", "told"), [("isprs", True), ("isprs-1to6", False)])
def test_the_other_coding_of_isprs_is_named(masks, legend, told):
    outcome = masks([1, 2, 5], [1, 2, 5], "-l", legend)

    assert outcome.code == 0
    assert ("--legend isprs-1to6" in outcome.err) == told


def test_nodata_that_means_a_class_is_told(masks):
    outcome = masks([0, 1, 1], [0, 1, 1], nodata=0)

    assert "mask.tif: its nodata is 0, which means 'other' in the legend" in outcome.err
    assert (
        "its nodata is 0" in json.loads(masks([0, 1], [0, 1], "--json", nodata=0).out)["notes"][0]
    )


@pytest.fixture
def drawn(geoseg, world, write_raster):
    """Polygons of a map of the world, and the map."""
    values = np.kron([[5, 9], [9, 5]], np.ones((48, 56))).astype(np.uint8)
    path = write_raster("drawn.tif", values)
    geoseg("vectorize", path, "-o", world / "drawn.gpkg", "-l", world / "legend.toml")
    return world / "drawn.gpkg", path


def test_polygons_are_evaluated_as_the_map_that_they_were_made_of(geoseg, world, drawn):
    polygons, raster = drawn
    more = ["-r", world / "reference.tif", "--boundary", "2px", "--json", "-o", world / "report",
            "--error-map", world / "errors.tif", "--worst", 2, "--overwrite"]  # fmt: skip

    outcome = geoseg("evaluate", polygons, *more)
    other = geoseg("evaluate", raster, "-l", world / "legend.toml", *more)

    assert outcome.code == other.code == 0
    found, expected = json.loads(outcome.out), json.loads(other.out)
    for name in ("classes", "confusion", "boundary", "pixels"):
        assert found[name] == expected[name]


def test_what_an_object_of_polygons_is_is_said(geoseg, world, drawn):
    polygons, raster = drawn
    words = ["evaluate", polygons, "-r", polygons, "--objects", "dark"]

    assert "name one with --grid" in geoseg(*words).err
    outcome = geoseg(*words, "--grid", raster)
    assert "objects of dark: 2 of 2 found, 2 mapped" in outcome.out
    assert "an object is a polygon, in the map and in the reference" in outcome.out


def test_a_folder_of_polygons_is_evaluated(geoseg, world, drawn):
    (world / "folder").mkdir()
    drawn[0].rename(world / "folder/drawn.gpkg")

    outcome = geoseg("evaluate", world / "folder", "-r", world / "reference.tif")

    assert outcome.code == 0


def test_polygons_that_carry_no_legend_need_one(geoseg, world, write_polygons):
    house = box(500_010, 5_699_980, 500_020, 5_699_990)
    path = write_polygons("foreign.gpkg", [house], kind=["dark"])
    words = ["evaluate", path, "-r", world / "reference.tif"]

    assert "foreign.gpkg: carries no legend; pass --legend" in geoseg(*words).err
    words += ["-l", world / "legend.toml"]
    assert "name the column that holds them with --map-attribute" in geoseg(*words).err
    outcome = geoseg(*words, "--map-attribute", "kind")
    assert outcome.code == 0
    assert "foreign.gpkg: ground without a polygon is unknown" in outcome.err


def test_a_layer_of_the_map_that_is_not_there_is_refused_with_its_option(geoseg, world, drawn):
    words = ["evaluate", drawn[0], "-r", world / "reference.tif", "--map-layer", "roofs"]

    assert "has no layer 'roofs'; name one with --map-layer: ['two']" in geoseg(*words).err


def test_a_grid_is_for_polygons(geoseg, world, drawn):
    outcome = geoseg("evaluate", drawn[1], "-r", world / "reference.tif", "--grid", drawn[1])

    assert outcome.code == 2
    assert "are for maps of polygons" in outcome.err


def test_a_sample_of_polygons_needs_a_grid(geoseg, world, drawn):
    polygons, raster = drawn
    geoseg("sample-points", raster, "-o", world / "points.gpkg", "-l", world / "legend.toml",
           "--points", 100)  # fmt: skip
    frame = gpd.read_file(world / "points.gpkg")
    frame["reference"] = frame["map_class"]
    frame.to_file(world / "points.gpkg")
    words = ["evaluate", polygons, "--sample", world / "points.gpkg"]

    assert "name one with --grid" in geoseg(*words).err
    assert geoseg(*words, "--grid", raster).code == 0


def test_the_page_of_an_evaluation_shows_polygons_on_the_pixels_that_were_compared(
    geoseg, world, drawn
):
    polygons, raster = drawn
    geoseg("evaluate", polygons, "-r", polygons, "--grid", raster, "-o", world / "report")

    with opened_scenes(read_evaluated(world / "report")[0]) as [scene]:
        found, truth = (scene.layers[role] for role in ("map", "reference"))
        window = scene.frame.grid.window
        expected = np.kron([[0, 1], [1, 0]], np.ones((48, 56)))
        assert (found.read(window, 1) == expected).all()
        assert (truth.read(window, 1) == expected).all()
    assert geoseg("report", world / "report", "-o", world / "page.html").code == 0
