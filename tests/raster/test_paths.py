from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from shapely import box

from geoseg.errors import InputError
from geoseg.raster.paths import find_maps, find_rasters, find_references, lasting_name, unique_names
from geoseg.raster.reader import RasterReader
from geoseg.raster.vector import is_vector


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


def test_a_name_that_is_not_utf_8_is_refused(tmp_path):
    with pytest.raises(InputError, match="the name is not UTF-8; rename it"):
        find_rasters([tmp_path / "o\udcff.tif"])


def test_names_of_archives_and_servers_are_no_globs_and_no_missing_files(tmp_path, write_raster):
    tile = write_raster("a.tif", np.ones((3, 4, 4), np.uint8))
    archive = tmp_path / "a.zip"
    with ZipFile(archive, "w") as file:
        file.write(tile, "inside/a.tif")

    for name in (f"/vsizip/{archive}/inside/a.tif", f"zip://{archive}!inside/a.tif"):
        [found] = find_rasters([Path(name)])
        with RasterReader(found) as reader:
            assert reader.bands == 3
    address = Path("http://host/a.tif?key=1")
    assert find_rasters([address]) == [address]
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
