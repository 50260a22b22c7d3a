"""What the examples share: running geoseg's commands, and tables of what came out.

A command that has ended well is written down in ``finished.json`` beside its results, with the
seconds that it took, and is not run again unless one before it was; a training that was
interrupted goes on where it stood.
"""

import argparse
import json
import math
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

SAMPLE = Path(__file__).parents[1] / "sample_data"
RESUMABLE = {"train", "sweep"}
OUTPUT = "-o"

Row = Mapping[str, Any]
"""A line of a table: text, whole numbers, or figures as shares, by heading."""


class Lab:
    """A folder in which an experiment happens."""

    def __init__(self, out: Path, *, quick: bool, listing: bool) -> None:
        """Prepare; nothing is written yet.

        Args:
            out: The folder.
            quick: Whether a few minutes are to be enough.
            listing: Whether commands are printed only.
        """
        self.out, self.quick, self.listing = out, quick, listing
        self._record = out / "finished.json"
        self._seconds: dict[str, float] = {}
        self._begun: str | None = None
        self._anew = False
        if not listing and self._record.exists():
            content = json.loads(self._record.read_text(encoding="utf-8"))
            self._seconds, self._begun = content["seconds"], content["begun"]

    def path(self, *parts: str) -> Path:
        """A place inside the folder."""
        return self.out.joinpath(*parts)

    def run(self, *words: object, codes: Sequence[int] = (0,)) -> float:
        """Run ``geoseg WORDS`` and give the seconds that it took, now or earlier.

        The output of the command is the word behind ``-o``.

        Args:
            words: Of the command line.
            codes: Exit codes that are no failure.
        """
        command = [str(word) for word in words]
        key = shlex.join(command)
        if self._is_done(key):
            print(f"$ geoseg {key}  # done", flush=True)
            return self._seconds[key]
        if not self.listing:
            command = self._going_on(command, key)
        print(f"$ geoseg {shlex.join(command)}", flush=True)
        if self.listing:
            return 0.0
        self._begin(key)
        started = time.monotonic()
        code = subprocess.run([sys.executable, "-m", "geoseg", *command], check=False).returncode
        if code not in codes or (code and not output_of(command).exists()):
            stop(f"geoseg {command[0]} ended with exit code {code}", code)
        self._end(key, time.monotonic() - started)
        return self._seconds[key]

    def _is_done(self, key: str) -> bool:
        """Whether a step has ended well earlier, and all before it are as they were then."""
        return not self._anew and key in self._seconds

    def _begin(self, key: str) -> None:
        """Write down what is run now: all that followed it earlier is of something else."""
        self._anew = True
        self._seconds.pop(key, None)
        self._begun = key
        self._write()

    def _end(self, key: str, seconds: float) -> None:
        self._seconds[key] = seconds
        self._begun = None
        self._write()

    def _write(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        partial = self._record.with_suffix(".partial")
        content = {"begun": self._begun, "seconds": self._seconds}
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        partial.replace(self._record)

    def chosen(self, quick: Any, full: Any) -> Any:
        """One of two, as the user wants it."""
        return quick if self.quick else full

    def data(self, make: Callable[[Path], None], *of: object) -> Path:
        """The folder of prepared data, made if it is not there yet, whole or not at all.

        Args:
            make: Writes it.
            of: What it is made of: with anything else it is made again.
        """
        folder, partial = self.path("data"), self.path("data.partial")
        key = shlex.join(["data", *map(str, of)])
        if not self.listing and not self._is_done(key):
            self._begin(key)
            for old in (partial, folder):
                shutil.rmtree(old, ignore_errors=True)
            partial.mkdir(parents=True)
            make(partial)
            partial.replace(folder)
            self._end(key, 0.0)
        return folder

    def _going_on(self, command: Sequence[str], key: str) -> list[str]:
        """The command as it must be when an earlier one has left its output."""
        if "--resume" in command or not output_of(command).exists():
            return list(command)
        interrupted = command[0] in RESUMABLE and key == self._begun
        return [*command, "--resume" if interrupted else "--overwrite"]


def output_of(command: Sequence[str]) -> Path:
    """Where a command writes."""
    return Path(command[command.index(OUTPUT) + 1])


def arguments(description: str, name: str) -> argparse.ArgumentParser:
    """The options that all examples have.

    Args:
        description: Of the script.
        name: Of the folder, unless the user chooses one.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("examples-out", name), help="folder")
    parser.add_argument("--quick", action="store_true", help="small: a few minutes on two cores")
    parser.add_argument("--list", action="store_true", help="print the commands, run none")
    return parser


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """Options for data of the user's own; without them the sample's are taken."""
    parser.add_argument("--ortho", type=Path, help="[default: the sample's]")
    parser.add_argument("--reference", type=Path, help="class values on its grid")
    parser.add_argument("--legend", help="preset or file")


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """What the user wants, with the data that `add_inputs` asks for."""
    wanted = parser.parse_args()
    own = (wanted.ortho, wanted.reference, wanted.legend)
    if any(own) and not all(own):
        parser.error("--ortho, --reference and --legend belong together")
    if not any(own):
        wanted.ortho, wanted.reference = SAMPLE / "ortho.tif", SAMPLE / "reference.tif"
        wanted.legend = str(SAMPLE / "legend.toml")
    return wanted


def lab_of(wanted: argparse.Namespace) -> Lab:
    """The lab that the user wants; a quick experiment has a folder of its own."""
    folder = wanted.out / ("quick" if wanted.quick else "full")
    return Lab(folder, quick=wanted.quick, listing=wanted.list)


def stop(reason: str, code: int = 1) -> NoReturn:
    """End the example with a line that says why."""
    print(f"{Path(sys.argv[0]).name}: {reason}", file=sys.stderr)
    sys.exit(code)


def read_report(folder: Path) -> dict[str, Any]:
    """The figures that ``geoseg evaluate -o FOLDER`` has written."""
    content: dict[str, Any] = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    return content


def by_class(report: Mapping[str, Any], figure: str) -> dict[str, float]:
    """A figure of every class that the reference has."""
    present = [each for each in report["classes"] if each["support"]]
    return {f"{figure} {each['name']}": number(each[figure]) for each in present}


def number(value: float | None) -> float:
    """A figure of a report; what is undefined is null there."""
    return math.nan if value is None else value


def epochs_of(run: Path) -> int:
    """How many epochs a training has made."""
    return len((run / "history.csv").read_text(encoding="utf-8").splitlines()) - 1


def patches_of(patches: Path, split: str = "train") -> int:
    """How many patches a set has in a split."""
    import pyogrio

    table = pyogrio.read_dataframe(patches / "patches.gpkg", layer="patches", read_geometry=False)
    return int((table["split"] == split).sum())


def print_table(rows: Iterable[Row]) -> None:
    """Print rows as a Markdown table; shares become percent, what is undefined a dash."""
    rows = list(rows)
    heads = list(dict.fromkeys(head for row in rows for head in row))
    lines = [heads, *([_cell(row.get(head, "")) for head in heads] for row in rows)]
    widths = [max(2, *map(len, column)) for column in zip(*lines, strict=True)]
    print()
    for index, line in enumerate(lines):
        print("|", " | ".join(c.rjust(w) for c, w in zip(line, widths, strict=True)), "|")
        if index == 0:
            print("|", " | ".join("-" * (width - 1) + ":" for width in widths), "|")
    print(f"\nshares in %; {os.cpu_count()} cores")


def _cell(value: Any) -> str:
    """One value as text; numbers with a point are shares."""
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value * 100:.1f}"
    return str(value)
