"""How fast, and in how much memory, `geoseg evaluate` holds a class map against a reference.

    python benchmarks/evaluate.py                            # 8192 x 8192 and 12288 x 12288
    python benchmarks/evaluate.py --sides 2048 --rounds 2    # in seconds

Beside it run what people use otherwise, all of which hold both maps whole: scikit-learn's
confusion matrix, torchmetrics (it comes with lightning) and the statistics of segmentation
models. And the bare decoding of every block of both maps, which nothing can be faster than on
one core. All are given files and give counts; what they count is the same. Ratios of time are
to scikit-learn, or to decoding in the column on the right.
"""

import argparse
import os
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import rasterio
from common import LEGEND, Run, race, report, town

from geoseg.evaluation.compare import compare as compare_maps
from geoseg.evaluation.comparison import Pair
from geoseg.labels.legend_files import load_legend

LIMIT, COMMON = "decoding alone", "scikit-learn"


def decode(side: int) -> None:
    """Read every block and forget it."""
    here = town(side)
    for path in (here.class_map, here.reference):
        with rasterio.open(path) as dataset:
            for _, block in dataset.block_windows():
                dataset.read(1, window=block)


def whole(side: int) -> tuple[Any, Any]:
    """Reference and map."""
    here = town(side)
    with rasterio.open(here.reference) as truth, rasterio.open(here.class_map) as mapped:
        return truth.read(1).ravel(), mapped.read(1).ravel()


def scikit_learn(side: int) -> np.ndarray:
    """Without a list of labels, which makes it much slower."""
    from sklearn.metrics import confusion_matrix

    return np.asarray(confusion_matrix(*whole(side)))


def torchmetrics(side: int) -> np.ndarray:
    """All pixels at a time."""
    import torch
    from torchmetrics.functional import confusion_matrix

    truth, mapped = (torch.from_numpy(each) for each in whole(side))
    classes = len(load_legend(str(LEGEND)))
    counts = confusion_matrix(mapped - 1, truth - 1, task="multiclass", num_classes=classes)
    return np.asarray(counts)


def segmentation_models(side: int) -> np.ndarray:
    """True positives and so on of each class, in strips of the map."""
    import segmentation_models_pytorch as smp
    import torch

    truth, mapped = (torch.from_numpy(each.reshape(side, side)) for each in whole(side))
    classes = len(load_legend(str(LEGEND)))
    sums = 0
    for start in range(0, side, 1024):
        strips = (each[None, start : start + 1024].long() - 1 for each in (mapped, truth))
        sums += torch.stack(smp.metrics.get_stats(*strips, "multiclass", num_classes=classes))
    return np.asarray(sums)


def compare(side: int, workers: int) -> np.ndarray:
    """What the command does for a pair."""
    here = town(side)
    pair = Pair("town", here.class_map, here.reference)
    counted = compare_maps(pair, load_legend(str(LEGEND)), workers=workers)
    return counted.confusion.counts


def count(contender: Any, side: int) -> None:
    """A run that gives no factor."""
    contender(side)


CONTENDERS = {
    LIMIT: decode,
    COMMON: scikit_learn,
    "torchmetrics": torchmetrics,
    "smp get_stats": segmentation_models,
    "geoseg, 1 worker": partial(compare, workers=1),
    f"geoseg, {os.cpu_count()} workers": partial(compare, workers=os.cpu_count() or 1),
}


def arguments() -> argparse.Namespace:
    """What the user wants, or which contender a process is to be."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sides", type=int, nargs="+", default=[8192, 12288], help="in pixels")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each contender")
    parser.add_argument("--skip", nargs="*", default=[], choices=list(CONTENDERS), metavar="NAME")
    parser.add_argument("--side", type=int, help="of the contender's town")
    parser.add_argument("--only", help="run this contender here and print what it took")
    return parser.parse_args()


def print_ratios(runs: dict[str, list[Run]], side: int) -> None:
    """A line of medians for each contender; ratios are those within a round."""
    print(f"{side} x {side} px, a map and its reference")
    titles = ("seconds", "Mpx/s", "cpu s", "peak MB", f"x {COMMON}", f"of {LIMIT}")
    print(f"{'':<20}" + "".join(f"{title:>18}" for title in titles))
    for name, own in runs.items():
        seconds, processor, peak = map(median, zip(*own, strict=True))
        faster = times(own, runs[COMMON]) if COMMON in runs else float("nan")
        print(
            f"{name:<20}{seconds:>18.2f}{side**2 / 1e6 / seconds:>18.0f}{processor:>18.2f}"
            f"{peak:>18.0f}{faster:>18.1f}{times(own, runs[LIMIT]):>18.2f}"
        )


def times(own: list[Run], other: list[Run]) -> float:
    """How many times as fast as another."""
    return median(b.seconds / a.seconds for a, b in zip(own, other, strict=True))


def main() -> None:
    """Print the tables, or be a contender."""
    wanted = arguments()
    if wanted.only:
        report(partial(count, CONTENDERS[wanted.only]), wanted.side)
        return
    for side in wanted.sides:
        names = [name for name in CONTENDERS if name not in wanted.skip or name == LIMIT]
        print_ratios(race(__file__, names, side, wanted.rounds), side)


if __name__ == "__main__":
    main()
