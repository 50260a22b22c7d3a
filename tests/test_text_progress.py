from types import SimpleNamespace

from geoseg import text as progress
from geoseg.text import ProgressLines


def test_there_is_a_line_a_minute_and_none_before(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock.now)
    written = []
    lines = ProgressLines(written.append)

    for done in range(1, 16):  # ten seconds each
        clock.now += 10
        lines.tell("predict", done, 15)

    assert written == [
        "predict: 6 of 15 (40%) after 1 min",
        "predict: 12 of 15 (80%) after 2 min",
    ]
