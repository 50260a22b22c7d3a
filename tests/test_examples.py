import json
import math
import runpy
import shlex
import sys
import tomllib
from pathlib import Path

import pytest
import typer

from geoseg.cli import app

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("[a-e]_*.py"))


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
    return GROUP.commands[words[0]].make_context(words[0], list(words[1:]))


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
    assert [script.stem[0] for script in SCRIPTS] == list("abcde")


def test_a_wrong_option_would_be_noticed():
    with pytest.raises(Exception, match="No such option"):
        parse(["train", "patches", "--los", "ce"])


def test_a_command_that_ended_well_is_not_run_again(module, tmp_path, capsys):
    lab = module("common")["Lab"](tmp_path, quick=True, listing=False)
    (tmp_path / "finished.json").write_text(json.dumps({"tile a -o b": 3.5}))
    again = type(lab)(tmp_path, quick=True, listing=False)

    assert again.run("tile", "a", "-o", "b") == 3.5
    assert capsys.readouterr().out == "$ geoseg tile a -o b  # done\n"


@pytest.mark.parametrize("quick", [True, False])
def test_the_grid_of_the_sweep_has_options_of_train(module, tmp_path, quick):
    script = module("d_transfer_cars")
    known = {name for option in parse(["train", "p"]).command.params for name in option.opts}

    script["write_grid"](script["Lab"](tmp_path, quick=quick, listing=False))

    tables = tomllib.loads((tmp_path / "grid.toml").read_text())
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
