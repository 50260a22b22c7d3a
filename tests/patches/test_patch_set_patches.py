import json
import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS

from geoseg.errors import PatchSetError, RasterError
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.reference import ReferenceOptions
from geoseg.patches import patch_set as patches_module
from geoseg.patches.index import RECORD, write_index
from geoseg.patches.patch_set import PatchSet
from geoseg.patches.record import Patch, PatchSetRecord, Source
from geoseg.raster.grid import Grid
from geoseg.raster.reader import ReadOptions
from geoseg.raster.window import Window

UTM = CRS.from_epsg(32632)
NORTH_UP = Affine(0.5, 0, 500_000, 0, -0.5, 5_700_000)
LEGEND = Legend.from_dict({"class": [{"name": "a"}, {"name": "b"}], "ignore": [9]})


def grid(height=6, width=6, crs=UTM, transform=NORTH_UP):
    return Grid(crs, transform, height, width)


def patch(row_off, col_off, *, source=0, split="train"):
    window = Window(row_off=row_off, col_off=col_off, height=4, width=4)
    return Patch(
        source=source, window=window, split=split, valid_share=0.75, class_shares=(0.5, 0.25)
    )


def record(*sources, **changes):
    return PatchSetRecord(
        **{
            "size": 4,
            "stride": 2,
            "storage": "index",
            "legend": LEGEND,
            "sources": sources,
            "read": ReadOptions(bands=(2, 1), nodata=0),
            "reference": ReferenceOptions(coding="values"),
            "bands": 2,
            "band_names": ("red", "band 2"),
            "dtype": "uint8",
            "gsd": 0.5,
            "statistics": {"mean": [1.5, 2.5]},
            "class_pixels": (3, 4),
            **changes,
        }
    )


@pytest.fixture
def source(write_raster):
    """A function that writes an orthophoto of 6 x 6 pixels and its reference."""

    def write(name="one", shift=0):
        image = (np.arange(72).reshape(2, 6, 6) + 1 + shift).astype(np.uint8)
        image[:, 0, 1] = 0
        truth = np.indices((6, 6)).sum(axis=0).astype(np.uint8) % 2
        truth[5] = 9
        ortho = write_raster(f"data/{name}.tif", image)
        return Source(
            name=name, ortho=ortho, reference=write_raster(f"data/{name}_truth.tif", truth)
        )

    return write


@pytest.fixture
def index(tmp_path, source):
    """An index over one source."""
    folder = tmp_path / "set"
    folder.mkdir()
    write_index(
        folder,
        record(source()),
        [patch(0, 0), patch(0, 2, split="val"), patch(2, 2)],
        [grid()],
    )
    return folder


def test_a_set_survives_its_folder(index):
    patches = PatchSet.open(index)

    assert patches.patches == [patch(0, 0), patch(0, 2, split="val"), patch(2, 2)]
    assert patches.in_split("train") == [patch(0, 0), patch(2, 2)]
    one = patches.record.sources[0]
    ortho, reference = index.parent / "data/one.tif", index.parent / "data/one_truth.tif"
    assert (one.ortho.resolve(), one.reference.resolve()) == (ortho, reference)
    assert one.grid == grid()
    assert patches.record == record(one)


def test_stacked_rasters_are_found_again_where_the_sources_are(tmp_path, source, write_raster):
    dsm = write_raster("data/dsm.tif", np.full((6, 6), 7, np.uint8))
    folder = tmp_path / "set"
    folder.mkdir()
    read = ReadOptions(bands=(1,), stacked=(dsm, dsm))
    three = record(source(), read=read, bands=3, statistics={"mean": [1.5, 2.5, 3.5]})
    write_index(folder, three, [patch(2, 2)], [grid()])
    shutil.move(tmp_path / "data", tmp_path / "elsewhere" / "data")
    shutil.move(folder, tmp_path / "elsewhere" / "set")

    patches = PatchSet.open(tmp_path / "elsewhere" / "set")

    assert len(patches.record.read.stacked) == 2
    assert patches.read(patch(2, 2)).image[:, 0, 0].tolist() == [15, 7, 7]


def test_a_record_without_stacked_rasters_is_an_old_one(index):
    content = json.loads((index / RECORD).read_text())
    del content["read"]["stacked"]
    (index / RECORD).write_text(json.dumps(content))

    assert PatchSet.open(index).record.read.stacked == ()


def test_a_sample_of_an_index_is_read_from_the_source(index):
    image, mask = PatchSet.open(index).read(patch(0, 0))

    expected = np.arange(72, dtype=float).reshape(2, 6, 6)[::-1, :4, :4] + 1
    expected[:, 0, 1] = np.nan
    assert image.dtype == np.float32
    assert np.array_equal(image, expected, equal_nan=True)
    assert mask.tolist() == [[0, IGNORE, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0]]


def test_a_sample_over_the_edge_is_unlabelled_there(index):
    image, mask = PatchSet.open(index).read(patch(4, 4))

    inside = [[True, True, False, False]] * 2 + [[False] * 4] * 2
    assert np.isfinite(image).all(axis=0).tolist() == inside
    assert mask.tolist() == [[0, 1, IGNORE, IGNORE], *[[IGNORE] * 4] * 3]


def test_an_area_leaves_the_rest_unlabelled(tmp_path, source, write_polygons):
    left, top = NORTH_UP @ (1, 1)
    aoi = write_polygons("aoi.gpkg", [shapely.box(left, top - 1, left + 1, top)])
    write_index(tmp_path, record(source(), aoi=aoi), [patch(0, 0)], [grid()])

    mask = PatchSet.open(tmp_path).read(patch(0, 0)).mask

    no = IGNORE
    assert mask.tolist() == [[no] * 4, [no, 0, 1, no], [no, 1, 0, no], [no] * 4]


def test_folder_and_sources_may_move_together(index, tmp_path):
    before = PatchSet.open(index).read(patch(2, 2))
    shutil.copytree(tmp_path, tmp_path.parent / f"{tmp_path.name}_moved")
    shutil.rmtree(tmp_path / "data")

    moved = PatchSet.open(tmp_path.parent / f"{tmp_path.name}_moved" / "set")

    assert np.array_equal(moved.read(patch(2, 2)).image, before.image)
    with pytest.raises(RasterError, match="no such file"):
        PatchSet.open(index).read(patch(2, 2))


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
@pytest.mark.parametrize("linked", ["the set", "the sources", "both"])
def test_sources_are_found_across_links_to_folders(tmp_path, source, linked):
    real = tmp_path / "far/away/from"
    real.mkdir(parents=True)
    (tmp_path / "link").symlink_to(real, target_is_directory=True)
    folder = (tmp_path if linked == "the sources" else tmp_path / "link") / "set"
    folder.mkdir()
    one = source("one" if linked == "the set" else "../link/one")
    write_index(folder, record(replace(one, name="one")), [patch(2, 2)], [grid()])

    for way in (folder, folder.resolve()):
        patches = PatchSet.open(way)

        assert patches.record.sources[0].ortho == one.ortho.resolve()
        assert patches.read(patch(2, 2)).image[:, 0, 0].tolist() == [51, 15]


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_link_to_an_orthophoto_stays_one(tmp_path, source):
    one = source()
    (tmp_path / "ortho.tif").symlink_to(one.ortho)
    linked = replace(one, ortho=tmp_path / "ortho.tif")
    write_index(tmp_path, record(linked), [patch(2, 2)], [grid()])

    assert PatchSet.open(tmp_path).record.sources[0].ortho == linked.ortho


@pytest.mark.parametrize(
    ("shape", "profile", "change"),
    [
        ((2, 6, 6), {"dtype": "uint16"}, "it was uint8 and is uint16"),
        ((2, 6, 8), {}, "it had 6 x 6 pixels and has 6 x 8"),
        (
            (2, 6, 6),
            {"transform": NORTH_UP @ Affine.translation(-3, 1)},
            "it has moved by 1 rows and -3 columns",
        ),
        ((2, 6, 6), {"transform": NORTH_UP @ Affine.scale(0.5)}, "the pixels do not line up"),
        ((2, 6, 6), {"crs": "EPSG:32633"}, "the CRS differ: EPSG:32632 .*EPSG:32633"),
    ],
)
def test_an_orthophoto_that_has_changed_is_refused(index, write_raster, shape, profile, change):
    dtype = profile.get("dtype", "uint8")
    write_raster("data/one.tif", np.ones(shape, dtype), **profile)
    patches = PatchSet.open(index)

    for read in (patches.read, patches.grid_of):
        with pytest.raises(PatchSetError, match=rf"one.tif: has changed .*{change}.*; tile again"):
            read(patch(2, 2))


def test_an_orthophoto_with_another_number_of_bands_is_refused(tmp_path, source, write_raster):
    write_index(tmp_path, record(source(), read=ReadOptions()), [patch(2, 2)], [grid()])
    write_raster("data/one.tif", np.ones((3, 6, 6), np.uint8))

    with pytest.raises(PatchSetError, match="it had 2 bands and has 3"):
        PatchSet.open(tmp_path).read(patch(2, 2))


def test_an_orthophoto_that_was_written_anew_has_not_changed(index, write_raster):
    hair = NORTH_UP @ Affine.translation(1e-4, 0)
    write_raster("data/one.tif", np.full((3, 6, 6), 7, np.uint8), transform=hair, compress="LZW")

    assert (PatchSet.open(index).read(patch(2, 2)).image == 7).all()


def test_an_open_set_goes_to_another_process_without_its_files(index):
    patches = PatchSet.open(index)
    before = patches.read(patch(0, 0))

    copy = pickle.loads(pickle.dumps(patches))  # noqa: S301 our own

    assert copy._open == {}
    assert np.array_equal(copy.read(patch(0, 0)).image, before.image, equal_nan=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a process that is a copy")
def test_a_forked_process_opens_the_files_for_itself(index):
    patches = PatchSet.open(index)
    before = patches.read(patch(0, 0))
    shared = patches._open[0]

    if not (child := os.fork()):
        same = np.array_equal(patches.read(patch(0, 0)).image, before.image, equal_nan=True)
        os._exit(0 if same and patches._open[0] is not shared else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert patches._open[0] is shared
    assert np.array_equal(patches.read(patch(0, 0)).image, before.image, equal_nan=True)


def test_only_so_many_sources_are_open_at_a_time(tmp_path, source, monkeypatch):
    monkeypatch.setattr(patches_module, "MAX_OPEN_ORTHOS", 2)
    names = ["one", "two", "three", "four"]
    own = [patch(2, 2, source=number) for number in range(4)]
    sources = [source(name, shift) for shift, name in enumerate(names)]
    write_index(tmp_path, record(*sources), own, [grid()] * 4)
    patches = PatchSet.open(tmp_path)

    first = [patches.read(each).image.min() for each in (*own, *own)]

    assert len(patches._open) == 2
    assert np.diff(first[:4]).tolist() == [1, 1, 1]
    assert first[:4] == first[4:]


def test_the_grid_of_a_patch_is_its_part_of_the_sources(index):
    assert PatchSet.open(index).grid_of(patch(2, 1)) == grid().part(patch(2, 1).window)


def test_names_are_unique_in_the_set(tmp_path):
    sources = [Source(name=name, ortho=tmp_path, reference=tmp_path) for name in ("a", "b")]
    patches = PatchSet(tmp_path, record(*sources, storage="png"), [])

    assert patches.name_of(patch(2, 1, source=1)) == "b_r000002_c000001"
    assert patches.image_path(patch(2, 1)) == tmp_path / "images" / "a_r000002_c000001.png"
    assert patches.mask_path(patch(2, 1)) == tmp_path / "masks" / "a_r000002_c000001.png"


def test_footprints_lie_where_the_windows_do(index):
    footprints = PatchSet.open(index).footprints("val")

    assert footprints.crs == UTM.to_wkt()
    assert [each.bounds for each in footprints] == [grid().part(patch(0, 2).window).bounds]


def test_footprints_of_different_crs_are_in_degrees(tmp_path, source):
    other = grid(crs=CRS.from_epsg(32633))
    sources = source(), source("two")
    write_index(tmp_path, record(*sources), [patch(0, 0), patch(0, 0, source=1)], [grid(), other])

    patches = PatchSet.open(tmp_path)

    assert patches.footprints("train").crs == "EPSG:4326"
    assert patches.footprints("train").bounds.minx.round().tolist() == [9, 15]


def test_pictures_without_a_place_have_footprints_in_pixels(tmp_path, source):
    picture = grid(crs=None, transform=Affine.identity())
    write_index(tmp_path, record(source()), [patch(0, 2)], [picture])

    patches = PatchSet.open(tmp_path)

    assert patches.patches == [patch(0, 2)]
    assert [each.bounds for each in patches.footprints("train")] == [(2, 0, 6, 4)]


@pytest.mark.parametrize("crs", [None, CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]')])
def test_sources_without_a_place_may_stand_beside_those_with_one(tmp_path, source, crs):
    picture = grid(crs=crs, transform=Affine.identity())
    own = [patch(0, 0), patch(0, 0, source=1)]
    write_index(tmp_path, record(source(), source("two")), own, [grid(), picture])

    assert PatchSet.open(tmp_path).patches == own


@pytest.mark.parametrize(
    "names",
    [["a", "share"], ["Tree", "tree"], ['"quoted"', "ö, ü"], ["fid", "geom"], ["x" * 80, "x" * 81]],
)
def test_classes_may_have_any_name(tmp_path, source, names):
    legend = Legend.from_dict({"class": [{"name": name} for name in names]})

    write_index(tmp_path, record(source(), legend=legend), [patch(0, 0)], [grid()])

    assert PatchSet.open(tmp_path).patches == [patch(0, 0)]


def test_a_folder_without_a_record_is_no_patch_set(tmp_path):
    with pytest.raises(PatchSetError, match=r"patches\.json is missing"):
        PatchSet.open(tmp_path)


def test_a_set_without_footprints_is_refused(index):
    (index / "patches.gpkg").unlink()

    with pytest.raises(PatchSetError, match=r"patches\.gpkg: cannot be read"):
        PatchSet.open(index)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("size"),
        lambda content: content.update(colour="blue"),
        lambda content: content.update(legend={}),
        lambda content: content.update(sources=[]),
        lambda content: content["sources"][0].pop("ortho"),
        lambda content: content["sources"][0].update(ortho=7),
        lambda content: content["sources"][0].update(ortho="a\0b"),
        lambda content: content["sources"][0]["grid"].update(height=-1),
        lambda content: content["sources"][0]["grid"].update(transform=[0] * 6),
        lambda content: content["sources"][0]["grid"].update(crs="nowhere"),
        lambda content: content.update(size="64"),
        lambda content: content.update(size=0),
        lambda content: content.update(stride=True),
        lambda content: content.update(bands=10**30),
        lambda content: content.update(storage="jpg"),
        lambda content: content.update(dtype="complex64"),
        lambda content: content.update(dtype="x"),
        lambda content: content.update(gsd=-1),
        lambda content: content.update(statistics={"mean": ["x"]}),
        lambda content: content.update(class_pixels=[-1]),
        lambda content: content["read"].update(nodata=[]),
        lambda content: content["reference"].update(coding="x"),
        lambda content: content["reference"].update(attribute=7),
    ],
)
def test_a_damaged_record_is_refused(index, change):
    content = json.loads((index / RECORD).read_text())
    change(content)
    (index / RECORD).write_text(json.dumps(content))

    with pytest.raises(PatchSetError, match=r"set: patches\.json is damaged"):
        PatchSet.open(index)


@pytest.mark.parametrize("text", ["", "{", "[]", "7"])
def test_a_record_that_is_none_is_refused(index, text):
    (index / RECORD).write_text(text)

    with pytest.raises(PatchSetError, match="set"):
        PatchSet.open(index)


def test_a_set_of_a_later_geoseg_is_refused(index):
    content = json.loads((index / RECORD).read_text()) | {"format": 99}
    (index / RECORD).write_text(json.dumps(content))

    with pytest.raises(PatchSetError, match="format 99, this geoseg reads 1"):
        PatchSet.open(index)


def test_the_same_set_has_the_same_bytes(tmp_path, source):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_index(tmp_path / name, record(source()), [patch(0, 0)], [grid()])

    for file in ("patches.json", "patches.gpkg"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def columns_of(folder):
    """Where the footprints say that images and masks are, as paths."""
    frame = gpd.read_file(folder / "patches.gpkg")
    return [[(folder / path).resolve() for path in frame[name]] for name in ("image", "mask")]


def test_the_footprints_of_an_index_name_orthophotos_and_references(index):
    images, masks = columns_of(index)

    [own] = PatchSet.open(index).record.sources
    assert images == [own.ortho.resolve()] * 3
    assert masks == [own.reference.resolve()] * 3


@pytest.mark.parametrize("pixels", [None, "other"])
def test_the_footprints_of_stored_patches_name_their_files(tmp_path, source, pixels):
    folder = tmp_path / "set"
    folder.mkdir()
    about = record(source(), storage="tif", pixels=pixels and tmp_path / pixels)
    write_index(folder, about, [patch(0, 0), patch(0, 2, split="val")], [grid()])

    images, masks = columns_of(folder)

    patch_set = PatchSet.open(folder)
    assert images == [patch_set.image_path(each).resolve() for each in patch_set.patches]
    assert masks == [patch_set.mask_path(each).resolve() for each in patch_set.patches]


def test_footprints_have_a_style_by_split(index):
    style = (index / "patches.qml").read_text(encoding="utf-8")

    assert [f"'{split}'" in style for split in ("train", "val", "test")] == [True] * 3


def test_a_raster_inside_a_file_is_found_from_any_folder(
    tmp_path, source, write_raster, monkeypatch
):
    path = write_raster("data/tiles.gpkg", np.ones((3, 6, 6), np.uint8), driver="GPKG")
    (tmp_path / "set").mkdir()
    monkeypatch.chdir(tmp_path / "data")
    name = Path("GPKG:tiles.gpkg:tiles")
    write_index(tmp_path / "set", record(replace(source(), ortho=name)), [patch(0, 0)], [grid()])

    monkeypatch.chdir(tmp_path)
    ortho = PatchSet.open(tmp_path / "set").record.sources[0].ortho
    assert str(ortho) == f"GPKG:{path}:tiles"
