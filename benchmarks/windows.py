"""That memory does not grow with the number of windows: trainings on 1,000 and on 100,000.

    python benchmarks/windows.py

Both patch sets are indexes of windows of 256 px into the same town, 961 with a stride of 192 px,
102,400 with a stride of 18. Each training sees 200 patches of them, drawn by their classes and
moved off the lattice, in a process of its own. ``opening`` reads the index and does no more.
"""

import argparse
import tempfile
from pathlib import Path

import common
from common import CACHE, LEGEND, town

from geoseg.labels.legend_files import load_legend
from geoseg.patches.patch_set import PatchSet
from geoseg.patches.record import Source, TileOptions
from geoseg.patches.tile import tile
from geoseg.training.options import TrainOptions
from geoseg.training.train import train

SIDE = 6000
STRIDES = {"1,000": 192, "100,000": 18}
"""Names of the sets, and the step between their windows."""

OPTIONS = TrainOptions(
    encoder="resnet18",
    epochs=1,
    batch_size=10,
    samples_per_epoch=200,
    augment="light",
    oversample="rare",
    jitter=True,
    device="cpu",
    workers=0,
)


def main() -> None:
    """Print the table, or be a contender."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=SIDE, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=1, help="runs of each contender")
    parser.add_argument("--only", help="run this contender here and print what it took")
    wanted = parser.parse_args()
    if wanted.only:
        work, _, name = wanted.only.partition(" ")
        common.report(lambda _: CONTENDERS[work](name), wanted.side)
        return
    town(SIDE)
    for name in STRIDES:
        common.run(__file__, f"tiling {name}", SIDE)
    names = [f"{work} {name}" for work in ("opening", "training") for name in STRIDES]
    runs = common.race(__file__, names, SIDE, wanted.rounds)
    common.print_race(runs, beside=names[0], megapixels=SIDE**2 / 1e6)
    for work in ("opening", "training"):
        few, many = (min(each.megabytes for each in runs[f"{work} {name}"]) for name in STRIDES)
        print(f"{work}: {many - few:.0f} MB more, {many / few:.3f} times as much")


def folder_of(name: str) -> Path:
    """Where a patch set is kept."""
    return CACHE / f"windows-{SIDE}-{STRIDES[name]}"


def make(name: str) -> None:
    """Tile a patch set, if it is not there yet."""
    folder = folder_of(name)
    source = town(SIDE)
    if not folder.exists():
        tile(
            [Source(name="town", ortho=source.ortho, reference=source.reference)],
            load_legend(str(LEGEND)),
            folder,
            options=TileOptions(stride=STRIDES[name], storage="index", split="none"),
        )


def open_index(name: str) -> None:
    """Read what is known of the windows."""
    PatchSet.open(folder_of(name))


def train_on(name: str) -> None:
    """Train for a few steps."""
    with tempfile.TemporaryDirectory() as folder:
        train(folder_of(name), Path(folder) / "run", options=OPTIONS, quiet=True)


CONTENDERS = {"tiling": make, "opening": open_index, "training": train_on}


if __name__ == "__main__":
    main()
