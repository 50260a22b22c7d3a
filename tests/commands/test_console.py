import json
import os
import sys

import pytest

from geoseg import progress
from geoseg.commands import console


@pytest.fixture
def terminal(monkeypatch):
    """A function that makes stdout and stderr terminals of some width."""

    def make(width):
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.delenv("NO_COLOR", raising=False)
        for stream in (sys.stdout, sys.stderr):
            monkeypatch.setattr(stream, "isatty", lambda: True)

    return make


def test_colours_are_for_terminals_and_for_those_who_want_them(terminal, monkeypatch, capsys):
    def shown():
        console.echo(console.styled("word", "red"))
        return capsys.readouterr().out

    assert shown() == "word\n"
    terminal(80)
    assert shown() == "\x1b[31mword\x1b[0m\n"
    monkeypatch.setenv("NO_COLOR", "1")
    assert shown() == "word\n"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert shown() == "word\n"


HOSTILE = "a\x1b[31mb\x07\x9b2J\u202ec\r\udcffd"
SHOWN = r"a\x1b[31mb\x07\x9b2J\u202ec\r\udcffd"


@pytest.mark.parametrize("on_terminal", [False, True])
def test_a_terminal_obeys_nothing_that_comes_from_files(on_terminal, terminal, capsys):
    if on_terminal:
        terminal(200)
    loud = console.Console()

    console.echo(HOSTILE)
    console.echo(console.wrapped(HOSTILE, indent=0))
    console.echo(console.columns([("name",), (HOSTILE,)]))
    console.echo(console.styled(HOSTILE, "bold").strip("\ufdd0\ufdd3"))
    loud.info(HOSTILE)
    loud.warn(f"{HOSTILE}\nof two lines")

    out, err = capsys.readouterr()
    assert out.splitlines() == [SHOWN, SHOWN, "name", SHOWN, SHOWN]
    assert err.splitlines() == [SHOWN, rf"warning: {SHOWN}\nof two lines"]


def test_text_is_wrapped_on_terminals_only(terminal):
    text = "word " * 20

    assert console.wrapped(text.strip(), indent=2) == "  " + text.strip()
    terminal(40)
    lines = console.wrapped(text, indent=2).split("\n")
    assert max(map(len, lines)) < 40
    assert [line[:4] for line in lines[1:]] == ["    "] * (len(lines) - 1)


def test_tables_show_numbers_to_the_right(terminal):
    rows = [("name", "share"), ("road", "5%"), ("a", "10%")]

    assert console.columns(rows) == "name  share\nroad     5%\na       10%"


def test_columns_that_do_not_fit_stand_below(terminal):
    rows = [("name", "first", "second", "third"), ("road", "1", "2", "3")]

    assert "third" in console.columns(rows)
    terminal(24)
    assert console.columns(rows, indent=1).split("\n") == [
        " name  first  second",
        " road      1       2",
        "",
        " name  third",
        " road      3",
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal of Unix")
def test_bars_fit_narrow_terminals(monkeypatch):
    import termios

    shown, other_end = os.openpty()
    termios.tcsetwinsize(other_end, (24, 40))
    with open(other_end, "w") as narrow, monkeypatch.context() as during:  # noqa: PTH123
        during.setattr(sys, "stderr", narrow)
        with console.Console().steps() as steps:
            steps.tell("a label that is much longer than the terminal is wide", 1, 3)
        frames = os.read(shown, 1000).decode().split("\r")
    os.close(shown)

    assert any(frame.startswith("a label") for frame in frames)
    assert max(map(len, frames)) <= 40


@pytest.mark.parametrize("quiet", [False, True])
def test_there_are_no_bars_where_nobody_looks(quiet, capsys):
    speaker = console.Console(quiet=quiet)

    assert list(speaker.progress("label")([1, 2], 2)) == [1, 2]
    with speaker.steps() as steps:
        steps.tell("label", 1, 1)

    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("quiet", [False, True])
def test_a_log_has_plain_lines_instead_of_bars(quiet, capsys, monkeypatch):
    monkeypatch.setattr(progress, "LINE_INTERVAL_S", 0.0)
    speaker = console.Console(quiet=quiet)

    assert list(speaker.progress("map.tif")("ab", 2)) == ["a", "b"]
    with speaker.steps() as steps:
        steps.tell("tile", 30, 4000)

    lines = [] if quiet else [
        "map.tif: 0 of 2 (0%) after 0 min",
        "map.tif: 1 of 2 (50%) after 0 min",
        "map.tif: 2 of 2 (100%) after 0 min",
        "tile: 30 of 4,000 (1%) after 0 min",
    ]  # fmt: skip
    assert capsys.readouterr().err.splitlines() == lines


def test_a_quiet_terminal_has_no_bars(terminal, capsys):
    terminal(40)

    assert list(console.Console(quiet=True).progress("label")([1, 2], 2)) == [1, 2]

    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (["mosaic", "no.tif", "-o", "m.tif"], 1, "no.tif: no such file"),
        (["mosaic", "no.tif", "-o", "m.tif", "--nonsense"], 2, "No such option: --nonsense"),
        (["mosaic", "no.tif", "-o", "m.tif", "--method", "best"], 2, "Invalid value"),
        (["mosaic", "no.tif", "-o", ""], 2, "what follows -o is empty"),
        (["mosaic"], 2, "Missing argument"),
        (["nonsense"], 2, "No such command"),
    ],
)
def test_programs_read_failures_as_json(geoseg, words, code, reason):
    ended = geoseg(*words, "--progress", "json")

    told = json.loads(ended.err)  # of one line, too
    assert (told["event"], told["exit_code"], ended.code) == ("error", code, code)
    assert told["text"].startswith(reason)
