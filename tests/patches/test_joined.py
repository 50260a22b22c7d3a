from dataclasses import replace

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from geoseg.errors import PatchSetError
from geoseg.labels.legend import Legend
from geoseg.patches.joined import JoinedPatchSet, without_seen
from geoseg.patches.patch_set import PatchSet
from geoseg.patches.training_ground import TrainingGround
from geoseg.raster.statistics import BandStatistics

NORTH_UP = Affine(0.5, 0, 500_000, 0, -0.5, 5_700_000)
AWAY = Affine.translation(1000, 0) @ NORTH_UP


@pytest.fixture
def tiled(write_source, run_tile, tmp_path):
    """A function that tiles an orthophoto at a place and gives the folder."""

    def make(name, *, transform=NORTH_UP, split=None, height=64, **changes):
        profile = {"transform": transform, "crs": "EPSG:32632"} if transform else {}
        source = write_source(name, height, 64, split=split, **profile)
        run_tile([source], tmp_path / f"{name}_set", split_block=16, **changes)
        return tmp_path / f"{name}_set"

    return make


def of_split(patch_set, split):
    return [each for each in patch_set.patches if each.split == split]


def test_every_patch_reads_as_in_its_own_set_whatever_its_storage(tiled):
    folders = [tiled("a"), tiled("b", transform=AWAY, height=80, storage="index")]
    sets = [PatchSet.open(folder) for folder in folders]

    joined = JoinedPatchSet.open_all(folders)

    assert joined.record.storage == "tif"
    assert len(joined.patches) == sum(len(each.patches) for each in sets)
    numbers = joined.member_of(joined.patches).tolist()
    assert numbers == [0] * len(sets[0].patches) + [1] * len(sets[1].patches)
    alone = [(each, patch) for each in sets for patch in each.patches]
    for patch, (own, same) in list(zip(joined.patches, alone, strict=True))[::7]:
        for mine, its in zip(joined.read(patch), own.read(same), strict=True):
            np.testing.assert_array_equal(mine, its)
        assert joined.grid_of(patch) == own.grid_of(same)
        assert joined.name_of(patch) == own.name_of(same)


def test_pooled_deviation_is_that_of_the_whole():
    from geoseg.patches.joined import _pooled

    rng = np.random.default_rng(0)
    parts = [rng.integers(0, top, (2, 1, n)).astype(np.uint8) for top, n in ((90, 40), (250, 60))]
    every = [*parts, np.concatenate(parts, axis=2)]
    tables = [BandStatistics.measure(each, np.ones(each.shape[1:], bool)).by_name for each in every]
    without = {name: each for name, each in tables[0].items() if name != "count"}

    pooled = _pooled(tables[:2], np.array([40.0, 60.0]))
    older = _pooled([without, tables[1]], np.array([40.0, 60.0]))

    for name in ("mean", "std", "min", "max"):
        assert pooled[name] == older[name] == pytest.approx(tables[2][name])
    assert pooled["count"] == [100, 100]
    assert "count" not in older


def test_a_set_counts_by_its_pixels_and_not_by_how_often_patches_cover_them(tiled):
    dense, sparse = tiled("a", split="train", stride=4), tiled("b", transform=AWAY, height=80)
    sets = [PatchSet.open(folder) for folder in (dense, sparse)]

    found = JoinedPatchSet(sets).record.statistics

    counts = [each.record.statistics["count"][0] for each in sets]
    means = [each.record.statistics["mean"] for each in sets]
    assert found["count"][0] == sum(counts) < 64 * 64 + 80 * 64
    assert found["mean"] == pytest.approx(np.average(means, axis=0, weights=counts))
    older = [replace(each.record, statistics=without_count(each)) for each in sets]
    again = JoinedPatchSet(
        [PatchSet(each.folder, one, each.patches) for each, one in zip(sets, older, strict=True)]
    )
    assert again.record.statistics["mean"] != found["mean"]


@pytest.mark.parametrize("place", [NORTH_UP, None])
def test_validation_on_training_ground_of_another_set_is_left_out_and_said(tiled, place):
    whole = tiled("a", transform=place, split="train")
    own = tiled("b", transform=place)
    if place is None:  # a picture is known by its pixels
        source = PatchSet.open(own).record.sources[0]
        assert source.content == PatchSet.open(whole).record.sources[0].content
    count = len(of_split(PatchSet.open(own), "val"))

    joined = JoinedPatchSet.open_all([whole, own])

    assert count > 0
    assert not of_split(joined, "val")
    said = f"{own}: {count} of {count} validation patches lie on training ground of another set"
    assert joined.notes == (f"{said} and are left out",)
    assert len(of_split(joined, "train")) == sum(
        len(of_split(PatchSet.open(each), "train")) for each in (whole, own)
    )


def test_sets_that_only_touch_keep_their_validation(tiled):
    beside = Affine.translation(32, 0) @ NORTH_UP
    own = tiled("b", transform=beside, height=80)

    joined = JoinedPatchSet.open_all([tiled("a", split="train"), own])

    assert len(of_split(joined, "val")) == len(of_split(PatchSet.open(own), "val")) > 0
    assert joined.notes == ()


def without_count(patch_set):
    return {name: each for name, each in patch_set.record.statistics.items() if name != "count"}


def trained_on(patch_set, patches):
    """The ground of a model that some patches of a set trained."""
    table = replace(patches, split=np.zeros(len(patches), patches.split.dtype))
    return TrainingGround.of(patch_set.record, table)


def test_validation_on_ground_that_trained_the_first_model_is_left_out_and_said(tiled):
    own = PatchSet.open(tiled("a"))
    val = own.in_split("val")
    seen = [each.window.intersection(val[0].window) is not None for each in val]
    ground = trained_on(own, val[:1])
    said = (
        f"{own.folder}: {sum(seen)} of {len(val)} validation patches lie on ground that trained m"
    )

    found = without_seen(own, ground, "m")

    assert found.notes == (f"{said} and are left out",)
    assert [*found.in_split("val")] == [
        p for p, is_seen in zip(val, seen, strict=True) if not is_seen
    ]
    assert [*found.in_split("train")] == [*own.in_split("train")]
    joined = JoinedPatchSet([own, PatchSet.open(tiled("b", transform=AWAY, height=80))])
    again = without_seen(joined, ground, "m")
    assert len(joined.in_split("val")) - len(again.in_split("val")) == sum(seen)
    assert (again.notes, len(again.members)) == (found.notes, 2)


def test_validation_stays_where_the_first_model_has_seen_none_or_all_of_it(tiled):
    own = PatchSet.open(tiled("a"))
    [source] = own.record.sources
    far = replace(source, grid=replace(source.grid, crs=CRS.from_epsg(2263)), content=None)
    abroad = PatchSet(own.folder, replace(own.record, sources=(far,)), own.patches)
    everywhere = trained_on(own, own.patches)

    assert without_seen(own, TrainingGround.of(own.record, own.patches), "m") is own
    assert without_seen(abroad, everywhere, "m") is abroad
    found = without_seen(own, everywhere, "m")
    assert [*found.patches] == [*own.patches]
    [note] = found.notes
    assert note.startswith(f"all {len(own.in_split('val'))} validation patches lie on ground that")
    assert own.notes == ()


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"size": 32}, "patch sizes"),
        ({"dtype": "uint16"}, "types"),
        ({"band_names": ("nir", "red", "green")}, "bands"),
        ({"legend": Legend.from_dict({"class": [{"name": "x"}, {"name": "y"}]})}, "classes"),
    ],
)
def test_other_kinds_of_patches_are_refused_with_both_sets(tiled, changes, what):
    one = PatchSet.open(tiled("a"))
    other = PatchSet("other", replace(one.record, **changes), one.patches)

    with pytest.raises(PatchSetError, match=f"a_set and other have different {what} and cannot"):
        JoinedPatchSet([one, other])


def test_a_set_named_twice_is_refused(tiled):
    folder = tiled("a")

    with pytest.raises(PatchSetError, match="is named twice"):
        JoinedPatchSet.open_all([folder, folder / ".." / folder.name])
    assert not JoinedPatchSet.open_all([folder]).members
