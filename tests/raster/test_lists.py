"""Inputs in a row: folders, globs, and lists of all kinds."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio

from geoseg.errors import InputError
from geoseg.raster.lists import find_maps, find_rasters, find_references
from geoseg.raster.paths import gdal_name, parse_name


@pytest.fixture
def folder(tmp_path):
    for name in ("b.tif", "a.TIF", "c.png", "notes.txt", "roofs.gpkg", "deep/d.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def names(paths):
    return [path.name for path in paths]


def test_a_folder_gives_its_rasters_by_name(folder):
    assert names(find_rasters([folder])) == ["a.TIF", "b.tif", "c.png"]


def test_a_folder_of_maps_gives_polygons_if_it_has_no_raster(folder):
    assert names(find_maps([folder])) == ["a.TIF", "b.tif", "c.png"]
    for path in find_rasters([folder]):
        path.unlink()
    assert names(find_maps([folder])) == ["roofs.gpkg"]


def test_a_folder_of_references_gives_polygons_too(folder):
    assert names(find_references([folder])) == ["a.TIF", "b.tif", "c.png", "roofs.gpkg"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [("*.tif", ["b.tif"]), ("[bc].*", ["b.tif", "c.png"]), ("**/*.tif", ["b.tif", "d.tif"])],
)
def test_a_pattern_gives_what_matches(folder, pattern, found):
    assert names(find_rasters([folder / pattern])) == found


@pytest.fixture
def layers(tmp_path, write_raster):
    """A folder with rasters of geoseg's own, and what is not."""
    own = {"a": "class map", "a_scores": "scores", "a_certain": "confidence", "b": None}
    for name, kind in own.items():
        path = write_raster(f"layers/{name}.tif", np.zeros((2, 2), np.uint8))
        if kind:
            with rasterio.open(path, "r+") as file:
                file.update_tags(GEOSEG=json.dumps({"kind": kind}))
    (tmp_path / "layers/c.png").touch()
    return tmp_path / "layers"


@pytest.mark.parametrize("find", [find_rasters, find_maps, find_references])
@pytest.mark.parametrize("pattern", ["", "*.*"])
def test_of_rasters_of_geosegs_those_that_are_meant_are_taken(layers, find, pattern):
    told = []

    found = find([layers / pattern], kinds=["class map", "scores"], tell=told.append)

    assert names(found) == ["a.tif", "b.tif", "c.png"]
    where = layers / pattern
    assert told == [f"{where}: 3 of 5 files taken; passed over: 1 confidence, 1 scores"]
    assert names(find([layers / pattern], kinds=["scores"])) == ["a_scores.tif", "b.tif", "c.png"]
    assert len(find([layers / pattern])) == 5


def test_files_that_are_named_are_taken_and_so_are_all_if_none_is_meant(layers):
    named = [layers / "a_scores.tif", layers / "a.tif"]
    assert find_rasters(named, kinds=["class map"]) == named
    listed = write(layers / "list.txt", "a_scores.tif\na.tif\n")
    assert find_rasters([at(listed)], kinds=["class map"]) == named

    assert len(find_rasters([layers / "a_*.tif"], kinds=["class map"])) == 2


def test_files_come_in_the_order_named(folder):
    named = [folder / "c.png", folder / "b.tif"]

    assert find_rasters(named) == named


def test_an_orthophoto_named_twice_counts_once(folder):
    assert names(find_rasters([folder / "b.tif", folder / "*.tif"])) == ["b.tif"]


def test_a_reference_named_twice_counts_twice(folder):
    assert names(find_references([folder / "b.tif"] * 2)) == ["b.tif", "b.tif"]


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(folder):
    (folder / "tile[1].tif").touch()

    assert find_rasters([folder / "tile[1].tif"]) == [folder / "tile[1].tif"]


@pytest.mark.parametrize("pattern", ["*.jp2", "x?.tif"])
def test_a_pattern_that_matches_nothing_is_refused(folder, pattern):
    with pytest.raises(InputError, match="matches no file"):
        find_rasters([folder / pattern])


def test_a_folder_without_rasters_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds none of \.tif"):
        find_rasters([tmp_path])


def test_a_name_that_is_not_utf_8_is_refused(tmp_path):
    with pytest.raises(InputError, match="the name is not UTF-8; rename it"):
        find_rasters([tmp_path / "o\udcff.tif"])


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def at(path):
    return parse_name(f"@{path}")


def item(name, **hrefs):
    """A STAC item with assets of these places."""
    assets = {asset: {"href": href} for asset, href in hrefs.items()}
    about = {"type": "Feature", "stac_version": "1.0.0", "id": name, "geometry": None}
    return about | {"properties": {}, "links": [], "assets": assets}


def write_item(path, *items):
    content = items[0] if len(items) == 1 else {"type": "FeatureCollection", "features": [*items]}
    return write(path, json.dumps(content))


def test_a_list_names_files_globs_folders_and_urls_one_a_line(folder):
    text = (
        "\ufeff# orthophotos of 2024\r\nb.tif\r\n\r\n  *.png  \r\ndeep\r\n"
        "https://host//d.tif?sig=x#y\r\n/elsewhere/e.tif"
    )
    path = write(folder / "list.txt", text)

    found = find_rasters([at(path)])

    assert found[:3] == [folder / "b.tif", folder / "c.png", folder / "deep/d.tif"]
    assert gdal_name(found[3]) == "/vsicurl/https://host//d.tif?sig=x#y"
    assert found[4:] == [Path("/elsewhere/e.tif")]


def test_names_in_a_list_lie_beside_it_or_in_the_working_folder(folder, monkeypatch):
    (folder / "lists").mkdir()
    (folder / "lists/b.tif").touch()
    path = write(folder / "lists/all.txt", "b.tif\nc.png\nnone.tif\n*.gpkg\n")
    monkeypatch.chdir(folder)

    found = find_references([at(path.relative_to(folder))])

    beside = Path("lists")
    assert found == [beside / "b.tif", Path("c.png"), beside / "none.tif", Path("roofs.gpkg")]


@pytest.mark.parametrize(
    ("text", "asset", "expected"),
    [
        ("a.TIF\nb.tif\n", None, ["a.TIF", "b.tif"]),
        ("Path\na.TIF\n\nb.tif\n", None, ["a.TIF", "b.tif"]),
        ('id,url,mask\n1,"a.TIF",c.png\n', None, ["a.TIF"]),
        ("id,url,mask\n1,a.TIF,c.png\n", "mask", ["c.png"]),
    ],
)
def test_a_table_names_rasters_in_a_column(folder, text, asset, expected):
    path = write(folder / "list.csv", text)

    assert names(find_rasters([path], asset)) == expected
    assert names(find_rasters([at(path)], asset)) == expected


@pytest.mark.parametrize(
    ("text", "asset", "reason"),
    [
        ("id,mask\n1,c.png\n", None, "has no column path or .* name one of 'id', 'mask' with --as"),
        ("path\nc.png\n", "mask", "has no column 'mask'; name one of 'path'"),
        ("id,path\n1,b.tif\n2,\n", None, "row 3 names nothing in 'path'"),
        ("", None, "no column|names nothing"),
    ],
)
def test_a_table_that_names_nothing_is_refused(folder, text, asset, reason):
    with pytest.raises(InputError, match=f"list.csv: .*{reason}"):
        find_rasters([write(folder / "list.csv", text)], asset)


HREFS = {"visual": "./d/a.tif", "cloud": "s3://bucket/a.tif", "thumbnail": "../a.png"}


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(
    ("asset", "expected"), [("visual", "{}/d/a.tif"), ("cloud", "s3://bucket/a.tif")]
)
def test_stac_items_name_an_asset(tmp_path, count, asset, expected):
    path = write_item(tmp_path / "items.json", *[item("one", **HREFS)] * count)

    for name in (path, at(path)):
        found = find_references([name], asset)
        assert [str(each) for each in found] == [expected.format(tmp_path)] * count


def test_a_stac_items_only_asset_with_data_needs_no_name(tmp_path):
    one = item("one", visual="a.tif", thumbnail="a.png", about="a.xml")
    one["assets"]["thumbnail"]["roles"] = ["thumbnail"]
    path = write_item(tmp_path / "item.json", one)

    assert find_rasters([path]) == [tmp_path / "a.tif"]


def test_stac_items_without_the_asset_are_named(tmp_path):
    path = write_item(tmp_path / "i.json", item("one", **HREFS), item("two", red="b.tif"))

    with pytest.raises(InputError, match=r"i.json: item 'two' has no asset 'visual'.*: 'red'"):
        find_rasters([path], "visual")
    with pytest.raises(InputError, match="'one' has 3 assets with data; name one with --asset: "):
        find_rasters([path])


def test_a_stac_collection_is_refused(tmp_path):
    path = write(tmp_path / "c.json", '{"type": "Collection", "stac_version": "1.0.0"}')

    with pytest.raises(InputError, match="is a STAC Collection, which only links to its items"):
        find_rasters([path])


def test_polygons_are_no_list(tmp_path):
    path = write(tmp_path / "a.geojson", '{"type": "FeatureCollection", "features": []}')
    pq.write_table(pa.table({"assets": [1]}), tmp_path / "b.parquet")

    assert find_references([path, tmp_path / "b.parquet"]) == [path, tmp_path / "b.parquet"]


def test_stac_geoparquet_names_an_asset(tmp_path):
    rows = [item("one", **HREFS), item("two", visual="gs://bucket/b.tif")]
    path = tmp_path / "items.parquet"
    wanted = ("id", "stac_version", "assets")
    pq.write_table(pa.Table.from_pylist([{key: row[key] for key in wanted} for row in rows]), path)

    for name in (path, at(path)):
        found = find_references([name], "visual")
        assert [*map(str, found)] == [str(tmp_path / "d/a.tif"), "gs://bucket/b.tif"]
    with pytest.raises(InputError, match=r"item 'two' has no asset 'cloud'$"):
        find_rasters([path], "cloud")
    with pytest.raises(InputError, match=r"item 'one' has no asset 'red'; .*'visual'"):
        find_rasters([path], "red")


def test_a_list_of_items_is_a_list_of_their_assets(tmp_path):
    for name in ("one", "two"):
        write_item(tmp_path / f"{name}.json", item(name, visual=f"{name}.tif"))
    path = write(tmp_path / "list.txt", "one.json\ntwo.json\n")

    assert find_rasters([at(path)], "visual") == [tmp_path / "one.tif", tmp_path / "two.tif"]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("none.txt", None, "cannot be read: No such file"),
        ("a.txt", b"# nothing\n\n", "the list names nothing"),
        ("a.txt", "stra\xdfe.tif".encode("latin1"), "is not UTF-8"),
        ("a.csv", b"path\na.csv\n", "is a list that names itself"),
        ("a.json", b'{"stac_version": "1", "id": "one"}', "'assets' is missing"),
        ("a.parquet", b"PAR1", "cannot be read as stac-geoparquet"),
        ("a.txt", b"x*.tif\n", "matches no file"),
    ],
)
def test_a_list_that_cannot_be_read_is_refused(tmp_path, name, content, reason):
    if content is not None:
        (tmp_path / name).write_bytes(content)

    with pytest.raises(InputError, match=reason):
        find_rasters([at(tmp_path / name)])


def test_a_file_whose_name_looks_like_a_list_is_a_file(folder, monkeypatch):
    (folder / "@b.tif").touch()
    monkeypatch.chdir(folder)

    assert find_rasters([Path("@b.tif")]) == [Path("@b.tif")]
