import json

import numpy as np
import pytest
import rasterio
from affine import Affine
from pyproj import Transformer
from rasterio.crs import CRS

from geoseg.errors import BundleError, GeosegWarning
from geoseg.patches.training_ground import (
    GROUND,
    SourceGround,
    TrainedGround,
    TrainingGround,
    content_of,
    disjoint,
    merged_records,
)
from geoseg.raster.grid import Grid
from geoseg.raster.window import Window

UTM = Affine(0.5, 0, 500_000, 0, -0.5, 5_700_000)
WHOLE = Window(row_off=0, col_off=0, height=8, width=10)
TRAIN = (
    Window(row_off=0, col_off=0, height=4, width=4),
    Window(row_off=4, col_off=2, height=2, width=6),
)
"""What of `WHOLE` trained the model."""

PAINTED = np.zeros((8, 10), bool)
PAINTED[0:4, 0:4] = PAINTED[4:6, 2:8] = True


def grid(height=8, width=10, transform=UTM, crs="EPSG:32632"):
    return Grid(CRS.from_string(crs) if crs else None, transform, height, width)


def ground(on=None, *, content=None, is_complete=True):
    """The ground of one source."""
    windows = {
        "train": TRAIN,
        "val": (Window(row_off=6, col_off=0, height=2, width=10),),
        "test": (),
    }
    source = SourceGround(content=content, grid=on or grid(), windows=windows)
    return TrainingGround(sources=(source,), is_complete=is_complete)


def unknown():
    """Nothing is known of an orthophoto's pixels."""


def read(of, ortho, region=None, *, on=None, content=None):
    """What of a map trained its model, once the map's tag was written and read."""
    region = region or ortho.window
    record = json.loads(json.dumps(of.on(ortho, region, lambda: content)))
    mapped = on or ortho.part(region)
    trained = TrainedGround(record, mapped)
    return trained.read(mapped.window), trained.is_complete


def test_the_training_split_alone_is_ground_that_trained():
    found, is_complete = read(ground(), grid())

    assert (found == PAINTED).all()
    assert is_complete


def test_windows_of_a_map_are_parts_of_it():
    trained = TrainedGround(ground().on(grid(), WHOLE, unknown), grid())

    for row in range(8):
        for col in range(10):
            here = Window(row_off=row, col_off=col, height=3, width=2)
            expected = np.zeros((3, 2), bool)
            part = PAINTED[row : row + 3, col : col + 2]
            expected[: part.shape[0], : part.shape[1]] = part
            assert (trained.read(here) == expected).all()


def test_a_crop_or_a_map_cut_afterwards_has_its_part_of_the_ground():
    region = Window(row_off=2, col_off=1, height=5, width=6)
    crop = grid().part(region)

    assert (read(ground(), crop)[0] == PAINTED[2:7, 1:7]).all()
    assert (read(ground(), grid(), region)[0] == PAINTED[2:7, 1:7]).all()
    assert (read(ground(), grid(), on=crop)[0] == PAINTED[2:7, 1:7]).all()


@pytest.mark.parametrize("factor", [2, 5])
def test_a_finer_orthophoto_of_the_same_ground_has_it(factor):
    finer = grid(8 * factor, 10 * factor, UTM @ Affine.scale(1 / factor))

    assert (read(ground(), finer)[0] == PAINTED.repeat(factor, 0).repeat(factor, 1)).all()


def test_an_orthophoto_turned_round_has_it():
    south_up = grid(8, 10, UTM @ Affine.translation(10, 8) @ Affine.scale(-1, -1))
    quarter = grid(10, 8, UTM @ Affine.translation(10, 0) @ Affine.rotation(90))

    assert (read(ground(), south_up)[0] == PAINTED[::-1, ::-1]).all()
    assert (read(ground(), quarter)[0] == np.rot90(PAINTED)).all()


@pytest.mark.parametrize("crs", ["EPSG:25833", "EPSG:3857", "EPSG:4326"])
def test_the_ground_is_found_in_another_crs(crs):
    source = grid(400, 500)
    corner = Window(row_off=100, col_off=50, height=200, width=300)
    of = TrainingGround(
        sources=(
            SourceGround(
                content=None, grid=source, windows={"train": (corner,), "val": (), "test": ()}
            ),
        )
    )
    to_other = Transformer.from_crs("EPSG:32632", crs, always_xy=True)
    xs, ys = to_other.transform(*zip(*source.corners, strict=True))
    width = (max(xs) - min(xs)) / 300
    other = Grid(
        CRS.from_string(crs),
        Affine(width, 0, min(xs), 0, -(max(ys) - min(ys)) / 260, max(ys)),
        260,
        300,
    )
    cols, rows = np.meshgrid(np.arange(300) + 0.5, np.arange(260) + 0.5)
    a, b, c, d, e, f = other.transform[:6]
    back = Transformer.from_crs(crs, "EPSG:32632", always_xy=True)
    xs, ys = back.transform(a * cols + b * rows + c, d * cols + e * rows + f)
    across, down = (xs - 500_000) / 0.5, (5_700_000 - ys) / 0.5
    expected = (across > 50) & (across < 350) & (down > 100) & (down < 300)

    found, is_complete = read(of, other)

    assert is_complete
    assert np.count_nonzero(found != expected) <= 2


def test_other_ground_trained_nothing():
    away = grid(transform=UTM @ Affine.translation(10, 0))

    record = ground().on(away, WHOLE, unknown)

    assert record["parts"] == []
    assert not TrainedGround(record, away).read(WHOLE).any()


def test_a_picture_without_a_place_is_known_by_its_pixels():
    picture = grid(transform=Affine.identity(), crs=None)
    of = ground(picture, content="abc")
    part = Window(row_off=2, col_off=1, height=5, width=6)

    assert (read(of, picture, content="abc")[0] == PAINTED).all()
    assert (read(of, picture, part, content="abc")[0] == PAINTED[2:7, 1:7]).all()
    assert read(of, picture, content="abc")[1]


@pytest.mark.parametrize("content", ["other", None])
def test_of_an_unknown_picture_without_a_place_nothing_is_known(content):
    picture = grid(transform=Affine.identity(), crs=None)

    for source, other in ((picture, picture), (picture, grid()), (grid(), picture)):
        found, is_complete = read(ground(source, content="abc"), other, content=content)
        assert not found.any()
        assert not is_complete


def test_an_orthophoto_of_another_size_need_not_be_read():
    def never():
        raise AssertionError("was read")

    assert ground(content="abc").on(grid(9, 10), WHOLE, never)["parts"]
    with pytest.raises(AssertionError, match="was read"):
        ground(content="abc").on(grid(8, 10), WHOLE, never)


def test_the_same_pixels_with_another_place_are_the_same_ground():
    moved = grid(transform=UTM @ Affine.translation(1000, 0))
    picture = grid(transform=Affine.identity(), crs=None)

    for other in (moved, picture):
        assert (read(ground(content="abc"), other, content="abc")[0] == PAINTED).all()
        assert (read(ground(other, content="abc"), grid(), content="abc")[0] == PAINTED).all()


def test_a_picture_that_was_cut_afterwards_does_not_say():
    picture = grid(transform=Affine.identity(), crs=None)
    smaller = grid(5, 5, Affine.identity(), None)

    found, is_complete = read(ground(picture, content="abc"), picture, on=smaller, content="abc")

    assert not found.any()
    assert not is_complete


def test_a_bundle_gives_back_what_was_written(tmp_path):
    of = ground(content="abc").joined(ground(grid(transform=Affine.identity(), crs=None)))
    of.write(tmp_path)

    assert TrainingGround.read(tmp_path) == of
    first = (tmp_path / GROUND).read_bytes()
    of.write(tmp_path)
    assert (tmp_path / GROUND).read_bytes() == first


def test_a_bundle_without_the_record_does_not_say(tmp_path):
    assert TrainingGround.read(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "\x00", "[" * 9999])
def test_a_record_of_a_bundle_that_is_none_is_refused_with_the_way_out(tmp_path, text):
    (tmp_path / GROUND).write_text(text)

    with pytest.raises(BundleError, match=r"ground\.json: is damaged: .*; .*delete it") as caught:
        TrainingGround.read(tmp_path)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (["is_complete"], "yes"),
        (["crs"], ["x"]),
        (["crs"], None),
        (["sources"], 1),
        (["sources", 0], {}),
        (["sources", 0, "content"], 1),
        (["sources", 0, "crs"], 1),
        (["sources", 0, "crs"], -1),
        (["sources", 0, "transform"], [0.0] * 6),
        (["sources", 0, "transform", 0], None),
        (["sources", 0, "transform"], [1.0]),
        (["sources", 0, "size"], [8]),
        (["sources", 0, "size"], [8, 5]),
        (["sources", 0, "size", 0], 1e308),
        (["sources", 0, "windows"], {"train": []}),
        (["sources", 0, "windows", "train", 0], [0, 0, 1]),
        (["sources", 0, "windows", "train", 0, 0], 0.5),
        (["sources", 0, "windows", "train", 0, 0], -1),
        (["sources", 0, "windows", "train", 0, 2], 0),
        (["sources", 0, "windows", "train", 0, 3], 10**30),
    ],
)
def test_a_damaged_record_of_a_bundle_is_refused(tmp_path, place, value):
    ground(content="abc").write(tmp_path)
    record = json.loads((tmp_path / GROUND).read_text())
    within(record, place[:-1])[place[-1]] = value
    (tmp_path / GROUND).write_text(json.dumps(record))

    with pytest.raises(BundleError, match=r"ground\.json: is damaged: .*; .*delete it"):
        TrainingGround.read(tmp_path)


def test_a_record_of_a_bundle_that_cannot_be_read_is_refused(tmp_path):
    (tmp_path / GROUND).mkdir()

    with pytest.raises(BundleError, match=r"ground\.json: .*delete it"):
        TrainingGround.read(tmp_path)


def within(record, place):
    """What lies in a record at a place."""
    for key in place:
        record = record[key]
    return record


RECORD = {"is_complete": True, "crs": [], "parts": [{"crs": None, "size": [8, 10], "windows": []}]}


@pytest.mark.parametrize(
    "record",
    [
        1,
        [],
        {},
        {"is_complete": True, "crs": [], "parts": [{}]},
        RECORD | {"is_complete": 1},
        RECORD | {"crs": ["x"]},
        RECORD | {"parts": [{"crs": 0, "size": [8, 10], "windows": []}]},
        RECORD | {"parts": [{"crs": None, "size": [8], "windows": []}]},
        RECORD | {"parts": [{"crs": None, "size": [8, 10], "windows": [[0, 0, 0, 0]]}]},
        RECORD | {"parts": [{"crs": None, "transform": [1, 0, 0], "windows": []}]},
        RECORD | {"parts": [{"crs": None, "transform": [0] * 6, "windows": []}]},
    ],
)
def test_a_map_with_a_damaged_record_does_not_say_and_warns(write_raster, record):
    tags = json.dumps({"provenance": {"training_ground": record}})
    path = write_raster("map.tif", np.zeros((8, 10), np.uint8))
    with rasterio.open(path, "r+") as file:
        file.update_tags(GEOSEG=tags)

    with pytest.warns(GeosegWarning, match=r"map\.tif: .* is damaged and ignored") as told:
        assert TrainedGround.of_map(path, grid()) is None

    assert "\n" not in str(told[0].message)


def test_a_map_whose_record_is_whole_or_missing_says_so_without_a_warning(write_raster, recwarn):
    path = write_raster("map.tif", np.zeros((8, 10), np.uint8))

    assert TrainedGround.of_map(path, grid()) is None
    with rasterio.open(path, "r+") as file:
        file.update_tags(GEOSEG=json.dumps({"provenance": {"training_ground": RECORD}}))
    assert TrainedGround.of_map(path, grid()).is_complete
    assert not [each for each in recwarn if issubclass(each.category, GeosegWarning)]


def test_further_training_has_the_ground_of_both():
    away = grid(transform=UTM @ Affine.translation(10, 0))
    both = ground().joined(ground(away))
    together = grid(width=20)

    assert (read(both, together)[0] == np.concatenate([PAINTED, PAINTED], axis=1)).all()
    assert both.joined(both) == both
    assert not ground().joined(None).is_complete
    assert not read(ground().joined(None), grid())[1]


def test_windows_in_the_same_coordinates_of_another_crs_are_other_ground():
    assert len(ground().joined(ground(grid(crs="EPSG:32633"))).sources) == 2
    assert len(ground().joined(ground(grid(crs="EPSG:32632+5783"))).sources) == 1


def test_heights_of_a_crs_are_no_matter_to_the_pixels_of_the_ground():
    slim = ground(grid(transform=UTM @ Affine.scale(1, 0.01)))
    compound = grid(crs="EPSG:32632+5783", transform=slim.sources[0].grid.transform)

    assert (read(slim, compound)[0] == PAINTED).all()


def test_a_map_of_maps_has_the_ground_of_all():
    away = grid(transform=UTM @ Affine.translation(10, 0), crs="EPSG:25832")
    one, other = ground().on(grid(), WHOLE, unknown), ground(away).on(away, WHOLE, unknown)

    together = merged_records([one, other])

    assert together is not None
    assert (TrainedGround(together, grid()).read(WHOLE) == PAINTED).all()
    assert (TrainedGround(together, away).read(WHOLE) == PAINTED).all()
    assert together["is_complete"]
    assert merged_records([one, None])["is_complete"] is False
    assert merged_records([None, None]) is None


def test_rectangles_cover_the_same_and_share_no_pixel():
    rng = np.random.default_rng(0)
    for _ in range(50):
        starts = rng.integers(0, 20, (rng.integers(0, 12), 2))
        boxes = np.concatenate([starts, starts + rng.integers(1, 9, starts.shape)], axis=1)

        covered, counted = np.zeros((30, 30), bool), np.zeros((30, 30), int)
        for top, left, bottom, right in boxes:
            covered[top:bottom, left:right] = True
        for top, left, bottom, right in disjoint(boxes):
            counted[top:bottom, left:right] += 1

        assert (counted == covered).all()


def test_windows_on_a_lattice_become_few_rectangles():
    starts = np.stack(np.meshgrid(range(0, 3000, 100), range(0, 2000, 100)), axis=-1).reshape(-1, 2)

    assert disjoint(np.concatenate([starts, starts + 200], axis=1)).tolist() == [[0, 0, 3100, 2100]]


def test_content_is_of_the_pixels_and_not_of_the_file(write_raster):
    image = np.random.default_rng(0).integers(0, 255, (3, 300, 400)).astype(np.uint8)
    same = [
        write_raster("a.tif", image),
        write_raster("b.png", image),
        write_raster("c.tif", image, compress="deflate", tiled=True, blockxsize=64, blockysize=64),
        write_raster("d.tif", image.astype(np.uint16), nodata=7),
    ]

    assert len({content_of(path) for path in same}) == 1
    assert content_of(same[0]) is not None
    others = [write_raster("x.tif", image[:, :-1]), write_raster("y.tif", image[:2])]
    assert content_of(same[0]) not in {content_of(path) for path in others}
    assert content_of(write_raster("z.tif", image[:, ::-1])) != content_of(same[0])


def test_pixels_that_are_all_the_same_tell_nothing(write_raster, tmp_path):
    assert content_of(write_raster("a.tif", np.zeros((3, 50, 50), np.uint8))) is None
    assert content_of(tmp_path / "missing.tif") is None
