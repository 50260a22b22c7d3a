import os
import sqlite3
import subprocess
import sys

import pytest

from geoseg.raster import libraries


@pytest.fixture
def old_database(tmp_path):
    """A proj.db as an old PROJ has left it."""
    with sqlite3.connect(tmp_path / "proj.db") as file:
        file.execute("CREATE TABLE metadata (key TEXT, value TEXT)")
        facts = {
            "PROJ.VERSION": "6.0.0",
            "DATABASE.LAYOUT.VERSION.MAJOR": "1",
            "DATABASE.LAYOUT.VERSION.MINOR": "0",
        }
        file.executemany("INSERT INTO metadata VALUES (?, ?)", facts.items())
    file.close()
    return tmp_path / "proj.db"


def test_libraries_that_work_have_no_problem():
    found = libraries.geo_libraries()

    assert [each.name for each in found] == ["rasterio", "pyogrio", "pyproj"]
    assert [each.problem for each in found] == [None, None, None]
    assert ", GDAL " in found[0].line


def test_the_proj_of_another_installation_is_found_out(old_database):
    code = (
        "from geoseg.raster.libraries import foreign_data, geo_libraries\n"
        "print(foreign_data()); print(geo_libraries()[0].problem)"
    )
    variables = os.environ | {"PROJ_LIB": str(old_database.parent)}

    done = subprocess.run(
        [sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True
    )

    foreign, problem = done.stdout.splitlines()
    assert "'PROJ_LIB'" in foreign
    assert "belongs to another installation, PROJ 6.0.0" in foreign
    assert "another PROJ installation" in problem


def test_variables_that_lead_elsewhere_are_told(tmp_path, old_database, monkeypatch):
    given = {
        "PROJ_DATA": str(old_database.parent),
        "GDAL_DATA": str(tmp_path / "nowhere"),
        "GDAL_DRIVER_PATH": "/plugins",
        "HOME": "/home",
    }

    told = libraries.foreign_data(given)

    assert {*told} == {"PROJ_DATA", "GDAL_DATA", "GDAL_DRIVER_PATH"}
    assert told["GDAL_DATA"].endswith("nowhere holds no gdalvrt.xsd")
    assert libraries.foreign_data({"PROJ_DATA": "", "HOME": "/home"}) == {}
    monkeypatch.setattr(sys, "prefix", str(tmp_path))  # data of this environment
    assert libraries.foreign_data({"PROJ_DATA": str(tmp_path)}) == {}


def test_a_file_that_is_no_database_has_no_version(tmp_path):
    (tmp_path / "proj.db").write_text("no database, but a text of some length" * 9)

    assert libraries.proj_version(tmp_path / "proj.db") is None
    assert libraries.proj_version(tmp_path / "absent.db") is None


def test_a_place_that_is_moved_is_a_problem():
    assert libraries._problem(lambda: 500_000.0) is None
    assert libraries._problem(lambda: 500_001.0) == (
        "places a point at an easting of 500001 m that lies at 500000 m"
    )
    assert libraries._problem(lambda: float("nan")) is not None
