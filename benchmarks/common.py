"""What the benchmarks share: a large town to work on, and fair measurement.

The town is the sample data's, repeated to the right and downwards: real texture for deflate to
chew on, the same on every machine, of any size. It is kept in the system's temporary folder.

Contenders take turns, so that a busy machine is unfair to all of them alike. Each runs in a
process of its own and times itself after its imports; its peak memory is the operating
system's account of that process, which is why this module imports nothing heavy itself (a
process starts out with the peak of the one that started it).
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

SAMPLE = Path(__file__).parents[1] / "sample_data"
LEGEND = SAMPLE / "legend.toml"
CACHE = Path(tempfile.gettempdir()) / "geoseg-benchmarks"
BLOCK = 512
"""Side of a storage tile, in pixels."""

MISALIGNED = 3
"""How many pixels the class map is moved against the reference, so that it has errors."""

DEFLATE = {"compress": "deflate", "predictor": 2}


class Town(NamedTuple):
    """Rasters of one grid."""

    ortho: Path
    """Three bands."""

    reference: Path
    """Classes, as the sample's legend codes them."""

    class_map: Path
    """The same classes, a few pixels off."""


class Run(NamedTuple):
    """What one run of a contender took."""

    seconds: float
    """Wall clock, without starting Python and importing."""

    megabytes: float
    """Largest resident memory of the process."""


def town(side: int) -> Town:
    """A square town, painted if it is not there yet.

    Args:
        side: In pixels.
    """
    folder = CACHE / f"town-{side}"
    here = Town(*(folder / name for name in ("ortho.tif", "reference.tif", "class_map.tif")))
    if not all(path.exists() for path in here):
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, __file__, str(side)], check=True)
    return here


def paint(side: int) -> None:
    """Write the rasters of a town, a block at a time."""
    ortho, reference, class_map = town_paths = [CACHE / f"town-{side}" / f"{name}.partial"
                                                for name in Town._fields]
