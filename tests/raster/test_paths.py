import copy
import os
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from shapely import box

from geoseg.errors import InputError, RasterError
from geoseg.raster.lists import find_rasters
from geoseg.raster.paths import (
    gdal_name,
    is_remote,
    lasting_name,
    parse_name,
    redact,
    unique_names,
)
from geoseg.raster.reader import RasterReader
from geoseg.raster.vector import is_vector


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ([], []),
        (["a.tif"], ["a"]),
        (["x/a.tif", "x/b.tif"], ["a", "b"]),
        (["x/a.tif", "y/a.tif", "y/b.tif"], ["x_a", "y_a", "y_b"]),
        (["1/x/a.tif", "2/x/a.tif"], ["1_x_a", "2_x_a"]),
        (["a.tif", "a.png"], ["a_1", "a_2"]),
        (["x/a.tif", "a.tif"], ["x_a", "a"]),
    ],
)
def test_names_are_short_and_unique(paths, expected):
    assert unique_names([Path(path) for path in paths]) == expected


def test_names_of_archives_and_servers_are_no_globs_and_no_missing_files(tmp_path, write_raster):
    tile = write_raster("a.tif", np.ones((3, 4, 4), np.uint8))
    archive = tmp_path / "a.zip"
    with ZipFile(archive, "w") as file:
        file.write(tile, "inside/a.tif")

    for name in (f"/vsizip/{archive}/inside/a.tif", f"zip://{archive}!inside/a.tif"):
        [found] = find_rasters([Path(name)])
        with RasterReader(found) as reader:
            assert reader.bands == 3
    address = Path("http://host/a.tif?band=1")
    assert find_rasters([address]) == [parse_name("http://host/a.tif?band=1")]
    assert unique_names([Path("netcdf:a.nc:one"), Path("netcdf:a.nc:two")]) == [
        "netcdf_a_nc_one",
        "netcdf_a_nc_two",
    ]


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("a.geojsonl", True),
        ("a.PARQUET", True),
        ("a.gdb.zip", True),
        ("a.tab", True),
        ("a.zip", False),
    ],
)
def test_polygons_are_known_by_many_suffixes(name, is_one):
    assert is_vector(Path(name)) == is_one


def test_a_geopackage_of_tiles_is_a_raster(tmp_path, write_raster, write_polygons):
    tiles = write_raster("a.gpkg", np.ones((3, 8, 8), np.uint8), driver="GPKG")

    assert not is_vector(tiles)
    assert is_vector(write_polygons("b.gpkg", [box(0, 0, 1, 1)]))


@pytest.mark.parametrize(
    ("name", "lasting"),
    [
        ("netcdf:data/a.nc:Band1", "netcdf:{}/data/a.nc:Band1"),
        ('HDF5:"data/a.nc"://group/one', 'HDF5:"{}/data/a.nc"://group/one'),
        ("/vsizip/data/a.nc/b.tif", "/vsizip/{}/data/a.nc/b.tif"),
        ("zip://data/a.nc!b.tif", "/vsizip/{}/data/a.nc/b.tif"),
        ("netcdf:/elsewhere/a.nc:Band1", "netcdf:/elsewhere/a.nc:Band1"),
        ("https://host/a.tif", "https://host/a.tif"),
    ],
)
def test_names_that_gdal_knows_last_in_other_folders(name, lasting, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.nc").touch()
    monkeypatch.chdir(tmp_path)

    assert lasting_name(Path(name)) == lasting.format(tmp_path.as_posix())


SIGNED = "https://me:pw@host/d/a%20b.tif?band=1&X-Amz-Signature=0af3&sig=x"


def test_a_url_is_shown_without_its_secrets_and_opened_with_them():
    name = parse_name(SIGNED)

    told = "https://REDACTED@host/d/a%20b.tif?band=1&X-Amz-Signature=REDACTED&sig=REDACTED"
    assert str(name) == f"{name}" == told
    assert repr(name) == f"GdalName({told!r})"
    assert gdal_name(name) == f"/vsicurl/{SIGNED}"
    assert (name.name, name.stem, name.suffix) == ("a b.tif", "a b", ".tif")
    for beside in (name.parent / "c.tif", name.with_name("c.tif"), name.parent.joinpath("c.tif")):
        assert str(beside) == "https://REDACTED@host/d/c.tif"


@pytest.mark.parametrize(
    ("written", "opened"),
    [
        ("https://host//a.tif", "/vsicurl/https://host//a.tif"),
        ("S3://bucket/a//b@c.tif", "/vsis3/bucket/a//b@c.tif"),
        ("gs://bucket/a.tif", "/vsigs/bucket/a.tif"),
        ("az://container/a.tif", "/vsiaz/container/a.tif"),
        ("/vsis3/bucket/a.tif", "/vsis3/bucket/a.tif"),
        ("zip+https://host/a.zip!b/c.tif", "/vsizip//vsicurl/https://host/a.zip/b/c.tif"),
        ("zip+s3://bucket/a.zip!c.tif", "/vsizip//vsis3/bucket/a.zip/c.tif"),
    ],
)
def test_urls_have_gdals_prefixes(written, opened):
    name = parse_name(written)

    assert str(name) == written
    assert gdal_name(name) == opened
    assert is_remote(name)
    assert name.name == written.rpartition("/")[2].rpartition("!")[2]


def test_a_url_that_pathlib_has_collapsed_is_repaired():
    assert parse_name(Path("https://host/a.tif")) == parse_name("https://host/a.tif")
    assert gdal_name(Path("/vsicurl/https://host/a.tif")) == "/vsicurl/https://host/a.tif"


def test_files_stay_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old:a.tif").touch()

    for name in ("a.tif", "C:\\maps\\a.tif", "old:a.tif"):
        assert type(parse_name(name)) is type(Path(name))
    assert parse_name(tmp_path.as_uri()) == tmp_path


def test_a_name_on_a_server_is_never_taken_for_a_file():
    name = parse_name(SIGNED)

    assert not name.exists()
    assert not (name / "patches.json").is_file()
    assert name.resolve() == name.absolute() == name
    for use in (os.fspath, open, os.path.realpath, Path.read_text, Path.unlink):
        with pytest.raises(InputError, match=r"REDACTED@host.* is no file of this machine"):
            use(name)


def test_names_go_to_other_processes_with_their_secrets_and_compare_by_them():
    name = parse_name(SIGNED)

    assert gdal_name(copy.deepcopy(name)) == gdal_name(name)  # as pickle does
    assert len({name, copy.deepcopy(name), parse_name(f"{SIGNED}2")}) == 2
    assert min(parse_name("s3://b/b.tif"), parse_name("s3://b/a.tif")).name == "a.tif"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["https://host/d/a.tif?sig=x"], ["a"]),
        (["s3://b/one/TCI.tif", "s3://b/two/TCI.tif"], ["one_TCI", "two_TCI"]),
        (["s3://b/TCI.tif", "https://me:pw@c/TCI.tif"], ["s3_b_TCI", "https_c_TCI"]),
        (["https://host/a%2Fb.tif"], ["b"]),
    ],
)
def test_maps_of_urls_have_short_names(names, expected):
    assert unique_names([*map(parse_name, names)]) == expected


def test_records_hold_no_secrets():
    assert lasting_name(parse_name(SIGNED)) == str(parse_name(SIGNED))
    with pytest.raises(RasterError, match="are not recorded; name it anew"):
        RasterReader(parse_name(str(parse_name(SIGNED))))


@pytest.mark.parametrize(
    "text",
    [
        "/vsicurl?header.Authorization=Bearer%20SECRET&url=https%3A%2F%2Fhost%2Fa.tif",
        "https://host/a.tif?sv=2&se=SECRET&sr=b&sig=SECRET",
        "HTTP error 403 on 'https://u:SECRET@host/a.tif?api_key=SECRET', https://SECRET@host/",
        "/vsicurl?url=https%3A%2F%2Fu%3ASECRET%40host%2Fa.tif",
        "https://host/a?Policy=SECRET&Key-Pair-Id=SECRET&token=SECRET;Expires=SECRET",
    ],
)
def test_secrets_are_found_in_any_text(text):
    assert "SECRET" not in redact(text)
    assert "REDACTED" in redact(text)
