import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio

from geoseg.errors import (
    GeosegWarning,
    GridMismatchError,
    InputError,
    LegendError,
    OutputExistsError,
    RasterError,
)
from geoseg.labels.legend import Legend
from geoseg.labels.tags import read_tags
from geoseg.prediction.blend import WindowGrid, blend
from geoseg.prediction.map_writer import MapOutputs, write_map
from geoseg.prediction.mosaic import MosaicOptions, mosaic
from geoseg.prediction.score import score
from geoseg.prediction.window_scores import WindowLayout, keep_windows
from geoseg.raster.reader import RasterReader

B, T, W, NO = 0, 1, 2, 255  # indices; their values are 1, 4, 0, 255
OTHER = Legend.from_dict({"class": [{"value": value, "name": f"{value}"} for value in (1, 4, 0)]})


def pixels(path):
    with rasterio.open(path) as file:
        return file.read()


def contents(folder):
    """All files of a folder, by name."""
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def bring_together(tmp_path):
    """A function that makes a mosaic and gives its values."""

    def bring(paths, legend=None, **options):
        out = tmp_path / "out/map.tif"
        outputs = MapOutputs(class_map=out, overwrite=True)
        mosaic(paths, outputs, MosaicOptions(**options), legend=legend)
        [values] = pixels(out)
        return values

    return bring


@pytest.fixture
def windows(tmp_path, write_raster, legend):
    """Windows of a map with holes, kept while it was written; and the folder of that map."""

    def softmax(images):
        powers = np.exp(4 * np.nan_to_num(images, nan=0))
        return powers / powers.sum(axis=1, keepdims=True)

    def make(height, width, *, size=8, stride=5):
        image = np.random.default_rng(1).random((3, height, width), np.float32)
        image[:, 3:5, 2:6] = np.nan
        image[:, 10:, 10:] = np.nan  # whole windows
        with RasterReader(write_raster("ortho.tif", image)) as ortho:
            window_grid = WindowGrid(height, width, size, stride, overhang=2)
            made_of = {"model": "m"}
            layout = WindowLayout(
                grid=ortho.grid, window_grid=window_grid, legend=legend, provenance=made_of
            )
            (tmp_path / "windows").mkdir()
            scored = score(ortho, softmax, window_grid.windows(window_grid.whole))
            parts = keep_windows(scored, tmp_path / "windows", layout)
            outputs = MapOutputs(
                class_map=tmp_path / "direct/map.tif", scores=tmp_path / "direct/scores.tif"
            )
            strips = blend(parts, window_grid)
            write_map(strips, ortho.grid, legend, outputs, provenance=made_of)
        return sorted((tmp_path / "windows").iterdir())

    return make


@pytest.mark.parametrize(("height", "width"), [(23, 31), (7, 9), (8, 8), (5, 6)])
def test_blended_windows_give_the_bytes_of_the_map_they_were_kept_from(
    windows, tmp_path, height, width
):
    paths = windows(height, width)

    outputs = MapOutputs(class_map=tmp_path / "m/map.tif", scores=tmp_path / "m/scores.tif")
    mosaic(paths[::-1], outputs)

    assert contents(tmp_path / "m") == contents(tmp_path / "direct")


@pytest.mark.parametrize("method", ["max", "first", "last"])
@pytest.mark.parametrize(("height", "width"), [(23, 31), (7, 9)])
def test_windows_brought_together_otherwise_cover_the_same_ground(
    windows, tmp_path, bring_together, method, height, width
):
    values = bring_together(windows(height, width), method=method)

    with (
        rasterio.open(tmp_path / "out/map.tif") as ours,
        rasterio.open(tmp_path / "direct/map.tif") as direct,
    ):
        assert ours.transform == direct.transform
        assert ours.shape == direct.shape
        assert ((values == 255) == (direct.read(1) == 255)).all()


def test_windows_of_different_maps_are_refused(windows, make_scene, bring_together):
    first, *_ = windows(23, 31)

    with pytest.raises(InputError, match=r"is not of the same map"):
        bring_together([first, make_scene("a", [[B]], kind="scores")])


@pytest.mark.parametrize("kind", ["class_map", "scores"])
def test_neighbours_become_one_map(make_scene, bring_together, tmp_path, kind):
    left = make_scene("left", [[B, T], [W, NO]], kind=kind)
    right = make_scene("right", [[T], [T], [T]], kind=kind, row=1, col=2)

    values = bring_together([right, left])

    assert values.tolist() == [[1, 4, 255], [0, 255, 4], [255, 255, 4], [255, 255, 4]]
    with rasterio.open(tmp_path / "out/map.tif") as file:
        assert (file.transform.c, file.transform.f) == (500_000, 5_700_000)
        assert file.crs.to_epsg() == 32632


def test_of_class_maps_the_majority_wins(make_scene, bring_together):
    paths = [
        make_scene("a", [[B, T, W, NO]]),
        make_scene("b", [[T, T, NO, NO]]),
        make_scene("c", [[T, W, B, W]]),
    ]

    assert bring_together(paths).tolist() == [[4, 4, 1, 0]]


@pytest.mark.parametrize("kind", ["class_map", "scores"])
@pytest.mark.parametrize(("method", "expected"), [("first", [[1, 4, 0]]), ("last", [[4, 0, 0]])])
def test_the_first_or_last_scene_with_data_counts(
    make_scene, bring_together, kind, method, expected
):
    paths = [
        make_scene("a", [[B, T, NO]], kind=kind),
        make_scene("b", [[T, W, W]], kind=kind),
    ]

    assert bring_together(paths, method=method).tolist() == expected


def test_of_scores_the_most_certain_counts(make_scene, bring_together):
    paths = [
        make_scene("a", [[B, B, NO]], kind="scores", top=0.6),
        make_scene("b", [[T, NO, T]], kind="scores", top=0.9),
    ]

    assert bring_together(paths, method="max").tolist() == [[4, 1, 4]]


def test_scores_fade_from_one_scene_to_the_other(make_scene, tmp_path):
    left = make_scene("left", [[B] * 5] * 5, kind="scores")
    right = make_scene("right", [[T] * 5] * 5, kind="scores", col=3)
    out = MapOutputs(class_map=tmp_path / "m.tif", scores=tmp_path / "s.tif", score_type="float32")

    mosaic([left, right], out)

    middle = pixels(out.scores)[:, 2]
    assert middle[0] == pytest.approx([1, 1, 1, 0.75, 0.25, 0, 0, 0])
    assert middle[1] == pytest.approx(1 - middle[0])


def test_a_mosaic_of_many_blocks_has_no_seam(make_scene, bring_together):
    indices = np.random.default_rng(0).integers(0, 3, (1030, 40))
    paths = [make_scene("a", indices[:700]), make_scene("b", indices[500:], row=500)]

    values = bring_together(paths)

    assert (values == np.array([1, 4, 0])[indices]).all()


@pytest.mark.parametrize("kind", ["class_map", "scores"])
def test_one_scene_alone_stays_as_it_is(make_scene, bring_together, kind):
    path = make_scene("a", [[B, T, W], [NO, NO, T]], kind=kind)

    assert bring_together([path]).tolist() == [[1, 4, 0], [255, 255, 4]]


@pytest.mark.parametrize(
    ("kind", "method"), [("scores", "majority"), ("class_map", "blend"), ("class_map", "max")]
)
def test_a_method_that_is_not_for_the_kind_is_refused(make_scene, bring_together, kind, method):
    with pytest.raises(InputError, match=f"--method {method} is not for"):
        bring_together([make_scene("a", [[B]], kind=kind)], method=method)


def test_scores_and_class_maps_together_are_refused(make_scene, bring_together):
    paths = [make_scene("a", [[B]], kind="scores"), make_scene("b", [[B]])]

    with pytest.raises(InputError, match=r"scores\.tif and .*map\.tif: one holds classes"):
        bring_together(paths)


def test_legends_that_differ_are_refused_and_named(make_scene, bring_together):
    paths = [make_scene("a", [[B]]), make_scene("b", [[B]], legend=OTHER)]

    with pytest.raises(LegendError, match=r"b/map\.tif: has another legend than .*a/map\.tif"):
        bring_together(paths)


def test_a_class_map_of_others_needs_a_legend(write_raster, bring_together, legend):
    path = write_raster("foreign.tif", np.array([[1, 4, 0, 9]], np.uint8), nodata=9)

    with pytest.raises(LegendError, match=r"foreign\.tif: carries no legend"):
        bring_together([path])

    assert bring_together([path], legend=legend).tolist() == [[1, 4, 0, 255]]


def test_a_value_without_a_class_is_refused_and_nothing_left(
    write_raster, bring_together, legend, tmp_path
):
    path = write_raster("foreign.tif", np.array([[1, 7]], np.uint8))

    with pytest.raises(LegendError, match=r"foreign\.tif: .*7"):
        bring_together([path], legend=legend)

    assert list(tmp_path.rglob("*.tif")) == [path]


@pytest.mark.parametrize("kind", ["class_map", "scores"])
def test_classes_are_told_by_name_whatever_their_order_and_values(
    make_scene, bring_together, legend, tmp_path, kind
):
    other = Legend(
        classes=tuple(replace(each, value=5 + n) for n, each in enumerate(legend.classes[::-1]))
    )
    paths = [make_scene("a", [[B, T, W, NO]], kind=kind, top=0.9)]

    assert bring_together(paths, legend=other).tolist() == [[7, 6, 5, 255]]
    assert bring_together(paths, legend=other, resample=True).tolist() == [[7, 6, 5, 255]]
    assert read_tags(tmp_path / "out/map.tif")["class_pixels"] == dict.fromkeys(other.names, 1)


def test_windows_take_the_legends_order_too_and_other_names_are_refused(
    windows, bring_together, legend, tmp_path
):
    paths = windows(23, 31)
    other = Legend(classes=legend.classes[::-1])

    assert (bring_together(paths, legend=other) == pixels(tmp_path / "direct/map.tif")).all()
    for method in ("blend", "max"):
        with pytest.raises(LegendError, match=r"\.tif: holds scores of building, .* are 1, 4, 0$"):
            bring_together(paths, legend=OTHER, method=method)


def test_scores_of_another_number_of_classes_are_refused(write_raster, bring_together, legend):
    path = write_raster("scores.tif", np.ones((2, 4, 4), np.float32))

    with pytest.raises(LegendError, match="has 2 bands of scores, the legend 3 classes"):
        bring_together([path], legend=legend)


@pytest.mark.parametrize("kind", ["class_map", "scores"])
@pytest.mark.parametrize("other", [{"col": 0.5}, {"gsd": 1}, {"epsg": 25832}])
def test_scenes_on_different_grids_are_refused_but_resampled_on_request(
    make_scene, bring_together, make_grid, tmp_path, kind, other
):
    grid = make_grid(12, 12, **other)
    paths = [
        make_scene("a", np.full((12, 12), T), kind=kind),
        make_scene("b", np.full((12, 12), T), kind=kind, grid=grid),
    ]

    with pytest.raises(GridMismatchError, match=r"b/.*\.tif: not on the grid of .*--resample"):
        bring_together(paths)

    values = bring_together(paths, resample=True)
    assert (values[:12, :12] == 4).all()
    assert set(np.unique(values)) <= {4, 255}
    with rasterio.open(tmp_path / "out/map.tif") as file:
        assert file.res == (0.5, 0.5)
        assert file.crs.to_epsg() == 32632
        x_min, y_min, x_max, y_max = file.bounds
    assert x_max - x_min == pytest.approx(grid.width * grid.transform.a, abs=0.51)
    assert y_max - y_min == pytest.approx(grid.height * grid.transform.a, abs=0.51)


def test_resampling_invents_no_class_and_keeps_holes(make_scene, bring_together):
    indices = np.full((12, 12), W)
    indices[4:8, 4:8] = NO
    near, far = np.full((2, 2), B), make_scene("b", indices, gsd=1)

    values = bring_together([make_scene("a", near), far], method="first", resample=True)

    assert values.shape == (24, 24)
    assert (values[8:16, 8:16] == 255).all()
    assert (values[:2, :2] == 1).all()
    assert set(np.unique(values)) == {0, 1, 255}


def test_a_mosaic_says_how_it_was_made(make_scene, bring_together, tmp_path, legend):
    bring_together([make_scene("a", [[B]]), make_scene("b", [[B]])])

    tags = read_tags(tmp_path / "out/map.tif")

    assert tags["provenance"] == {"method": "majority", "sources": ["map.tif", "map.tif"]}
    assert Legend.from_dict(tags["legend"]) == legend


def test_a_mosaic_can_be_brought_together_again(make_scene, bring_together, tmp_path):
    bring_together([make_scene("a", [[B, NO]])])

    outputs = MapOutputs(class_map=tmp_path / "again.tif")
    mosaic([tmp_path / "out/map.tif", make_scene("b", [[T]], col=1)], outputs)

    assert pixels(outputs.class_map).tolist() == [[[1, 4]]]


def test_a_damaged_record_of_the_training_ground_is_not_passed_on(
    make_scene, bring_together, tmp_path
):
    scene = make_scene("a", [[B, T]])
    with rasterio.open(scene, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as file:
        tags = json.loads(file.tags()["GEOSEG"])
        tags["provenance"]["training_ground"] = {"is_complete": True}
        file.update_tags(GEOSEG=json.dumps(tags))

    with pytest.warns(GeosegWarning, match="is damaged and ignored"):
        assert bring_together([scene]).tolist() == [[1, 4]]

    assert "training_ground" not in read_tags(tmp_path / "out/map.tif")["provenance"]


def test_an_existing_mosaic_is_refused_before_any_scene_is_read(tmp_path):
    (tmp_path / "map.tif").write_text("precious")

    with pytest.raises(OutputExistsError, match="--overwrite"):
        mosaic([tmp_path / "missing.tif"], MapOutputs(class_map=tmp_path / "map.tif"))

    assert (tmp_path / "map.tif").read_text() == "precious"


def test_a_missing_scene_is_named(make_scene, bring_together, tmp_path):
    with pytest.raises(RasterError, match=r"missing\.tif: no such file"):
        bring_together([make_scene("a", [[B]]), tmp_path / "missing.tif"])


def test_progress_is_told_for_every_block(make_scene, tmp_path):
    told = []

    def watch(parts, total):
        for done, part in enumerate(parts, 1):
            told.append((done, total))
            yield part

    scene = make_scene("a", np.full((1100, 3), B))
    mosaic([scene], MapOutputs(class_map=tmp_path / "m.tif"), watch=watch)

    assert told == [(1, 3), (2, 3), (3, 3)]


def test_255_is_a_value_of_others_class_maps(write_raster, bring_together, legend):
    path = write_raster("foreign.tif", np.array([[1, 255]], np.uint8))

    with pytest.raises(LegendError, match=r"foreign\.tif: values without a class: 255 \(1x\)"):
        bring_together([path], legend=legend)


def test_bytes_that_are_no_scores_of_geosegs_are_refused(write_raster, bring_together, legend):
    path = write_raster("foreign.tif", np.array([[[255]], [[0]], [[0]]], np.uint8))

    with pytest.raises(RasterError, match=r"foreign\.tif: holds 1\.00394, and scores"):
        bring_together([path], legend=legend)
