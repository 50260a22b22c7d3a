"""The geoseg command of another environment: where it is, how it is started, what it says."""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping, Sequence

WINDOWS = sys.platform == "win32"

VARIABLE = "GEOSEG"
"""Environment variable with the command, or the folder of its environment."""

OF_QGIS = ("GDAL_DATA", "GDAL_DRIVER_PATH", "PROJ_LIB", "PROJ_DATA", "GEOTIFF_CSV")
"""Variables, besides those of Python, that lead to the data and libraries of QGIS."""

GRACE_S = 15.0
"""Time that a command has to remove what it was writing, before it is killed."""


class CommandError(Exception):
    """The command is missing, or has failed, for a reason that a user can read."""


def find_command(setting: str) -> str:
    """Path of the program.

    Args:
        setting: What the user has set: the program, or the folder of its environment; else
            the variable GEOSEG counts, and then the PATH.
    """
    named = setting or os.environ.get(VARIABLE, "")
    if not named:
        if found := shutil.which("geoseg"):
            return found
        raise CommandError(
            "geoseg is not found; name its program, or the folder of its environment, in "
            "Settings > Options > Processing > Providers > geoseg"
        )
    path = Path(named).expanduser()
    folder = "Scripts" if WINDOWS else "bin"
    for each in (path, path / folder / "geoseg", path / folder / "geoseg.exe"):
        if each.is_file():
            return str(each)
    raise CommandError(
        f"{named}: neither a program nor an environment with geoseg; mend it in Settings > "
        f"Options > Processing > Providers > geoseg"
    )


def clean_environment(program: str, given: Mapping[str, str]) -> dict[str, str]:
    """Variables for the command: none that lead into the Python, GDAL or PROJ of QGIS."""
    kept = {
        name: value
        for name, value in given.items()
        if not name.upper().startswith("PYTHON") and name.upper() not in OF_QGIS
    }
    kept.pop("__PYVENV_LAUNCHER__", None)  # macOS
    folder = Path(program).parent
    libraries = folder.parent / "Library" / "bin"  # of conda on Windows
    folders = [str(each) for each in (folder, libraries) if each.is_dir()]
    kept["PATH"] = os.pathsep.join([*folders, given.get("PATH", "")])
    return kept | {"PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}


def run(
    program: str,
    words: Sequence[str],
    tell: Callable[[dict[str, Any]], None],
    is_cancelled: Callable[[], bool],
) -> Any:
    """Run a command to its end; give its result, or None if it was cancelled.

    Args:
        program: As of `find_command`.
        words: Subcommand, inputs and options, but for --json and --progress.
        tell: Is given every event; a line that is none is of the kind "line".
        is_cancelled: Is asked several times in a second.
    """
    with tempfile.TemporaryFile() as result:
        process = subprocess.Popen(
            [program, *words, "--json", "--progress", "json"],
            stdin=subprocess.DEVNULL,
            stdout=result,
            stderr=subprocess.PIPE,
            env=clean_environment(program, os.environ),
            creationflags=subprocess.CREATE_NO_WINDOW if WINDOWS else 0,
        )
        reason = printed = ""
        try:
            for event in _events(process):
                if event is not None and event.get("event") == "error":
                    reason = event["text"]
                elif event is not None:
                    tell(event)
                    printed = event["text"] if event["event"] == "line" else printed
                if is_cancelled():
                    return None
        finally:
            _end(process)
        if process.returncode:
            raise CommandError(reason or printed or f"geoseg ended with code {process.returncode}")
        result.seek(0)
        return json.loads(result.read().decode("utf-8") or "null")


def _events(process: Any) -> Iterator[dict[str, Any] | None]:
    """What a process tells, and None whenever it has told nothing for a while."""
    lines: queue.Queue[bytes | None] = queue.Queue()

    def read() -> None:
        for line in process.stderr:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=0.2)
        except queue.Empty:
            yield None
            continue
        if line is None:
            process.wait()
            return
        yield parse_event(line.decode("utf-8", "replace").rstrip())


def parse_event(line: str) -> dict[str, Any]:
    """An event of --progress json; what libraries print is an event of the kind "line"."""
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    return (
        event if isinstance(event, dict) and "event" in event else {"event": "line", "text": line}
    )


def _end(process: Any) -> None:
    """See that a process has ended; it removes what it was writing."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    process.stderr.close()
