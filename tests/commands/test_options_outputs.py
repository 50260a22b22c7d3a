"""No output of any command costs the user a file: every command, every output, every input."""

import json
import shutil
import sys
from importlib import import_module
from inspect import signature
from keyword import iskeyword
from string import Formatter

import numpy as np
import pytest
import rasterio
from affine import Affine

from geoseg import cli
from geoseg.raster.folders import CHECK, EVALUATION, PATCH_SET, TRAINING, WINDOWS

COMMANDS = {
    "tile": "{ortho} -r {reference} -l {legend} --aoi {aoi} --with {more} --patch-size 32",
    "tile --pairs": "{pairs} -l {legend} --patch-size 32",
    "check": "{patches}",
    "check --drop": "all {patches}",
    "train": "{patches} --init-from {model} --unlabelled {ortho} --epochs 1",
    "train -o": "new {patches} --encoder-weights {weights} --epochs 1",
    "compare": "{run} {report}",
    "sweep": "{patches} --grid {grid}",
    "predict": "{model} {ortho} --with {more} --aoi {aoi} --scores --confidence margin",
    "predict -o": "new.tif {run} {ortho}",
    "export": "{model}",
    "export -o": "new.onnx {model}",
    "mosaic": "{map} -l {legend}",
    "mosaic --scores": "{scores}",
    "postprocess": "{map} -l {legend} --majority 3px",
    "vectorize": "{map} -l {legend} --aoi {aoi} --scores {scores} --confidence {sure}",
    "vectorize --part": "1/2 {map}",
    "evaluate": "{map} -r {reference} -l {legend} --patches {patches} --aoi {aoi} --by {towns} "
    "--score-map {scores}",
    "evaluate --legend-map": "{table} {map} -r {reference} --reference-legend {legend}",
    "evaluate --worst": "2 {map} -r {reference} --ortho {ortho} -o new",
    "evaluate --sample": "{points} {map}",
    "sample-points": "{map} -l {legend} --aoi {aoi}",
    "suggest": "{map} -l {legend} --confidence {sure} --ortho {ortho} --aoi {aoi}",
    "import": "{network} --classes dark,bright --gsd 1",
    "legend": "{reference}",
    "preview": "{ortho} {map}",
    "report": "{map} {report} {run} --ortho {ortho} --aoi {aoi} -l {legend} -r {reference}",
    "report --legend-map": "{table} {map} --reference-legend {legend}",
}
"""A call of every command, but for the output that is tried; in braces what is read."""

OUTPUTS = {
    "output": "-o",
    "windows": "--windows",
    "preview": "--preview",
    "error_map": "--error-map",
    "mlm": "--mlm",
    "index": "--index",
}
"""Parameters that name something to be written."""

TRIED = {
    "train -o": ["--preview"],
    "predict -o": ["--windows", "--index"],
    "export -o": ["--mlm"],
    "evaluate --worst": ["--error-map"],
}
"""The outputs that a call is tried with, where these are others than ``-o``."""

READS = {
    *(
        "score_map",
        "orthos",
        "reference",
        "pairs",
        "aoi",
        "stacked",
        "patches",
        "init_from",
        "unlabelled",
        "grid",
        "model",
    ),
    *(
        "path",
        "runs",
        "scores",
        "class_map",
        "maps",
        "sample",
        "legend_map",
        "ortho",
        "rasters",
        "inputs",
        "confidence",
        "config",
        "labelled_areas",
        "corrections",
        "references",
        "from_smp",
    ),
}
"""Parameters that name something to be read."""

SAYS_WHY = (
    *("is an input", "holds an input", "lies in an input", "belongs to an input", "end the name"),
    *("ends in", "is a folder, ", "is a file, ", "did not write", "name a folder"),
    *("must end in", "written as", "is the working folder"),
)


def run(*words):
    """Exit code of a command line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["geoseg", *map(str, words)])
        try:
            cli.main()
        except SystemExit as end:
            return end.code or 0
    return 0


@pytest.fixture(scope="module")
def whole(tmp_path_factory, write_bundle, write_legend):
    """A folder with something of every kind that a command reads."""
    root = tmp_path_factory.mktemp("whole")
    rng = np.random.default_rng(0)
    grid = {"crs": "EPSG:32632", "transform": Affine(0.5, 0, 500_000, 0, -0.5, 5_700_000)}
    classes = np.kron(rng.integers(0, 2, (8, 12)), np.ones((8, 8)))
    rasters = {
        "ortho": rng.integers(1, 200, (3, 64, 96)),
        "more": rng.integers(1, 200, (1, 64, 96)),
        "reference": 5 + 4 * classes[None],
    }
    for name, values in rasters.items():
        shape = dict(zip(("count", "height", "width"), values.shape, strict=True))
        with rasterio.open(root / f"{name}.tif", "w", dtype="uint8", **shape, **grid) as file:
            file.write(values.astype(np.uint8))
    write_legend(root / "legend.toml")
    write_bundle(root / "model")
    ground = {"type": "Polygon", "coordinates": [[[9, 51], [9.1, 51], [9.1, 52], [9, 51]]]}
    feature = {"type": "Feature", "properties": {"name": "a"}, "geometry": ground}
    for name in ("aoi", "towns"):
        text = json.dumps({"type": "FeatureCollection", "features": [feature]})
        (root / f"{name}.geojson").write_text(text)
    (root / "pairs.csv").write_text("ortho,reference\northo.tif,reference.tif\n")
    (root / "table.csv").write_text("from,to\ndark,dark\nbright,bright\n")
    (root / "grid.toml").write_text("[grid]\nlr = [1e-3]\n")
    (root / "weights.pth").write_text("weights")
    (root / "network.onnx").write_text("network")
    words = [root / "ortho.tif", "-r", root / "reference.tif", "-l", root / "legend.toml"]
    assert run("tile", *words, "--patch-size", 32, "--index-only", "-o", root / "patches") == 0
    made = root / "map.tif"
    layers = ["--scores", "--confidence", "margin", "-q"]
    assert run("predict", root / "model", root / "ortho.tif", "-o", made, *layers) == 0
    assert run("evaluate", made, "-r", root / "reference.tif", "-o", root / "report", "-q") == 0
    assert run("sample-points", made, "--points", 99, "-o", root / "points.gpkg", "-q") == 0
    (root / "scores.tif").hardlink_to(root / "map_scores.tif")
    (root / "sure.tif").hardlink_to(root / "map_confidence.tif")
    (root / "run").mkdir()
    (root / "run/run.json").write_text(json.dumps({"kind": "training", "options": {}}))
    shutil.copytree(root / "model", root / "run/model")
    return root


def state(root):
    """What lies in a folder, and when it was written."""
    return {
        path: (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def path_of(root, name):
    """Where a thing lies."""
    return next(each for each in root.iterdir() if each.stem == name and each.suffix != ".qml")


def calls():
    """Every call, with every option for an output."""
    for head, words in COMMANDS.items():
        for option in TRIED.get(head, ["-o"]):
            yield head, words, option


def filled(root, head, words):
    """The words of a call."""
    names = {name: path_of(root, name) for _, name, _, _ in Formatter().parse(words) if name}
    line = f"{head} {words}".replace("new", str(root / "new"))
    return line.format(**names).split(), names


@pytest.mark.parametrize(("head", "words", "option"), calls())
def test_an_output_that_is_an_input_costs_nothing(whole, capsys, head, words, option):
    line, names = filled(whole, head, words)
    before = state(whole)

    for name, path in names.items():
        code = run(*line, option, path, "--overwrite")

        said = capsys.readouterr().err
        assert code in (1, 2), name
        assert any(why in said for why in SAYS_WHY), said
        assert state(whole) == before, name


INTO = ("predict", "postprocess", "sweep", "vectorize", "vectorize --part")

INTO_FOLDERS = [call for call in calls() if call[0] in INTO]
"""Calls that put files into a folder, and replace none."""


@pytest.mark.parametrize(
    ("head", "words", "option"), [call for call in calls() if call not in INTO_FOLDERS]
)
def test_a_folder_that_holds_inputs_or_the_work_of_others_is_not_replaced(
    whole, tmp_path, head, words, option
):
    line, _ = filled(whole, head, words)
    for name in ("foreign", "own"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.doc").write_text("years")
        for kind in (CHECK, EVALUATION, PATCH_SET, TRAINING, WINDOWS):
            record = {"kind": kind.name} if name == "own" else {"of": "another program"}
            (tmp_path / name / kind.record).write_text(json.dumps(record))
    before = state(whole), state(tmp_path)

    for folder in (whole, tmp_path / "foreign", tmp_path / "own"):
        assert run(*line, option, folder, "--overwrite") in (1, 2), folder
        assert (state(whole), state(tmp_path)) == before, folder


def test_what_commands_write_into_their_folders_is_known(whole):
    assert PATCH_SET.foreign(whole / "patches") == []
    assert EVALUATION.foreign(whole / "report") == []
    line = ["train", whole / "patches", "--encoder", "tu-test_resnet", "--encoder-weights", "none"]
    more = ["--epochs", 2, "--workers", 0, "--samples-per-epoch", 2, "--batch-size", 2, "-q"]
    assert run(*line, *more, "--logger", "csv", "-o", whole / "trained") == 0
    assert TRAINING.foreign(whole / "trained") == []


COPIES = {"stage"}
"""Folders that take files under names of their own, and replace none of others."""


def test_every_path_of_every_command_is_known_to_be_read_or_written():
    for name in cli.COMMANDS:
        module = name.replace("-", "_") + "_" * iskeyword(name)
        command = getattr(import_module(f"geoseg.commands.{module}"), module)
        known = signature(command).parameters
        paths = {each for each, about in known.items() if "Path" in str(about.annotation)}
        assert paths <= READS | OUTPUTS.keys() | COPIES, name
        tried = {option for head, _, option in calls() if head.split()[0] == name}
        assert {OUTPUTS[each] for each in paths & OUTPUTS.keys()} <= tried, name
