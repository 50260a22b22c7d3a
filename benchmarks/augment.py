"""What augmentation costs per patch of 256 px on one core, beside reading the patch.

    python benchmarks/augment.py                         # the presets and each change alone
    python benchmarks/augment.py d4,rotation:30 strong   # others

Patches are the town's: three bands of 8 bit, read from its tiled GeoTIFF as in training. Reading
is measured on its own; the other rows are the sample's whole way less the reading, in seconds of
the processor, the best of four.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import median
from time import process_time

import torch
from common import LEGEND, town

from geoseg.labels.legend_files import load_legend
from geoseg.patches.patch_set import PatchSet
from geoseg.patches.record import Source, TileOptions
from geoseg.patches.tile import tile
from geoseg.raster.threads import keep_freed_memory
from geoseg.training.augment import STRENGTHS
from geoseg.training.data import PatchDataset, SampleKey

SIDE = 2048
ROUNDS, TRIES = 60, 4
"""Patches, and how often each is taken: what else the machine does is unfair to the slower."""

BATCHES = {"mixup", "cutmix"}
"""Not of a patch."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    alone = [name for name in STRENGTHS if name not in BATCHES]
    usual = ["none", "flips", "d4", "light", "strong", "scale", *alone]
    parser.add_argument("augment", nargs="*", default=usual)
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as a training does
    with tempfile.TemporaryDirectory() as folder:
        patches = index(Path(folder) / "patches")
        datasets = {
            name: PatchDataset(patches, patches.in_split("train"), augment=name, seed=0)
            for name in ("none", *wanted.augment)
        }
        seconds = race(datasets)
    reading = median(seconds["none"])
    print(f"{'':<24}{'ms per patch':>14}{'slowest tenth':>16}")
    print(f"{'reading':<24}{1000 * reading:>14.2f}")
    for name in wanted.augment:
        own = sorted(
            1000 * (each - plain)
            for each, plain in zip(seconds[name], seconds["none"], strict=True)
        )
        print(f"{name:<24}{sum(own) / len(own):>14.2f}{own[-len(own) // 10]:>16.2f}")


def index(folder: Path) -> PatchSet:
    """Patches that stay in the town."""
    source = town(SIDE)
    tile(
        [Source(name="town", ortho=source.ortho, reference=source.reference)],
        load_legend(str(LEGEND)),
        folder,
        options=TileOptions(storage="index", split="none"),
    )
    return PatchSet.open(folder)


def race(datasets: dict[str, PatchDataset]) -> dict[str, list[float]]:
    """Seconds of each for the same patches, one after another in every round."""
    seconds: dict[str, list[float]] = {name: [] for name in datasets}
    for number in range(-5, ROUNDS):
        for name, dataset in datasets.items():
            ticket = SampleKey(0, number % len(dataset))
            best = min(_seconds(dataset, ticket) for _ in range(TRIES))
            if number >= 0:
                seconds[name].append(best)
    return seconds


def _seconds(dataset: PatchDataset, ticket: SampleKey) -> float:
    started = process_time()
    dataset[ticket]
    return process_time() - started


if __name__ == "__main__":
    main()
