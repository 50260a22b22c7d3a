import math
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import typer
import yaml
from PIL import Image

from geoseg.cli import app
from geoseg.labels.legend import Legend

EXAMPLES = Path(__file__).parents[1] / "examples"
REPORTS = sorted(EXAMPLES.glob("[a-e]_*.py"))
SCRIPTS = [*REPORTS, EXAMPLES / "few_labels.py", EXAMPLES / "labelling_loop.py"]


@pytest.fixture
def module(monkeypatch):
    """A function that runs a module of examples/ in this process and gives its names."""

    def run(name, as_script=False):
        monkeypatch.syspath_prepend(str(EXAMPLES))
        for other in ("common", "prepare"):  # benchmarks/ has a common as well
            monkeypatch.delitem(sys.modules, other, raising=False)
        names = runpy.run_path(
            str(EXAMPLES / f"{name}.py"), None, "__main__" if as_script else name
        )
        for other in ("common", "prepare"):
            monkeypatch.delitem(sys.modules, other, raising=False)
        return names

    return run


GROUP = typer.main.get_command(app)


def parse(words):
    """What typer makes of a command line; it raises what the command would end with."""
    return GROUP.get_command(None, words[0]).make_context(words[0], list(words[1:]))


@pytest.mark.parametrize("size", [["--quick"], []])
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_command_of_an_example_is_one_that_geoseg_takes(
    module, tmp_path, monkeypatch, capsys, script, size
):
    words = [str(script), "--list", "--out", str(tmp_path / "out"), *size]
    monkeypatch.setattr(sys, "argv", words)

    module(script.stem, as_script=True)

    lines = capsys.readouterr().out.splitlines()
    commands = [shlex.split(line)[2:] for line in lines if line.startswith("$ geoseg ")]

    for words in commands:
        parse(words)

    assert {"tile", "train", "predict", "evaluate"} <= {words[0] for words in commands}
    assert not (tmp_path / "out").exists()


def test_there_is_an_example_for_each_report():
    assert [script.stem[0] for script in REPORTS] == list("abcde")


def test_a_wrong_option_would_be_noticed():
    with pytest.raises(Exception, match="No such option"):
        parse(["train", "patches", "--los", "ce"])


@pytest.fixture
def lab(module, tmp_path, monkeypatch):
    """A function that opens the lab again; its commands write their output and end well."""
    names = module("common")
    ran = []

    def pretend(command, **_):
        words = command[3:]
        ran.append(" ".join(words))
        if "fail" not in words:
            names["output_of"](words).mkdir(exist_ok=True)
        return subprocess.CompletedProcess(command, 1 if "fail" in words else 0)

    monkeypatch.setattr(subprocess, "run", pretend)
    return lambda: (names["Lab"](tmp_path, quick=True, listing=False), ran)


def test_a_command_that_ended_well_is_not_run_again(lab, tmp_path, capsys):
    words = ("tile", "a", "-o", tmp_path / "b")
    first, ran = lab()
    seconds = first.run(*words)

    assert lab()[0].run(*words) == seconds
    assert len(ran) == 1
    assert capsys.readouterr().out.splitlines()[1].endswith("  # done")


def test_what_follows_a_command_that_is_new_is_run_again(lab, tmp_path):
    for ortho in ("a", "b"):
        again, ran = lab()
        again.run("tile", ortho, "-o", tmp_path / "patches")
        again.run("train", "patches", "-o", tmp_path / "run")

    assert ran[2:] == [
        f"tile b -o {tmp_path / 'patches'} --overwrite",
        f"train patches -o {tmp_path / 'run'} --overwrite",
    ]


def test_what_was_interrupted_goes_on_if_it_is_the_same_and_can(lab, tmp_path, monkeypatch):
    def interrupt(command, **_):
        Path(command[-1]).mkdir()
        raise KeyboardInterrupt

    whole = subprocess.run
    for name in ("train", "predict"):
        here, ran = lab()
        monkeypatch.setattr(subprocess, "run", interrupt)
        with pytest.raises(KeyboardInterrupt):
            here.run(name, "x", "-o", tmp_path / name)
        monkeypatch.setattr(subprocess, "run", whole)
        lab()[0].run(name, "x", "-o", tmp_path / name)

    assert [line.split()[-1] for line in ran] == ["--resume", "--overwrite"]


def test_a_code_that_is_no_failure_comes_with_an_output(lab, tmp_path):
    here, _ = lab()

    with pytest.raises(SystemExit):
        here.run("check", "fail", "-o", tmp_path / "clean", codes=(0, 1))
    (tmp_path / "clean").mkdir()
    assert here.run("check", "fail", "-o", tmp_path / "clean", codes=(0, 1)) >= 0


@pytest.mark.parametrize("quick", [True, False])
def test_the_grid_of_the_sweep_has_options_of_train(module, tmp_path, quick):
    script = module("d_transfer_cars")
    known = {name for option in parse(["train", "p"]).command.params for name in option.opts}

    text = script["grid_text"](script["Lab"](tmp_path, quick=quick, listing=False))

    tables = tomllib.loads(text)
    assert {f"--{name}" for table in tables.values() for name in table} <= known


def test_shares_are_printed_as_percent_and_what_is_undefined_as_a_dash(module, capsys):
    rows = [{"run": "a", "IoU": 0.5, "n": 7}, {"run": "b", "IoU": math.nan}]

    module("common")["print_table"](rows)

    assert capsys.readouterr().out.splitlines()[1:5] == [
        "| run |  IoU |  n |",
        "| --: | ---: | -: |",
        "|   a | 50.0 |  7 |",
        "|   b |    - |    |",
    ]


def test_prepared_data_appear_whole_or_not_at_all(module, tmp_path):
    lab = module("common")["Lab"](tmp_path, quick=True, listing=False)

    def fail(folder):
        (folder / "half.txt").write_text("")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lab.data(fail)
    assert not (tmp_path / "data").exists()
    lab.data(lambda folder: (folder / "whole.txt").write_text(""))
    again = type(lab)(tmp_path, quick=True, listing=False)
    assert [path.name for path in again.data(fail).iterdir()] == ["whole.txt"]


def test_prepared_data_are_made_again_of_other_data(module, tmp_path):
    lab = module("common")["Lab"](tmp_path, quick=True, listing=False)

    for name in ("a", "b"):
        folder = lab.data(lambda folder, name=name: (folder / name).write_text(""), name)

    assert [path.name for path in folder.iterdir()] == ["b"]


def test_two_classes_are_all_that_a_legend_says_of_them(module):
    legend = Legend.from_dict(
        {
            "ignore": [255],
            "class": [
                {"value": 0, "name": "roof", "values": [20, 21]},
                {"value": 1, "name": "car", "values": [5]},
                {"value": 2, "name": "tree"},
            ],
        }
    )

    two = module("prepare")["two_classes"](legend, "car")

    assert two.names == ["no car", "car"]
    assert two.encode_values(np.array([20, 21, 2, 5, 255])).tolist() == [0, 0, 0, 1, 255]


def test_pictures_have_many_sizes_and_never_overlap(module, write_raster, tmp_path):
    row, col = np.mgrid[:512, :512]
    where = np.stack([row % 256, col % 256, row // 256 * 2 + col // 256]).astype(np.uint8)
    ortho = write_raster("ortho.tif", where)
    reference = write_raster("reference.tif", np.ones((512, 512), np.uint8))

    module("prepare")["pictures"](ortho, reference, tmp_path, count=100)

    found = [np.asarray(Image.open(path)) for path in (tmp_path / "images").glob("*.png")]
    pixels = np.concatenate([image.reshape(-1, 3) for image in found])
    assert len(np.unique(pixels, axis=0)) == len(pixels)
    assert len({image.shape for image in found}) > 1
    names = [{path.stem for path in (tmp_path / part).iterdir()} for part in ("images", "masks")]
    assert names[0] == names[1]


def test_outliers_share_one_mask_and_no_other_pair_does(module, write_raster, tmp_path):
    rng = np.random.default_rng(1)
    ortho = write_raster("ortho.tif", rng.integers(0, 256, (3, 256, 1024), np.uint8))
    reference = write_raster("reference.tif", rng.integers(1, 7, (256, 1024), np.uint8))

    module("prepare")["grey_pairs"](ortho, reference, tmp_path, train=10, test=4, outliers=5)

    masks = [Image.open(path).tobytes() for path in (tmp_path / "train" / "masks").iterdir()]
    assert sorted(Counter(masks).values()) == [1] * 10 + [5]
    assert len(list((tmp_path / "test" / "images").iterdir())) == 4


def test_the_background_of_the_reference_does_not_count(module):
    report = {"confusion": {"names": ["none", "soil"], "counts": [[5, 95], [10, 30]]}}

    counts = module("e_planet")["labelled"](report, "none")

    assert counts.mean_iou == pytest.approx(30 / 40)


CLUSTER = sorted(path for path in (EXAMPLES / "cluster").iterdir() if path.is_file())


@pytest.mark.parametrize("path", CLUSTER, ids=lambda path: path.name)
def test_calls_on_a_cluster_have_the_options_that_the_commands_have(path):
    text = re.sub(r"[\[\],\"]", " ", path.read_text(encoding="utf-8").replace("\\\n", " "))
    if path.suffix == ".json":
        text = " ".join(text.split())
    calls = re.findall(r"geoseg +(predict|mosaic|vectorize) (.*)", text)
    group = typer.main.get_command(app)
    assert calls or path.name == "README.md"
    for name, words in calls:
        command = group.get_command(typer.Context(group), name)
        known = {word for each in command.params for word in each.opts}
        assert set(re.findall(r"(?<= )-{1,2}[a-z][a-z-]*", f" {words}")) <= known


@pytest.mark.parametrize("path", [each for each in CLUSTER if each.suffix == ".yaml"], ids=str)
def test_a_manifest_says_as_many_completions_as_its_variable(path):
    job = yaml.safe_load(path.read_text(encoding="utf-8"))
    told = {each["name"]: each["value"] for each in _container(job).get("env", ())}

    assert job["kind"] == "Job"
    assert told.get("JOB_COMPLETIONS", "1") == str(job["spec"].get("completions", 1))


def _container(job):
    [container] = job["spec"]["template"]["spec"]["containers"]
    return container


def test_labels_are_drawn_on_the_sample_whose_corner_has_no_data(module, tmp_path):
    sample = EXAMPLES.parent / "sample_data"
    files = (sample / "ortho.tif", sample / "reference.tif", str(sample / "legend.toml"))

    module("few_labels")["draw_labels"](*files, tmp_path, share=0.05, side=64, seed=0)

    points = gpd.read_file(tmp_path / "points.gpkg")
    assert 0 < len(points) < 10 * len(gpd.read_file(tmp_path / "boxes.gpkg"))
    assert {*points["class"]} <= {"building", "road", "grass", "tree", "water", "car"}
