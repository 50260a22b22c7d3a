import json
import math
import sys
from types import SimpleNamespace

import pytest

from geoseg import progress
from geoseg.progress import ProgressEvents, ProgressLines, Steps, notebook_progress


@pytest.fixture
def clock(monkeypatch):
    own = SimpleNamespace(now=0.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: own.now)
    return own


@pytest.fixture(autouse=True)
def restored_style():
    yield
    progress.set_style("auto")


@pytest.fixture
def events(capsys):
    """A function that gives the JSON lines so far."""
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_there_is_a_line_a_minute_and_none_before(clock):
    written = []
    lines = ProgressLines(written.append)

    for done in range(1, 16):  # ten seconds each
        clock.now += 10
        lines.tell("predict", done, 15)

    assert written == [
        "predict: 6 of 15 (40%) after 1 min",
        "predict: 12 of 15 (80%) after 2 min",
    ]


def test_events_tell_the_first_and_last_of_a_step_and_five_a_second(clock, events):
    told = ProgressEvents()

    for done in range(101):  # in five seconds
        told.tell("map.tif", done, 100)
        clock.now += 0.05
    told.tell("errors", 1, 2)

    *first, last, after = events()
    assert first[0] == {
        "event": "progress", "step": "map.tif", "done": 0, "total": 100, "share": 0.0,
        "elapsed_s": 0.0,
    }  # fmt: skip
    assert len(first) == pytest.approx(25, abs=5)  # a twentieth of a second is no binary number
    assert (last["done"], last["share"], last["elapsed_s"]) == (100, 1.0, 5.0)
    assert (after["step"], after["done"], after["elapsed_s"]) == ("errors", 1, 0.0)


def test_what_has_no_known_end_has_no_share_but_its_own(events):
    told = ProgressEvents()

    told.tell("run", 3, None)
    told.tell("run, by time", 3, None, share=0.25, epoch=2)

    open_end, by_time = events()
    assert (open_end["total"], open_end["share"]) == (None, None)
    assert (by_time["share"], by_time["epoch"]) == (0.25, 2)


def test_messages_are_events_whose_text_is_whole(events):
    progress.set_style("json")

    progress.say("two\nlines \u2028 and \udcff", "warning")
    progress.say("no such file", "error", exit_code=1)
    progress.write_event("epoch", val_loss=math.nan, val_miou=0.5)

    assert events() == [
        {"event": "warning", "text": "two\nlines \u2028 and \udcff"},
        {"event": "error", "text": "no such file", "exit_code": 1},
        {"event": "epoch", "val_loss": None, "val_miou": 0.5},
    ]


def test_people_read_the_same_without_fields(capsys):
    progress.say("two\nlines", "warning")
    progress.say("no such file", "error", exit_code=1)

    assert capsys.readouterr().err == "warning: two\\nlines\ngeoseg: no such file\n"


@pytest.mark.parametrize(
    ("style", "terminal", "quiet", "shown"),
    [
        ("auto", True, False, "bar"),
        ("auto", False, False, "lines"),
        ("bar", False, False, "bar"),
        ("json", True, False, "events"),
        ("none", True, False, "nothing"),
        ("json", False, True, "nothing"),
    ],
)
def test_progress_is_shown_as_wanted(style, terminal, quiet, shown, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    progress.set_style(style)

    assert progress.shown_as(quiet=quiet) == shown


def test_items_are_given_on_and_counted(events):
    progress.set_style("json")

    assert list(Steps().over("map.tif", iter("ab"), 2)) == ["a", "b"]

    told = events()
    assert (told[0]["done"], told[-1]["done"]) == (0, 2)


def test_one_bar_shows_all_steps(capsys):
    progress.set_style("bar")

    with Steps() as steps:
        steps.tell("survey", 1, 2)
        steps.tell("write", 3, 7)

    shown = capsys.readouterr().err
    assert "survey:" in shown
    assert "write:" in shown


def test_a_closed_stream_does_not_end_the_work(monkeypatch):
    closed = open(sys.executable, "rb")  # noqa: PTH123, SIM115
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)

    progress.say("unheard")


@pytest.fixture
def kernel(monkeypatch):
    """A function that lets this process seem to run in IPython, or in a notebook."""

    def pretend(**shell):
        ipython = SimpleNamespace(get_ipython=lambda: SimpleNamespace(**shell))
        monkeypatch.setitem(sys.modules, "IPython", ipython)

    return pretend


def test_a_notebook_sees_a_bar(kernel, capsys):
    kernel(kernel=object())

    assert list(notebook_progress("ortho.tif")(iter("abc"), 3)) == ["a", "b", "c"]
    assert "ortho.tif: 100%" in capsys.readouterr().err


def test_a_script_sees_none(kernel, capsys):
    kernel()

    assert list(notebook_progress("ortho.tif")(iter("abc"), 3)) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""
