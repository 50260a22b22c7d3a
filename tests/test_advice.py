"""What messages advise can be followed."""

import ast
import re
from pathlib import Path

import typer

import geoseg
from geoseg.cli import COMMANDS, app

OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
OTHERS = {
    *("--calc",),  # of gdal_calc.py
    *("--scheduler-file",),  # of dask scheduler
    *("--no-",),  # begins the second name of a switch
    *("--map-",),  # begins --map-attribute and --map-layer
}


def test_options_that_messages_name_are_there():
    command = typer.main.get_command(app)
    known = {
        word
        for each in [command, *(command.get_command(None, name) for name in COMMANDS)]
        for parameter in each.get_params(typer.Context(each))
        for word in (*parameter.opts, *parameter.secondary_opts)
    }
    named = {
        (word, path.name, node.lineno)
        for path in Path(geoseg.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for word in OPTION.findall(node.value)
    }

    assert len(named) > 100
    assert sorted(each for each in named if each[0] not in known | OTHERS) == []
