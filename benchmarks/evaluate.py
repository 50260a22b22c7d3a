"""How fast, and in how much memory, `geoseg evaluate` holds a class map against a reference.

    python benchmarks/evaluate.py                 # 8192 x 8192
    python benchmarks/evaluate.py --side 2048     # in seconds

Beside it run scikit-learn's confusion matrix, which needs both maps whole, and the bare decoding
of every block of both. All are given files and give counts; the two matrices are the same.
"""

import rasterio
from common import LEGEND, arguments, print_race, race, report, town
from sklearn.metrics import confusion_matrix

from geoseg import evaluation
from geoseg.io.legends import load_legend


def decode(side: int) -> None:
    """Read every block and forget it."""
    here = town(side)
    for path in (here.class_map, here.reference):
        with rasterio.open(path) as dataset:
            for _, block in dataset.block_windows():
                dataset.read(1, window=block)


def scikit_learn(side: int) -> None:
    """Read both maps whole and count."""
    here = town(side)
    with rasterio.open(here.reference) as truth, rasterio.open(here.class_map) as mapped:
        reference, predicted = truth.read(1).ravel(), mapped.read(1).ravel()
    labels = [each.value for each in load_legend(str(LEGEND)).classes]
    confusion_matrix(reference, predicted, labels=labels)


def compare(side: int) -> None:
    """What the command does for a pair."""
    here = town(side)
    pair = evaluation.Pair("town", here.class_map, here.reference)
    evaluation.compare(pair, load_legend(str(LEGEND)))


CONTENDERS = {
    "decoding alone": decode,
    "scikit-learn": scikit_learn,
    "geoseg evaluate": compare,
}


def main() -> None:
    """Print the table, or be a contender."""
    wanted = arguments(__doc__, 8192)
    if wanted.only:
        report(CONTENDERS[wanted.only], wanted.side)
        return
    runs = race(__file__, CONTENDERS, wanted.side, wanted.rounds)
    print_race(runs, beside="scikit-learn", megapixels=wanted.side**2 / 1e6)


if __name__ == "__main__":
    main()
