"""What the benchmarks share: a town of any size to work on, and fair measurement.

The town is the one of the sample data, repeated to the right and downwards: real texture for
deflate to chew on, the same on every machine. It is kept in the system's temporary folder.

Contenders take turns, so that a busy machine is unfair to all of them alike, and are compared
within each round; what is printed are medians. Each run is a process of its own that times
itself after its imports and reports its peak memory as the system counted it (`getrusage`).
Such a process starts out with the peak of the one that started it: that one imports the same
and reads no pixels, so the town is painted in a process of its own too.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import NamedTuple

import numpy as np
import rasterio
from rasterio.windows import Window

from geoseg.raster import configure
from geoseg.raster.threads import keep_freed_memory

configure()  # as the command line does
keep_freed_memory()

SAMPLE = Path(__file__).parents[1] / "sample_data"
LEGEND = SAMPLE / "legend.toml"
CACHE = Path(tempfile.gettempdir()) / "geoseg-benchmarks"

WHOLE = Window(0, 0, 1024, 1024)
"""Part of the sample without missing pixels."""

MISALIGNED = 3
"""Pixels by which the class map is off, so that it has errors."""


class Town(NamedTuple):
    """Rasters on one grid, deflated in tiles of 512 px, every pixel valid."""

    ortho: Path
    """Three bands."""

    reference: Path
    """Classes by the sample's legend."""

    class_map: Path
    """The same, a few pixels off."""


class Run(NamedTuple):
    """What one run of a contender took."""

    seconds: float
    """Wall clock, from after the imports."""

    processor: float
    """Seconds of all cores together: what counts if the machine is busy with other things."""

    megabytes: float
    """Peak of the resident memory, imports included."""


Contender = Callable[[int], float | None]
"""Does its work on the town of that side; gives how many times as much it stands for, if it has
done only a part."""


def arguments(description: str, side: int) -> argparse.Namespace:
    """What the user wants, or which contender a process is to be."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=side, help="of the town, in pixels")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each contender")
    parser.add_argument("--only", help="run this contender here and print what it took")
    return parser.parse_args()


def town(side: int) -> Town:
    """The town of a side in pixels, painted if it is not there yet."""
    here = Town(*(CACHE / f"{name}-{side}.tif" for name in Town._fields))
    if not all(path.exists() for path in here):
        CACHE.mkdir(exist_ok=True)
        subprocess.run([sys.executable, __file__, str(side)], check=True)
    return here


def paint(side: int) -> None:
    """Write the rasters of the town."""
    here = Town(*(CACHE / f"{name}-{side}.tif" for name in Town._fields))
    repeat(SAMPLE / "ortho.tif", here.ortho, side, predictor=2)
    repeat(SAMPLE / "reference.tif", here.reference, side)
    repeat(SAMPLE / "reference.tif", here.class_map, side, shift=MISALIGNED)


def repeat(sample: Path, path: Path, side: int, *, shift: int = 0, predictor: int = 1) -> None:
    """Fill a large raster with repetitions of a small one, block by block."""
    with rasterio.open(sample) as small:
        pixels, profile = small.read(window=WHOLE), small.profile
    profile |= {"height": side, "width": side, "blockxsize": 512, "blockysize": 512}
    profile |= {"compress": "deflate", "predictor": predictor, "nodata": None}
    partial = path.with_suffix(".partial")
    with rasterio.open(partial, "w", num_threads="all_cpus", **profile) as large:
        for _, block in large.block_windows():
            rows = np.arange(block.row_off, block.row_off + block.height)[:, None]
            cols = np.arange(block.col_off, block.col_off + block.width) + shift
            height, width = pixels.shape[1:]
            large.write(pixels[:, rows % height, cols % width], window=block)
    partial.replace(path)


def report(contender: Contender, side: int) -> None:
    """Run a contender in this process and print what it took, as JSON."""
    start, started = perf_counter(), process_time()
    times = contender(side) or 1
    children = resource.getrusage(resource.RUSAGE_CHILDREN)  # of a program that was started
    own = process_time() - started + children.ru_utime + children.ru_stime
    seconds, processor = (perf_counter() - start) * times, own * times
    peak = max(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, children.ru_maxrss)
    kilobyte = 1024 if sys.platform == "darwin" else 1
    print(json.dumps(Run(seconds, processor, peak / kilobyte / 1024)))


def run(script: str, contender: str, side: int, *words: str) -> Run:
    """Run a contender of a benchmark in a process of its own, with further words."""
    command = [sys.executable, script, "--only", contender, "--side", str(side), *words]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Run(*json.loads(done.stdout.splitlines()[-1]))


def race(script: str, contenders: Iterable[str], side: int, rounds: int) -> dict[str, list[Run]]:
    """The runs of each contender, one in every round."""
    town(side)
    names = list(contenders)
    turns = [[run(script, name, side) for name in names] for _ in range(rounds)]
    return dict(zip(names, map(list, zip(*turns, strict=True)), strict=True))


def print_race(runs: Mapping[str, list[Run]], *, beside: str, megapixels: float) -> None:
    """Print a line of medians for each contender, held against one of them."""
    print(f"{'':<24}{'seconds':>8}{'ratio':>7}{'cpu s':>8}{'ratio':>7}{'Mpx/s':>8}{'peak MB':>9}")
    for name, own in runs.items():
        seconds, processor, peak = map(median, zip(*own, strict=True))
        pairs = list(zip(own, runs[beside], strict=True))
        wall = median(each.seconds / other.seconds for each, other in pairs)
        cores = median(each.processor / other.processor for each, other in pairs)
        print(
            f"{name:<24}{seconds:>8.2f}{wall:>7.2f}{processor:>8.2f}{cores:>7.2f}"
            f"{megapixels / seconds:>8.0f}{peak:>9.0f}"
        )
    print(f"ratio: to '{beside}' in the same round; cpu s: seconds of all cores together")


if __name__ == "__main__":
    paint(int(sys.argv[1]))
