"""The plugin of QGIS, without it and, where it is installed, in it."""

import ast
import os
import shutil
import stat
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path
from zipfile import ZipFile

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import typer
from geoseg_processing import command

import geoseg as package
from geoseg import cli

REPOSITORY = Path(package.__file__).parents[1]

SYSTEM_PATH = "/usr/bin:/bin"
"""QGIS takes the first Python of the PATH for its own."""


def qgis_process():
    """The program that Debian's wrapper calls with an option that it does not know, or itself."""
    for name in ("qgis_process.bin", "qgis_process"):
        if found := shutil.which(name):
            return found
    return None


needs_qgis = pytest.mark.skipif(not qgis_process(), reason="QGIS (qgis_process) is not installed")


@pytest.fixture
def program(tmp_path):
    """This geoseg as a program of another environment."""
    if sys.platform == "win32":
        pytest.skip("needs a script of Unix")
    path = tmp_path / "environment" / "bin" / "geoseg"
    path.parent.mkdir(parents=True)
    path.write_text(
        f'#!/bin/sh\nPYTHONPATH="{REPOSITORY}" exec "{sys.executable}" -m geoseg "$@"\n'
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def in_qgis(tmp_path, program):
    """A function that runs an algorithm in a profile of QGIS of its own."""
    profile = tmp_path / "home/.local/share/QGIS/QGIS3/profiles/default/QGIS/QGIS3.ini"
    profile.parent.mkdir(parents=True)
    profile.write_text("[PythonPlugins]\nprocessing=true\ngeoseg_processing=true\n")
    (tmp_path / "runtime").mkdir(mode=0o700)
    variables = {
        "PATH": SYSTEM_PATH,
        "LANG": "C.UTF-8",
        "HOME": str(tmp_path / "home"),
        "XDG_RUNTIME_DIR": str(tmp_path / "runtime"),
        "QT_QPA_PLATFORM": "offscreen",
        "QGIS_PLUGINPATH": str(REPOSITORY / "qgis"),
        "GEOSEG": str(program.parents[1]),
        "GEOSEG_CACHE": os.environ["GEOSEG_CACHE"],
        "GDAL_DATA": "/nowhere",  # as QGIS sets it for its own GDAL on some systems
    }

    def run(algorithm, **parameters):
        words = [f"{name}={value}" for name, value in parameters.items()]
        command = [qgis_process(), "run", f"geoseg:{algorithm}", "--", *words]
        return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)

    return run


@needs_qgis
def test_a_prediction_in_qgis_is_the_commands(in_qgis, geoseg, world, model):
    geoseg("predict", model, world / "ortho.tif", "-o", world / "ours.tif")

    done = in_qgis("predict", MODEL=model, INPUT=world / "ortho.tif", OUTPUT=world / "theirs.tif")

    assert done.returncode == 0, done.stderr
    assert f"OUTPUT:\t{world / 'theirs.tif'}" in done.stdout
    assert "100 - done" in done.stdout
    with rasterio.open(world / "ours.tif") as ours, rasterio.open(world / "theirs.tif") as theirs:
        np.testing.assert_array_equal(ours.read(), theirs.read())
    assert (world / "theirs.qml").is_file()  # by which QGIS draws it


@needs_qgis
def test_polygons_in_qgis_are_the_commands(in_qgis, geoseg, world):
    words = {"INPUT": world / "reference.tif", "LEGEND": world / "legend.toml"}
    geoseg("vectorize", world / "reference.tif", "-l", world / "legend.toml", "--classes", "dark",
           "-o", world / "ours.gpkg")  # fmt: skip

    done = in_qgis("vectorize", **words, CLASSES="dark", OUTPUT=world / "theirs.gpkg")

    assert done.returncode == 0, done.stderr
    ours, theirs = (
        gpd.read_file(world / f"{name}.gpkg", layer="two") for name in ("ours", "theirs")
    )
    assert (ours.geometry == theirs.geometry).all()


def test_a_program_is_found_by_its_environment(program, monkeypatch, tmp_path):
    monkeypatch.delenv("GEOSEG", raising=False)
    monkeypatch.setenv("PATH", str(program.parent))

    assert command.find_command(str(program.parents[1])) == str(program)
    assert command.find_command(str(program)) == str(program)
    assert command.find_command("") == str(program)  # of the PATH
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("GEOSEG", str(program.parents[1]))
    assert command.find_command("") == str(program)
    with pytest.raises(command.CommandError, match="nowhere: neither a program nor"):
        command.find_command("nowhere")
    monkeypatch.delenv("GEOSEG")
    with pytest.raises(command.CommandError, match="geoseg is not found"):
        command.find_command("")


def test_nothing_of_qgis_leads_the_command_astray(program):
    given = {
        "PYTHONHOME": "/qgis", "PYTHONPATH": "/qgis", "GDAL_DATA": "/qgis", "PROJ_LIB": "/qgis",
        "GDAL_CACHEMAX": "512", "HOME": "/home", "PATH": "/usr/bin",
    }  # fmt: skip

    kept = command.clean_environment(str(program), given)

    assert "/qgis" not in kept.values()
    assert (kept["GDAL_CACHEMAX"], kept["HOME"]) == ("512", "/home")
    assert kept["PATH"] == os.pathsep.join([str(program.parent), "/usr/bin"])


def test_what_libraries_print_is_told_apart_from_events():
    assert command.parse_event('{"event": "message", "text": "a"}')["text"] == "a"
    assert command.parse_event("Warning 1: odd") == {"event": "line", "text": "Warning 1: odd"}
    assert command.parse_event("[1]") == {"event": "line", "text": "[1]"}


def test_a_command_is_watched_to_its_end(program, world):
    told = []
    words = ["mosaic", str(world / "reference.tif"), "-l", str(world / "legend.toml")]

    result = command.run(
        str(program), [*words, "-o", str(world / "m.tif")], told.append, lambda: False
    )

    assert result["path"] == str(world / "m.tif")
    assert told[-1]["share"] == 1.0
    with pytest.raises(command.CommandError, match="Missing option '--output'"):
        command.run(str(program), words, told.append, lambda: False)


def test_what_is_cancelled_leaves_at_most_what_resume_goes_on_with(program, world, write_raster):
    coarse = np.random.default_rng(0).integers(0, 2, (256, 256), np.uint8) * 4 + 5
    noise = write_raster("noise.tif", np.kron(coarse, np.ones((16, 16), np.uint8)))
    told = []
    words = ["vectorize", str(noise), "-l", str(world / "legend.toml"), "--workers", "1"]
    before = sorted(world.iterdir())

    result = command.run(
        str(program),
        [*words, "-o", str(world / "p.gpkg")],
        told.append,
        lambda: any(each["event"] == "progress" for each in told),
    )

    assert result is None
    assert told[-1]["share"] < 1
    left = [each for each in world.iterdir() if each.suffix != ".unfinished"]
    assert sorted(left) == before


def test_the_zip_holds_a_plugin_of_this_version(tmp_path):
    for name in ("a.zip", "b.zip"):
        pack = [sys.executable, REPOSITORY / "qgis" / "pack.py", tmp_path / name]
        subprocess.run(pack, check=True, capture_output=True)

    with ZipFile(tmp_path / "a.zip") as archive:
        names = archive.namelist()
        metadata = ConfigParser()
        metadata.read_string(archive.read("geoseg_processing/metadata.txt").decode())
    assert {"geoseg_processing/__init__.py", "geoseg_processing/LICENSE"} <= {*names}
    assert {name.partition("/")[0] for name in names} == {"geoseg_processing"}
    assert metadata["general"]["version"] == package.__version__
    assert metadata["general"]["hasProcessingProvider"] == "yes"
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def options_of_the_plugin():
    """Options that each algorithm names, by command; read without QGIS."""
    source = REPOSITORY / "qgis" / "geoseg_processing" / "algorithms.py"
    body = ast.parse(source.read_text(encoding="utf-8")).body
    shared = _assigned(body)
    for algorithm in (each for each in body if isinstance(each, ast.ClassDef)):
        own = _assigned(algorithm.body)
        fields = [
            shared[each.id] if isinstance(each, ast.Name) else each
            for each in getattr(own.get("FIELDS"), "elts", [])
        ]
        nodes = [node for field in fields for node in ast.walk(field)]
        words = [str(node.value) for node in nodes if isinstance(node, ast.Constant)]
        if fields:
            yield own["COMMAND"].value, {word for word in words if word.startswith("--")}


def _assigned(body):
    return {each.targets[0].id: each.value for each in body if isinstance(each, ast.Assign)}


def test_all_algorithms_have_options():
    assert len({name for name, options in options_of_the_plugin() if options}) == 7


@pytest.mark.parametrize(("name", "options"), options_of_the_plugin())
def test_options_of_the_plugin_are_the_commands(name, options):
    found = typer.main.get_command(cli.app).get_command(None, name)

    assert options <= {word for each in found.params for word in each.opts}


def test_the_plugin_imports_nothing_but_qgis_and_pythons_own():
    folder = REPOSITORY / "qgis" / "geoseg_processing"
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in folder.glob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom)]

    roots = {name.partition(".")[0] for name in names} - {*sys.stdlib_module_names}
    assert roots == {"qgis", "processing", "geoseg_processing"}
