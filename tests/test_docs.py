"""README and docs/ show commands that parse, options that exist and links that lead somewhere."""

import importlib.util
import re
import shlex
from pathlib import Path

import pages
import pytest
import typer

from geoseg.cli import COMMANDS, app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *pages.PAGES]
MAX_README_LINES = 200
OTHERS = {
    *("--constraint", "--help"),  # of pip, and of every command
    *("--array", "--number"),  # of sbatch and split
    *("--array-properties", "--cli-input-json", "--job-definition", "--job-name", "--job-queue"),
    *("--lifetime", "--lifetime-stagger", "--nthreads", "--nworkers", "--scheduler-file"),  # Dask's
    "--name",
}

GENERATED = {ROOT / "docs/commands" / f"{name}.md" for name in ("index", *COMMANDS)}
"""Pages of the site that a hook makes."""

GROUP = typer.main.get_command(app)
CALLED = {name: GROUP.get_command(None, name) for name in COMMANDS}
OWN = {word for each in GROUP.params for word in each.opts}
by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def commands_in(text):
    """Command lines of geoseg in blocks and in running text."""
    blocks = "\n".join(block.text.replace("\\\n", " ") for block in pages.blocks_in(text))
    lines = re.findall(r"^(?:\$ )?(geoseg .*)$", blocks, re.MULTILINE)
    return lines + [" ".join(each.split()) for each in re.findall(r"`(geoseg [^`]+)`", text)]


def options_of(name):
    context = typer.Context(CALLED[name])
    parameters = CALLED[name].get_params(context)
    return {word for each in parameters for word in (*each.opts, *each.secondary_opts)}


@by_page
def test_commands_have_the_options_that_the_pages_give_them(page):
    for line in commands_in(page.read_text(encoding="utf-8")):
        words = shlex.split(line, comments=True)[1:]
        if words[0].startswith("-"):
            continue
        options = [word.partition("=")[0] for word in words[1:] if word.startswith("-")]
        assert words[0] in CALLED, line
        assert set(options) <= options_of(words[0]) | {"--help"}, line


@by_page
def test_options_that_the_pages_name_exist(page):
    known = set().union(*(options_of(name) for name in CALLED)) | OWN | OTHERS
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"(?<![\w/-])--[a-z][a-z-]+", text))
    scripts = re.findall(r"`python benchmarks/[^`]+`", text)
    named -= {word for script in scripts for word in script.strip("`").split()}

    assert sorted(named - known) == []


@by_page
def test_links_lead_to_files_and_headings(page):
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text(encoding="utf-8")):
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if path in GENERATED:
            continue
        assert path.is_file(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in titles}
            assert anchor in slugs, target


def test_the_readme_names_every_command_and_stays_short():
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    assert len(text.splitlines()) <= MAX_README_LINES
    assert all(f"| `geoseg {name}` |" in text for name in CALLED)


def test_the_site_says_of_every_command_what_its_help_says():
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs/reference.py")
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)

    for name in CALLED:
        page = "\n".join(reference.page_of(name))
        options = {word for word in options_of(name) if word.startswith("-")}
        assert options <= set(re.findall(r"--?[a-z][a-z-]*", page)), name
    tile = "\n".join(reference.page_of("tile"))
    assert "## Windows\n\n`--patch-size <int range>`\n:   Side of a patch, in pixels." in tile
    assert "*Default: half a patch; 1<=x<=100000*" in tile
    assert not reference.OUTSIDE.search(
        '<a href="https://a.b"><img src="a.png"><link href="a.css">'
    )
    assert reference.OUTSIDE.search('<link rel="stylesheet" href="https://fonts.b/css">')
    assert reference.OUTSIDE.search('<script defer src="//a.b/c.js"></script>')
