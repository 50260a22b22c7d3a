"""Indexes of maps, read by those that they are for: GDAL and pystac."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pystac
import pytest
from pystac.validation.local_validator import LocalValidator

from geoseg.errors import EmptyError, OutputError, OutputExistsError
from geoseg.prediction.map_index import index_files, write_index

SHOW = """
import sys, rasterio
with rasterio.open(sys.argv[1]) as file:
    print(file.driver, file.crs.to_epsg(), file.nodata, file.read(1).tolist())
"""


def by_gdal(path):
    """Driver, CRS, nodata and pixels, in a process in which GDAL has all its drivers."""
    environment = {name: text for name, text in os.environ.items() if name != "GDAL_SKIP"}
    command = [sys.executable, "-c", SHOW, path]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return done.stdout.strip()


@pytest.fixture
def maps(make_scene):
    """Two neighbours: values 1 and 4, 4 and 0."""
    return [make_scene("a", [[0, 1]]), make_scene("b", [[1, 2]], col=2)]


def test_gdal_reads_the_maps_of_a_tile_index_as_one_raster(maps, legend, tmp_path):
    index = tmp_path / "maps.gti.gpkg"

    assert write_index(index, maps, legend, overwrite=False) == []

    assert by_gdal(index) == "GTI 32632 255.0 [[1, 4, 4, 0]]"
    assert "paletted" in (tmp_path / "maps.gti.qml").read_text()


def test_a_tile_index_moves_with_its_maps(maps, legend, tmp_path):
    write_index(tmp_path / "maps.gti.gpkg", maps, legend, overwrite=False)
    moved = tmp_path.rename(tmp_path.with_name(f"{tmp_path.name}-moved"))

    assert by_gdal(moved / "maps.gti.gpkg").endswith("[[1, 4, 4, 0]]")


def test_pystac_reads_a_collection_and_finds_no_fault(maps, legend, tmp_path):
    index = tmp_path / "all.json"

    write_index(index, maps, legend, overwrite=False)

    collection = pystac.Collection.from_file(str(index))
    items = list(collection.get_items())
    check = LocalValidator()
    assert not list(check.collection_validator("1.1.0").iter_errors(collection.to_dict()))
    for item, path in zip(items, maps, strict=True):
        assert not list(check.item_validator("1.1.0").iter_errors(item.to_dict()))
        assert Path(item.assets["map"].get_absolute_href()).samefile(path)
        assert item.get_collection() is collection
        assert (item.ext.proj.epsg, item.ext.proj.shape) == (32632, [1, 2])
    classes = items[0].assets["map"].ext.classification.classes
    assert [(each.value, each.name) for each in classes] == [
        (1, "building"), (4, "tree"), (0, "water")
    ]  # fmt: skip


def test_an_index_that_is_there_is_replaced_only_if_the_user_says_so(maps, legend, tmp_path):
    for name in ("maps.gti.gpkg", "all.json"):
        write_index(tmp_path / name, maps, legend, overwrite=False)
        with pytest.raises(OutputExistsError):
            write_index(tmp_path / name, maps, legend, overwrite=False)
        write_index(tmp_path / name, maps[:1], legend, overwrite=True)


def test_maps_without_a_place_are_in_no_index(maps, legend, tmp_path, write_raster):
    bare = write_raster("bare.tif", np.array([[1, 4]], np.uint8), crs=None)

    assert write_index(tmp_path / "all.json", [*maps, bare], legend, overwrite=False) == [bare]
    with pytest.raises(EmptyError, match="no map has a CRS"):
        write_index(tmp_path / "none.json", [bare], legend, overwrite=False)


def test_a_name_that_says_nothing_is_refused():
    with pytest.raises(OutputError, match=r"NAME\.gti\.gpkg\) nor a STAC collection"):
        index_files(Path("maps.gti"), [])
