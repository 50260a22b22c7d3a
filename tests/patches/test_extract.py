from dataclasses import replace

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine

from geoseg.labels.legend import IGNORE, Legend

NORTH_UP = Affine(0.5, 0, 500_000, 0, -0.5, 5_700_000)
RGBI = {"photometric": "minisblack", "alpha": "no"}


@pytest.mark.parametrize(
    ("storage", "bands", "dtype", "profile"),
    [
        ("tif", 3, "uint8", {}),
        ("tif", 1, "float32", {}),
        ("tif", 4, "uint8", RGBI),
        ("tif", 4, "uint16", RGBI),
        ("png", 3, "uint8", {}),
        ("png", 1, "uint16", {}),
        ("index", 4, "uint8", RGBI),
    ],
)
def test_patches_hold_the_pixels_and_classes_of_their_windows(
    write_source, tmp_path, storage, bands, dtype, profile, run_tile, pixels_of
):
    source = write_source(bands=bands, dtype=dtype, **profile)
    image, truth = pixels_of(source)
    indices = np.full(256, IGNORE, np.uint8)
    indices[[3, 7, 1]] = range(3)

    report, patches = run_tile([source], tmp_path / "set", storage=storage)

    assert sum(report.patches.values()) == len(patches.patches) > 20
    assert patches.record.bands == bands
    for patch in patches.patches:
        expected = image[:, *patch.window.slices].astype(float)
        hidden = (expected == 0).all(axis=0)
        expected[:, hidden] = np.nan
        classes = np.where(hidden, IGNORE, indices[truth[patch.window.slices]])
        sample = patches.read(patch)
        assert np.array_equal(sample.image, expected, equal_nan=True)
        assert (sample.mask == classes).all()
        assert patch.valid_share == 1 - hidden.mean()
        counts = np.bincount(classes.ravel(), minlength=256)[:3]
        assert patch.class_shares == pytest.approx(counts / 256)


@pytest.mark.parametrize("edge", ["shift", "pad", "drop"])
@pytest.mark.parametrize(("height", "width"), [(64, 80), (47, 33), (17, 15)])
def test_an_index_reads_back_the_same_samples_as_stored_patches(
    write_source, tmp_path, edge, height, width, run_tile
):
    source = write_source(height=height, width=width)
    same = {"edge": edge, "split": "none", "patch_size": 15, "stride": 11}

    _, stored = run_tile([source], tmp_path / "stored", **same)
    _, index = run_tile([source], tmp_path / "index", storage="index", **same)

    assert sorted(path.name for path in (tmp_path / "index").iterdir()) == [
        "patches.gpkg",
        "patches.json",
        "patches.qml",
    ]
    assert stored.patches == index.patches
    for patch in index.patches:
        one, other = stored.read(patch), index.read(patch)
        valid = np.isfinite(one.image)
        assert (one.mask == other.mask).all()
        assert (valid[:, one.mask != IGNORE]).all()
        inside = patch.window.clip(height, width).relative_to(patch.window).slices
        assert np.array_equal(one.image[:, *inside], other.image[:, *inside], equal_nan=True)
        assert stored.grid_of(patch) == index.grid_of(patch)


def test_a_patch_over_the_edge_has_the_same_pixels_stored_or_not(write_source, tmp_path, run_tile):
    source = write_source(height=20, width=20, nodata=None)
    same = {"edge": "pad", "split": "none", "stride": 16}

    _, stored = run_tile([source], tmp_path / "stored", **same)
    _, index = run_tile([source], tmp_path / "index", storage="index", **same)

    corner = stored.patches[-1]
    assert np.array_equal(stored.read(corner).image, index.read(corner).image, equal_nan=True)


def test_stored_patches_do_not_need_the_orthophoto_as_it_was(write_source, tmp_path, run_tile):
    source = write_source(split="train")
    _, patches = run_tile([source], tmp_path / "set")
    before = [patches.read(patch).image for patch in patches.patches]

    write_source(split="train", dtype="uint16", bands=2, height=80)
    changed = [patches.read(patch).image for patch in patches.patches]
    source.ortho.unlink()
    gone = [patches.read(patch).image for patch in patches.patches]

    assert np.array_equal(before, changed, equal_nan=True)
    assert np.array_equal(before, gone, equal_nan=True)


@pytest.mark.parametrize("storage", ["tif", "index"])
def test_sources_are_kept_with_the_grid_they_were_tiled_on(
    write_source, tmp_path, run_tile, storage
):
    sources = [write_source(split="train"), write_source("two", 40, 40, split="val")]

    _, patches = run_tile(sources, tmp_path / "set", storage=storage)

    sizes = [(each.grid.height, each.grid.width) for each in patches.record.sources]
    assert sizes == [(64, 80), (40, 40)]


@pytest.mark.parametrize(
    ("edge", "size", "covered"),
    [
        ("shift", 16, (40, 44)),
        ("pad", 16, (40, 44)),
        ("drop", 16, (32, 32)),
        ("shift", 64, (40, 44)),
    ],
)
def test_the_edge_is_treated_as_wished(
    write_source, tmp_path, edge, size, covered, run_tile, painted
):
    source = write_source(height=40, width=44)

    _, patches = run_tile(
        [source], tmp_path / "set", edge=edge, split="none", patch_size=size, stride=size
    )

    canvas = painted(patches, "train", 40, 44)
    assert canvas[: covered[0], : covered[1]].all()
    assert canvas.sum() == np.prod(covered)


@pytest.mark.parametrize("storage", ["tif", "index"])
@pytest.mark.parametrize("changes", [{}, {"split": "none"}, {"edge": "pad", "stride": 11}])
def test_statistics_count_each_training_pixel_once(
    write_source, tmp_path, storage, changes, run_tile, painted, pixels_of
):
    sources = [
        write_source(),
        write_source("two", 50, 70, transform=NORTH_UP @ Affine.translation(500, 0)),
    ]

    _, patches = run_tile(sources, tmp_path / "set", storage=storage, **changes)

    pixels, labels = [], []
    for number, source in enumerate(sources):
        image, truth = pixels_of(source)
        counted = painted(patches, "train", *truth.shape, number) & (image != 0).any(axis=0)
        pixels.append(image[:, counted].astype(float))
        labels.append(truth[counted])
    pixels, labels = np.concatenate(pixels, axis=1), np.concatenate(labels)
    found = patches.record.statistics
    assert found["count"] == [pixels.shape[1]] * len(pixels)
    assert found["mean"] == pytest.approx(pixels.mean(axis=1))
    assert found["std"] == pytest.approx(pixels.std(axis=1))
    assert found["min"] == pixels.min(axis=1).tolist()
    assert found["max"] == pixels.max(axis=1).tolist()
    assert found["p98"] == np.percentile(pixels, 98, axis=1, method="inverted_cdf").tolist()
    assert patches.record.class_pixels == tuple((labels == value).sum() for value in (3, 7, 1))


def test_ground_outside_the_area_is_unlabelled(write_source, write_polygons, tmp_path, run_tile):
    x, y = NORTH_UP @ (30, 60)
    aoi = write_polygons("aoi.gpkg", [shapely.box(500_000, y, x, 5_700_000)])
    source = write_source("one", 96, 112, nodata=None)

    report, patches = run_tile([source], tmp_path / "set", aoi=aoi, split="none", stride=16)

    assert report.dropped == {"too little data or labels": 42 - 8}
    for patch in patches.patches:
        rows, cols = np.indices((16, 16))
        outside = (rows + patch.window.row_off >= 60) | (cols + patch.window.col_off >= 30)
        assert (patches.read(patch).mask[outside] == IGNORE).all()


def test_polygons_in_another_crs_label_the_patches(
    write_source, write_polygons, tmp_path, run_tile
):
    x, y = NORTH_UP @ (56, 96)
    roofs = gpd.GeoSeries([shapely.box(500_000, y, x, 5_700_000)], crs="EPSG:32632").to_crs(4326)
    reference = write_polygons("roofs.geojson", list(roofs), crs="EPSG:4326")
    legend = Legend.from_dict({"background": "no", "class": [{"name": "no"}, {"name": "roof"}]})
    source = replace(write_source("one", 96, 112, nodata=None), reference=reference)

    _, patches = run_tile([source], tmp_path / "set", legend=legend, split="none", stride=16)

    assert patches.record.class_pixels == (96 * 56, 96 * 56)
