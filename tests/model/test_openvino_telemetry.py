import subprocess
import sys

import pytest

WATCHED = """
import sys
seen = []
silent = ("socket.__new__", "socket.bind")  # urllib3 looks for IPv6 by them
def watch(event, _):
    if event.startswith("socket.") and event not in silent:
        seen.append(event)
sys.addaudithook(watch)
{code}
import threading
[each.join(5) for each in threading.enumerate() if each is not threading.current_thread()]
reporting = [name for name in sys.modules if name.startswith("openvino_telemetry")]
assert not seen, seen
assert not reporting, reporting
"""


@pytest.fixture
def at_home(tmp_path):
    """A function that runs code in a process of its own, as a user without any file."""

    def run(code):
        home = tmp_path / "home"
        home.mkdir()
        env = {"HOME": str(home), "USERPROFILE": str(home), "PATH": ""}
        done = subprocess.run(
            [sys.executable, "-c", WATCHED.format(code=code)], check=False, env=env,
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return sorted(path.name for path in home.iterdir())

    return run


def test_openvino_is_imported_without_a_word_over_the_network(at_home):
    assert at_home("from geoseg.model.openvino import import_openvino as o; o()") == []


def test_what_others_have_imported_stays(at_home):
    code = """
import types
own = sys.modules["openvino_telemetry"] = types.ModuleType("openvino_telemetry")
from geoseg.model.openvino import without_telemetry
with without_telemetry():
    try:
        import openvino_telemetry
        raise SystemExit("found")
    except ImportError:
        pass
assert sys.modules.pop("openvino_telemetry") is own
"""
    assert at_home(code) == []
