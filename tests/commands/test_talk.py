import sys

import pytest

from geoseg.commands import talk


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


def test_colours_are_for_terminals_and_for_those_who_want_them(terminal, monkeypatch):
    assert talk.styled("word", fg="red") == "word"
    terminal(80)
    assert talk.styled("word", fg="red") == "\x1b[31mword\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert talk.styled("word", fg="red") == "word"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert talk.styled("word", fg="red") == "word"


def test_text_is_wrapped_on_terminals_only(terminal):
    text = "word " * 20

    assert talk.wrapped(text.strip(), indent=2) == "  " + text.strip()
    terminal(40)
    lines = talk.wrapped(text, indent=2).split("\n")
    assert max(map(len, lines)) < 40
    assert [line[:4] for line in lines[1:]] == ["    "] * (len(lines) - 1)


def test_tables_show_numbers_to_the_right(terminal):
    rows = [("name", "share"), ("road", "5%"), ("a", "10%")]

    assert talk.columns(rows) == "name  share\nroad     5%\na       10%"


def test_tables_leave_out_what_does_not_fit_and_say_so(terminal):
    rows = [("name", "first", "second", "third"), ("road", "1", "2", "3")]

    assert "third" in talk.columns(rows)
    terminal(24)
    assert talk.columns(rows) == "name  first  second  …\nroad      1       2  …"
    terminal(5)
    assert talk.columns(rows).startswith("name  …\n")


def test_bars_fit_narrow_terminals(terminal, capsys):
    terminal(40)
    with talk.Talk().steps() as tell:
        for done in range(1, 4):
            tell("a label that is much longer than the terminal is wide", done, 3)

    frames = capsys.readouterr().err.replace("\x1b[A", "").split("\r")
    assert max(len(frame.rstrip("\n")) for frame in frames) <= 40


@pytest.mark.parametrize("quiet", [False, True])
def test_there_are_no_bars_where_nobody_looks(quiet, capsys):
    speaker = talk.Talk(quiet=quiet)

    assert list(speaker.watch("label")([1, 2], 2)) == [1, 2]
    with speaker.steps() as tell:
        tell("label", 1, 1)

    assert capsys.readouterr().err == ""


def test_a_quiet_terminal_has_no_bars(terminal, capsys):
    terminal(40)

    assert list(talk.Talk(quiet=True).watch("label")([1, 2], 2)) == [1, 2]

    assert capsys.readouterr().err == ""
