"""The site's reference of commands, made of the options that the commands have (a hook of MkDocs).

Nothing of it is written by hand: names, types, bounds, defaults, panels and help are those of the
options dataclasses, as ``geoseg COMMAND --help`` shows them.
"""

import inspect
import logging
import re
from collections.abc import Iterator
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from geoseg.cli import COMMANDS, app

SECTION = "Commands"
"""Of the navigation; the pages of the commands are added to it."""

OUTSIDE = re.compile(
    r'<(?:script|img|iframe|source)\b[^>]*\bsrc="(?:https?:)?//[^"]*"'
    r'|<link\b(?![^>]*rel="canonical")[^>]*\bhref="(?:https?:)?//[^"]*"'
)
"""What a browser would fetch from another server."""

log = logging.getLogger("mkdocs.hooks.reference")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Name the commands' pages in the navigation."""
    for entry in config.nav or []:
        if SECTION in entry:
            entry[SECTION] += [{f"geoseg {name}": f"commands/{name}.md"} for name in COMMANDS]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the commands' pages."""
    files.append(File.generated(config, "commands/index.md", content="\n".join(overview())))
    for name in COMMANDS:
        path = f"commands/{name}.md"
        files.append(File.generated(config, path, content="\n".join(page_of(name))))
    return files


def on_post_page(output: str, page: Any, **_: Any) -> None:
    """See that a page needs no other server; strict builds end at a warning."""
    for found in OUTSIDE.findall(output):
        log.warning("%s: loads from elsewhere: %s", page.file.src_uri, found)


def overview() -> Iterator[str]:
    """The list of the commands."""
    yield from ("# Commands", "", "| command | what it does |", "|---|---|")
    for name in COMMANDS:
        yield f"| [`geoseg {name}`]({name}.md) | {_summary(name)} |"
    yield from ("", *_common())


def _common() -> Iterator[str]:
    yield "Results go to stdout (`--json` for programs), progress and messages to stderr. Exit "
    yield "codes: 0 done, 1 expected failure in one line, 2 wrong usage, 130 interrupted, 143 "
    yield "terminated. Outputs appear whole or not at all; an existing one needs `--overwrite`."


def page_of(name: str) -> Iterator[str]:
    """The page of a command: usage, then a table for each panel of its help."""
    command = _command(name)
    context = typer.Context(command, info_name=f"geoseg {name}")
    usage = command.get_usage(context).removeprefix("Usage: ")
    yield from (f"# geoseg {name}", "", inspect.cleandoc(command.help or ""), "")
    yield from ("```text", usage, "```", "")
    panels: dict[str, list[str]] = {}
    for parameter in command.get_params(context):
        if (record := parameter.get_help_record(context)) is not None:
            kind = "Arguments" if parameter.param_type_name == "argument" else "Options"
            panel = getattr(parameter, "rich_help_panel", None) or kind
            panels.setdefault(panel, []).append(_entry(*record))
    for panel, entries in panels.items():
        yield from (f"## {panel}", "", *entries)


def _entry(names: str, text: str) -> str:
    """An argument or option with its help and default, as an item of a definition list.

    >>> print(_entry("--lr <float>", "Highest rate.  [default: 0.002; x>=0]"))
    `--lr <float>`
    :   Highest rate. *Default: 0.002; x>=0*
    <BLANKLINE>
    """
    found = re.fullmatch(r"(.*?)(?:  \[([^\[\]]*)\])?", text, re.DOTALL)
    help_text, more = found.groups() if found else (text, None)
    rest = re.sub(r"^default: \(([^()]*)\)", r"default: \1", more or "")
    shown = f" *{rest[0].upper()}{rest[1:]}*" if rest else ""
    return f"`{names}`\n:   {help_text}{shown}\n"


def _command(name: str) -> Any:
    return typer.main.get_command(app).get_command(None, name)  # type: ignore[attr-defined, arg-type]


def _summary(name: str) -> str:
    return str(_command(name).help or "").partition("\n")[0]
