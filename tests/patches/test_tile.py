import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS
from rasterio.warp import calculate_default_transform
from shapely import Polygon, box

from geoseg.errors import EmptyError, InputError, OutputExistsError
from geoseg.labels.boundary import near_border
from geoseg.labels.legend import Legend
from geoseg.labels.reference import ReferenceOptions
from geoseg.patches.record import Source, TileOptions
from geoseg.patches.tile import plan, tile
from geoseg.raster.grid import Grid, Length
from geoseg.raster.reader import ReadOptions

NORTH_UP = Affine(0.5, 0, 500_000, 0, -0.5, 5_700_000)
RGBI = {"photometric": "minisblack", "alpha": "no"}
LEGEND = Legend.from_dict(
    {"ignore": [255], "class": [{"value": value, "name": f"{value}"} for value in (1, 3, 7)]}
)


def contents(folder):
    """All files of a folder, by name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("storage", ["tif", "png", "index"])
def test_the_same_seed_gives_the_same_bytes(write_source, tmp_path, storage, run_tile):
    sources = [write_source("one", 96, 112), write_source("two", 40, 40)]

    run_tile(sources, tmp_path / "a", storage=storage, workers=1)
    run_tile(sources, tmp_path / "b", storage=storage, workers=4)
    run_tile(sources, tmp_path / "c", storage=storage, seed=5)

    one, same, other = (contents(tmp_path / name) for name in "abc")
    assert one == same
    assert one["patches.gpkg"] != other["patches.gpkg"]


@pytest.mark.parametrize("storage", ["tif", "index"])
def test_a_corrupt_source_is_left_out_and_named(write_source, tmp_path, storage, run_tile):
    away = [NORTH_UP @ Affine.translation(1000 * number, 0) for number in range(3)]
    sources = [write_source(name, transform=at) for name, at in zip("abc", away, strict=True)]
    sources[1].ortho.write_bytes(sources[1].ortho.read_bytes()[:-3000])

    report, patches = run_tile(sources, tmp_path / "set", storage=storage)

    assert list(report.failures) == ["b"]
    assert "cannot be read" in report.failures["b"]
    names = [patches.record.sources[patch.source].name for patch in patches.patches]
    assert set(names) == {"a", "c"}
    assert not list((tmp_path / "set").rglob("b_*"))
    for patch in patches.patches:
        patches.read(patch)


@pytest.mark.parametrize("broken", ["missing.tif", "data/no_raster.tif"])
def test_a_source_that_does_not_open_is_left_out_and_named(
    write_source, tmp_path, broken, run_tile
):
    good = write_source()
    (tmp_path / "data/no_raster.tif").write_text("no raster")

    report, patches = run_tile(
        [replace(good, name="bad", ortho=tmp_path / broken), good], tmp_path / "set"
    )

    assert list(report.failures) == ["bad"]
    assert [source.name for source in patches.record.sources] == ["one"]


@pytest.mark.parametrize(
    ("other", "reason"),
    [({"bands": 1}, "1 bands of uint8, the first orthophoto 3"), ({"dtype": "uint16"}, "uint16")],
)
def test_an_orthophoto_of_another_kind_is_left_out_and_named(
    write_source, tmp_path, other, reason, run_tile
):
    report, _ = run_tile([write_source(), write_source("two", **other)], tmp_path / "set")

    assert reason in report.failures["two"]


def test_an_unknown_value_fails_its_source_and_names_it(
    write_source, write_raster, tmp_path, run_tile
):
    truth = np.full((96, 112), 3, np.uint8)
    truth[50, 60] = 99
    wrong = replace(write_source("two"), reference=write_raster("wrong.tif", truth))

    report, _ = run_tile([write_source(), wrong], tmp_path / "set")

    assert "values without a class: 99 (1x)" in report.failures["two"]


def test_if_every_source_has_a_fault_all_are_named(tmp_path, run_tile):
    gone = [
        Source(name=name, ortho=tmp_path / f"{name}.tif", reference=tmp_path / "r.tif")
        for name in "ab"
    ]

    with pytest.raises(InputError, match=r"a\.tif: no such file; .*b\.tif: no such file"):
        run_tile(gone, tmp_path / "set")

    assert list(tmp_path.iterdir()) == []


def test_what_is_wrong_with_all_sources_is_said_once(write_source, tmp_path, run_tile):
    gone = tmp_path / "gone.tif"
    sources = [replace(write_source(name), reference=gone) for name in "ab"]

    with pytest.raises(InputError) as caught:
        run_tile(sources, tmp_path / "set")

    assert str(caught.value).count("no such file") == 1


def test_nothing_is_left_when_tiling_fails(write_source, tmp_path):
    def interrupt(label, done, total):
        if label == "write":
            raise KeyboardInterrupt

    sources = [write_source()]
    before = contents(tmp_path)

    with pytest.raises(KeyboardInterrupt):
        tile(
            sources,
            LEGEND,
            tmp_path / "set",
            options=TileOptions(patch_size=16),
            progress=interrupt,
        )

    assert contents(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_patch_set_is_replaced_only_on_request(write_source, tmp_path, run_tile):
    source = write_source()
    run_tile([source], tmp_path / "set")
    before = contents(tmp_path / "set")

    with pytest.raises(OutputExistsError, match="--overwrite"):
        run_tile([source], tmp_path / "set", seed=5)
    assert contents(tmp_path / "set") == before

    run_tile([source], tmp_path / "set", seed=5, overwrite=True, storage="index")
    assert sorted(contents(tmp_path / "set")) == ["patches.gpkg", "patches.json", "patches.qml"]


def test_a_folder_that_geoseg_did_not_write_is_not_replaced(write_source, tmp_path, run_tile):
    source = write_source()

    with pytest.raises(OutputExistsError, match="geoseg did not write"):
        run_tile([source], tmp_path / "data", overwrite=True)

    assert source.ortho.exists()


@pytest.mark.parametrize(
    ("changes", "least"), [({"min_valid": 0.9}, "valid"), ({"min_labelled": 0.74}, "labelled")]
)
def test_windows_with_too_little_on_them_are_counted(
    write_source, tmp_path, changes, least, run_tile
):
    whole, everything = run_tile([write_source()], tmp_path / "a", split="none", storage="index")

    report, patches = run_tile(
        [write_source()], tmp_path / "b", split="none", storage="index", **changes
    )

    share = {"valid": lambda p: p.valid_share, "labelled": lambda p: sum(p.class_shares)}[least]
    [limit] = changes.values()
    assert patches.patches == [p for p in everything.patches if share(p) >= limit - 1e-9]
    lost = len(everything.patches) - len(patches.patches)
    before = whole.dropped.get("too little data or labels", 0)
    assert report.dropped["too little data or labels"] == before + lost > before


def test_no_patch_at_all_is_refused(write_source, tmp_path, run_tile):
    with pytest.raises(EmptyError, match="no patch is left"):
        run_tile([write_source(height=10, width=10)], tmp_path / "set", edge="drop")


def test_png_is_refused_before_any_pixel_for_what_it_cannot_hold(write_source, tmp_path, run_tile):
    with pytest.raises(InputError, match="not 4 of uint8"):
        run_tile([write_source(bands=4, **RGBI)], tmp_path / "set", storage="png")


def test_orthophotos_of_different_gsd_are_reported(write_source, tmp_path, run_tile):
    coarse = write_source("two", transform=NORTH_UP @ Affine.translation(900, 0) @ Affine.scale(2))

    report, patches = run_tile([write_source(), coarse], tmp_path / "set", storage="index")

    assert report.warnings == ["the orthophotos' GSD differ: 0.5 to 1 m/px"]
    assert patches.record.gsd == pytest.approx(0.75, rel=0.01)


def test_options_are_kept_for_those_who_read_the_set(write_source, tmp_path, run_tile):
    read = ReadOptions(bands=(3, 1), nodata=9)
    reference = ReferenceOptions(coding="values")

    _, patches = run_tile([write_source()], tmp_path / "set", read=read, reference=reference)

    record = patches.record
    assert (record.read, record.reference) == (read, reference)
    assert (record.size, record.stride, record.storage) == (16, 8, "tif")
    assert (record.bands, record.band_names, record.dtype) == (2, ("blue", "red"), "uint8")
    assert record.gsd == pytest.approx(0.5, rel=0.01)


@pytest.fixture
def heights(write_raster):
    """Metres on pixels of 2 m, in another CRS than the orthophoto's; one hole."""
    grid = Grid(CRS.from_epsg(32632), NORTH_UP, 96, 112)
    transform, width, height = calculate_default_transform(
        grid.crs, "EPSG:4326", grid.width, grid.height, *grid.bounds, resolution=2e-5
    )
    metres = 1500 + np.arange(height * width).reshape(height, width) % 17
    metres[height // 2 :, width // 2 : width // 2 + 5] = -9999
    place = {"transform": transform, "crs": "EPSG:4326", "nodata": -9999}
    return write_raster("data/heights.tif", metres.astype(np.float32), **place)


def test_stacked_bands_are_the_same_from_patches_and_from_an_index(
    write_source, heights, tmp_path, run_tile
):
    read = ReadOptions(stacked=(heights,))

    sets = [
        run_tile([write_source()], tmp_path / storage, read=read, storage=storage)[1]
        for storage in ("tif", "index")
    ]

    one, two = (patches.record for patches in sets)
    assert one.bands == two.bands == 4
    assert one.band_names == ("red", "green", "blue", "heights")
    assert one.dtype == "float32"
    assert one.statistics == two.statistics
    assert sets[0].patches == sets[1].patches
    assert [each.resolve() for each in one.read.stacked] == [heights]
    for patch in sets[0].patches:
        for stored, read_again in zip(*(each.read(patch) for each in sets), strict=True):
            assert np.array_equal(stored, read_again, equal_nan=True)


def test_stacked_bands_have_statistics_of_their_own(write_source, heights, tmp_path, run_tile):
    read = ReadOptions(stacked=(heights,))

    _, patches = run_tile([write_source()], tmp_path / "set", read=read, split="none")

    images = np.stack([patches.read(patch).image for patch in patches.patches])
    assert np.isnan(images).any()
    low, high = patches.record.statistics["min"], patches.record.statistics["max"]
    assert low == np.nanmin(images, axis=(0, 2, 3)).tolist()
    assert high == np.nanmax(images, axis=(0, 2, 3)).tolist()
    assert low[3] >= 1500
    assert max(high[:3]) < 200


def test_a_stacked_raster_that_lies_elsewhere_fails_its_source(
    write_source, heights, tmp_path, run_tile
):
    away = write_source("away", transform=NORTH_UP @ Affine.translation(9000, 0))

    report, _ = run_tile(
        [write_source(), away], tmp_path / "set", read=ReadOptions(stacked=(heights,))
    )

    assert list(report.failures) == ["away"]
    assert "heights.tif: does not overlap" in report.failures["away"]
    assert "away.tif" in report.failures["away"]


def test_png_does_not_hold_stacked_bands(write_source, heights, tmp_path, run_tile):
    with pytest.raises(InputError, match=r"not 4 of float32; .* or write GeoTIFF"):
        run_tile(
            [write_source()],
            tmp_path / "set",
            read=ReadOptions(stacked=(heights,)),
            storage="png",
        )


def test_the_record_is_json_without_nan(write_source, tmp_path, run_tile):
    run_tile([write_source(dtype="float32")], tmp_path / "set")

    def refuse(constant):
        raise AssertionError(constant)

    json.loads((tmp_path / "set/patches.json").read_text(), parse_constant=refuse)


@pytest.mark.parametrize("storage", ["tif", "index"])
def test_the_plan_counts_the_windows_that_tiling_looks_at(write_source, tmp_path, storage):
    sources = [write_source(), write_source("two", 40, 40)]
    chosen = TileOptions(patch_size=16, storage=storage, split="none")

    planned = plan(sources, LEGEND, chosen)

    report = tile(sources, LEGEND, tmp_path / "set", options=chosen)
    assert planned.sources == 2
    assert planned.windows == sum(report.patches.values()) + sum(report.dropped.values())
    assert planned.pixel_bytes == planned.windows * 16 * 16 * 4


BINARY = Legend.from_dict(
    {
        "background": "no",
        "class": [{"value": 0, "name": "no"}, {"value": 1, "name": "yes"}],
    }
)


@pytest.fixture
def scenes(write_raster, write_polygons):
    """A function that pairs two orthophotos of 32 x 32 px, 1 km apart, with polygons."""
    rng = np.random.default_rng(0)
    paths = [
        write_raster(
            f"{name}.tif",
            rng.integers(1, 200, (3, 32, 32)).astype(np.uint8),
            transform=NORTH_UP @ Affine.translation(2000 * number, 0),
        )
        for number, name in enumerate("ab")
    ]

    def pair(*polygons):
        """Of each orthophoto a file of polygons, or their list."""
        files = [
            each if isinstance(each, Path) else write_polygons(f"{number}.gpkg", each)
            for number, each in enumerate(polygons)
        ]
        return [
            Source(name=path.stem, ortho=path, reference=file)
            for path, file in zip(paths, files, strict=True)
        ]

    return pair


NONE: list[Polygon] = []
ON_A = [box(500_000, 5_699_984, 500_008, 5_700_000)]
FAR = [box(700_000, 5_699_984, 700_008, 5_700_000)]
AROUND_B = [*ON_A, *FAR]


@pytest.mark.parametrize("polygons", [(ON_A, NONE), (ON_A, AROUND_B)])
def test_an_orthophoto_without_any_object_is_all_background(scenes, tmp_path, run_tile, polygons):
    report, patches = run_tile(scenes(*polygons), tmp_path / "set", legend=BINARY, split="none")

    assert not report.failures
    assert report.warnings == ["b.tif is without a polygon: all ground there is 'no'"]
    of_b = [each for each in patches.patches if each.source == 1]
    assert len(of_b) == 9
    assert all(each.class_shares == (1, 0) for each in of_b)
    assert (patches.read(of_b[0]).mask == 0).all()


def test_a_file_with_objects_elsewhere_in_the_batch_is_believed(scenes, tmp_path, run_tile):
    one, other = scenes(ON_A, NONE)
    shared = [one, replace(other, reference=one.reference)]

    report, patches = run_tile(shared[::-1], tmp_path / "set", legend=BINARY, split="none")

    assert not report.failures
    assert [each.source for each in patches.patches] == [0] * 9 + [1] * 9


def test_polygons_far_from_their_orthophoto_are_a_fault(scenes, tmp_path, run_tile):
    report, _ = run_tile(scenes(ON_A, FAR), tmp_path / "set", legend=BINARY, split="none")

    assert list(report.failures) == ["b"]
    assert "1.gpkg: no polygon lies on the raster; are the CRS right?" in report.failures["b"]


@pytest.mark.parametrize("polygons", [(NONE, NONE), (FAR, NONE), (FAR, FAR)])
def test_without_an_object_on_any_orthophoto_nothing_is_tiled(scenes, tmp_path, run_tile, polygons):
    with pytest.raises(InputError, match=r"holds no polygon|are the CRS right"):
        run_tile(scenes(*polygons), tmp_path / "set", legend=BINARY)

    assert not (tmp_path / "set").exists()


def test_what_polygons_leave_is_no_object_inside_of_labelled_areas_alone(
    scenes, write_polygons, tmp_path, run_tile
):
    areas = write_polygons("boxes.gpkg", [box(500_004, 5_699_984, 500_012, 5_700_000)])
    reference = ReferenceOptions(labelled_areas=areas)

    report, patches = run_tile(
        scenes(ON_A, NONE), tmp_path / "set", legend=BINARY, split="none", reference=reference
    )

    assert report.warnings == [
        "b.tif is outside of the areas that count: nothing is labelled there"
    ]
    mask = np.full((32, 32), 255, np.uint8)
    for patch in patches.patches:
        mask[patch.window.slices] = patches.read(patch).mask
    expected = np.full((32, 32), 255, np.uint8)
    expected[:, 8:16], expected[:, 16:24] = 1, 0
    assert (mask == expected).all()


def test_boxes_without_an_object_are_background_and_corrections_lie_outside_of_them_too(
    scenes, write_polygons, tmp_path, run_tile
):
    west = box(500_004, 5_699_984, 500_008, 5_700_000)
    east = box(500_008, 5_699_984, 500_012, 5_700_000)
    how = {
        "reference": ReferenceOptions(labelled_areas=write_polygons("boxes.gpkg", [west])),
        "corrections": write_polygons("drawn.gpkg", [east]),
    }

    report, patches = run_tile(
        scenes(NONE, NONE)[:1], tmp_path / "set", legend=BINARY, split="none", patch_size=32, **how
    )

    mask = patches.read(patches.patches[0]).mask
    assert [mask[0, column] for column in (7, 8, 15, 16, 23, 24)] == [255, 0, 0, 1, 1, 255]
    (told,) = report.meanings
    assert told.endswith("; nothing is labelled outside of boxes.gpkg, but for corrections")


@pytest.mark.parametrize("storage", ["tif", "index"])
def test_only_polygons_are_labelled_if_that_is_wanted(scenes, tmp_path, run_tile, storage):
    report, patches = run_tile(
        scenes(ON_A, NONE),
        tmp_path / "set",
        legend=BINARY,
        split="none",
        storage=storage,
        reference=ReferenceOptions(only_polygons=True),
    )

    assert "b.tif is without a polygon: nothing is labelled there" in report.warnings
    masks = {int(value) for each in patches.patches for value in np.unique(patches.read(each).mask)}
    assert masks == {1, 255}


def test_an_index_finds_its_labelled_areas_again(scenes, write_polygons, tmp_path, run_tile):
    areas = write_polygons("boxes.gpkg", [box(500_004, 5_699_984, 500_012, 5_700_000)])
    options = {
        "legend": BINARY,
        "split": "none",
        "reference": ReferenceOptions(labelled_areas=areas),
    }
    _, stored = run_tile(scenes(ON_A, NONE), tmp_path / "stored", **options)
    _, index = run_tile(scenes(ON_A, NONE), tmp_path / "index", storage="index", **options)

    assert index.record.reference.labelled_areas == areas
    for one, other in zip(stored.patches, index.patches, strict=True):
        assert (stored.read(one).mask == index.read(other).mask).all()


def test_what_the_splits_lack_is_told(write_source, tmp_path, run_tile):
    classes = [{"value": v, "name": f"c{v}"} for v in (3, 7, 1, 250)]
    legend = Legend.from_dict({"ignore": [255], "class": classes})
    report, _ = run_tile([write_source()], tmp_path / "set", legend=legend)

    assert report.classes.splits.keys() == {"train", "val"}
    assert report.warnings == ["no pixel of 'c250' in any split"]


def test_few_labels_are_told_of_all_ground_and_not_of_patches_alone(
    write_source, write_raster, tmp_path, run_tile
):
    truth = np.full((96, 112), 255, np.uint8)
    truth[40:56, 40:48], truth[40:56, 48:56] = 3, 7
    source = replace(write_source("one", 96, 112), reference=write_raster("few.tif", truth))

    report, _ = run_tile([source], tmp_path / "set", split="none")

    assert report.classes.labelled > 0.1
    assert "labels cover 2." in "; ".join(report.warnings)


@pytest.mark.parametrize("told", [{}, {"only_polygons": True}])
def test_a_few_polygons_may_not_be_all_objects(scenes, tmp_path, run_tile, told):
    tiny = [box(500_000, 5_699_998, 500_002, 5_700_000)]
    report, _ = run_tile(
        scenes(tiny, NONE),
        tmp_path / "set",
        legend=BINARY,
        split="none",
        reference=ReferenceOptions(**told),
    )

    assert bool(report.hints) != bool(told)
    assert all("polygons cover 0." in each and "--labelled-areas" in each for each in report.hints)


def test_an_area_of_several_layers_is_refused_with_what_cures(
    scenes, write_polygons, tmp_path, run_tile
):
    areas = write_polygons("two.gpkg", ON_A, layer="one")
    write_polygons("two.gpkg", ON_A, layer="other")

    with pytest.raises(InputError, match="several layers; an area is a file of one layer"):
        run_tile(
            scenes(ON_A, NONE),
            tmp_path / "set",
            legend=BINARY,
            reference=ReferenceOptions(labelled_areas=areas),
        )


@pytest.mark.parametrize("storage", ["tif", "index"])
def test_borders_that_are_not_exact_are_unlabelled_in_the_patches(
    write_source, tmp_path, storage, run_tile
):
    source = write_source()
    how = {"storage": storage, "split": "none"}
    _, exact = run_tile([source], tmp_path / "a", **how)
    _, patches = run_tile([source], tmp_path / "b", **how, ignore_border=Length(1, "px"))

    assert patches.record.ignore_border == Length(1, "px")
    known = {(each.window.row_off, each.window.col_off): each for each in exact.patches}
    for patch in patches.patches:
        mask = patches.read(patch).mask
        whole = exact.read(known[patch.window.row_off, patch.window.col_off]).mask
        assert (mask == np.where(mask == 255, 255, whole)).all()
        assert (mask[near_border(whole, 1)] == 255).all()
    assert sum(patches.record.class_pixels) < sum(exact.record.class_pixels)


def test_corrections_are_in_the_patches_and_must_lie_somewhere(
    write_source, write_polygons, tmp_path, run_tile
):
    source = write_source(transform=NORTH_UP, crs="EPSG:32632")
    patch = box(*(NORTH_UP @ (0, 12)), *(NORTH_UP @ (12, 0)))
    drawn = write_polygons("drawn.gpkg", [patch], kind=["7"])
    how = {"reference": ReferenceOptions(attribute="kind"), "split": "none"}

    _, patches = run_tile([source], tmp_path / "a", corrections=drawn, **how)
    again = type(patches).open(tmp_path / "a")

    assert again.record.corrections == drawn
    first = next(each for each in again.patches if each.window.row_off == each.window.col_off == 0)
    mask = again.read(first).mask[:12, :12]
    assert (mask == again.record.legend.encode_attributes(["7"])[0]).all()
    away = write_polygons("away.gpkg", [box(0, 0, 1, 1)], kind=["7"])
    with pytest.raises(EmptyError, match=r"away\.gpkg: no correction lies on the orthophotos"):
        run_tile([source], tmp_path / "b", corrections=away, **how)
