import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.warp import transform as transform_points

from geoseg.errors import EmptyError

NORTH_UP = Affine(0.5, 0, 500_000, 0, -0.5, 5_700_000)


@pytest.mark.parametrize("stride", [5, 8, 16])
@pytest.mark.parametrize("test", [0, 0.2])
def test_no_pixel_is_in_two_splits(write_source, tmp_path, stride, test, run_tile, painted):
    report, patches = run_tile(
        [write_source("one", 96, 112)], tmp_path / "set", stride=stride, test=test, storage="index"
    )

    wanted = ["train", "val"] + ["test"] * (test > 0)
    layers = [painted(patches, split, 96, 112) for split in wanted]
    assert sorted(report.patches) == sorted(wanted)
    assert np.sum(layers, axis=0).max() == 1
    assert report.warnings == []


def test_no_ground_of_two_overlapping_orthophotos_is_in_two_splits(
    write_source, tmp_path, run_tile, painted
):
    shift = 37
    other = write_source("two", 96, 112, transform=NORTH_UP @ Affine.translation(shift, 0))

    _, patches = run_tile([write_source("one", 96, 112), other], tmp_path / "set", storage="index")

    layers = []
    for split in ("train", "val"):
        canvas = np.zeros((96, 112 + shift), bool)
        canvas[:, :112] |= painted(patches, split, 96, 112, 0)
        canvas[:, shift:] |= painted(patches, split, 96, 112, 1)
        layers.append(canvas)
    assert {(patch.source, patch.split) for patch in patches.patches} >= {
        (0, "train"),
        (1, "train"),
    }
    assert layers[1].any()
    assert not (layers[0] & layers[1]).any()


def test_no_ground_is_in_two_splits_if_the_crs_differ(write_source, tmp_path, run_tile):
    [x], [y] = transform_points("EPSG:32632", "EPSG:32633", [500_010], [5_699_990])
    turned = Affine(0.5, 0, x, 0, -0.5, y) @ Affine.rotation(3) @ Affine.translation(-20, -20)
    other = write_source("two", 96, 112, crs="EPSG:32633", transform=turned)

    _, patches = run_tile(
        [write_source("one", 96, 112), other], tmp_path / "set", storage="index", stride=16
    )

    ground = {}
    for patch in patches.patches:
        outline = gpd.GeoSeries(
            [shapely.Polygon(patches.grid_of(patch).corners).segmentize(1)],
            crs=patches.grid_of(patch).crs.to_wkt(),
        )
        ground.setdefault(patch.split, []).append(outline.to_crs("EPSG:32632").iloc[0])
    train, val = shapely.union_all(ground["train"]), shapely.union_all(ground["val"])
    assert {patch.source for patch in patches.patches} == {0, 1}
    assert train.intersection(val).area < 1e-6


def test_a_random_split_warns_with_the_share_that_leaks(write_source, tmp_path, run_tile, painted):
    report, patches = run_tile(
        [write_source("one", 96, 112)], tmp_path / "set", split="random", storage="index"
    )

    train, val = (painted(patches, split, 96, 112) for split in ("train", "val"))
    leak = (train & val).sum() / val.sum()
    assert leak > 0.5
    assert f"--split random: {leak:.0%} of the validation" in report.warnings[0]


def test_a_split_that_the_user_chose_is_kept(write_source, tmp_path, run_tile):
    away = NORTH_UP @ Affine.translation(1000, 0)
    sources = [
        write_source("one", 96, 112, split="train"),
        write_source("two", 96, 112, split="test", transform=away),
    ]

    report, patches = run_tile(sources, tmp_path / "set", storage="index")

    assert {(patch.source, patch.split) for patch in patches.patches} == {(0, "train"), (1, "test")}
    assert report.split_block is None


def test_without_a_training_patch_nothing_is_written(write_source, tmp_path, run_tile):
    with pytest.raises(EmptyError, match="no training patch"):
        run_tile([write_source("one", 96, 112, split="val")], tmp_path / "set")

    assert not (tmp_path / "set").exists()


def test_a_picture_without_georeference_is_tiled(write_source, tmp_path, run_tile, painted):
    source = write_source("one", 96, 112, crs=None, transform=Affine.identity())

    report, patches = run_tile([source], tmp_path / "set", storage="png")

    assert patches.record.gsd is None
    assert set(report.patches) == {"train", "val"}
    assert not (painted(patches, "train", 96, 112) & painted(patches, "val", 96, 112)).any()
