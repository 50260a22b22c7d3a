"""What windows gain that hang over the raster's edge: errors by distance to it.

    python benchmarks/edges.py RUN/model ortho.tif --reference truth.tif

Parts of the orthophoto are taken for rasters of their own that end on one side, where it really
goes on. A window of 512 px at that side begins at the edge, or hangs over by some pixels of
reflected ground; the last row of the table is of a window that sees the ground that is there. Each
of the four sides is the edge once. Rows within 64 px of a window's corners are left out.
"""

import argparse
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from geoseg.labels.legend import IGNORE
from geoseg.labels.reference import ReferenceOptions, open_reference
from geoseg.model.bundle import ModelBundle
from geoseg.model.runtime import open_runtime
from geoseg.raster.reader import RasterReader

SIZE = 512
RIM = 64
"""Columns at the edge that are looked at."""

RINGS = (0, 1, 2, 4, 8, 16, 32, RIM)
"""Distances to the edge at which a column of the table begins."""

OVERHANGS = (0, 4, 8, 16, 32, 64)


def main() -> None:
    """Print the table."""
    wanted = arguments()
    bundle = ModelBundle.load(wanted.model)
    with RasterReader(wanted.ortho) as ortho:
        image, valid = ortho.read_floats(ortho.grid.window)
        reference = open_reference(
            wanted.reference,
            legend=bundle.legend,
            grid=ortho.grid,
            options=ReferenceOptions(attribute=wanted.attribute),
        )
        truth = np.where(valid, reference.read(ortho.grid.window), IGNORE)
    runtime = open_runtime(bundle, window_size=SIZE)
    counted, wrong = np.zeros(RIM), {name: np.zeros(RIM) for name in (*OVERHANGS, "true")}
    for inside, before, known in edges(image, truth, wanted.step):
        counted += (known != IGNORE).sum(axis=0)
        for name, window in windows(inside, before).items():
            classes = runtime(np.ascontiguousarray(window[None]))[0].argmax(axis=0)
            start = RIM if name == "true" else int(name)
            found = classes[RIM:-RIM, start : start + RIM]
            wrong[name] += ((found != known) & (known != IGNORE)).sum(axis=0)
    rings = list(pairwise(RINGS))
    titles = [f"{first}-{stop - 1}" if stop - first > 1 else f"{first}" for first, stop in rings]
    print(f"| overhang | {' | '.join(titles)} | all |")
    print(f"|---:|{'---:|' * len(RINGS)}")
    for name, each in wrong.items():
        shares = [each[slice(*ring)].sum() / counted[slice(*ring)].sum() for ring in rings]
        cells = [f"{share:.2%}" for share in (*shares, each.sum() / counted.sum())]
        print(f"| {name} | {' | '.join(cells)} |")


def arguments() -> argparse.Namespace:
    """What the user wants."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("ortho", type=Path)
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--attribute", help="column of a vector reference")
    parser.add_argument("--step", type=int, default=900, help="between edges, in pixels")
    return parser.parse_args()


def edges(
    image: np.ndarray, truth: np.ndarray, step: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Parts of an orthophoto: inside of an edge, before it, and the classes along it."""
    for turn in range(4):
        own, classes = np.rot90(image, turn, (1, 2)), np.rot90(truth, turn)
        height, width = classes.shape
        for row in range(0, height - SIZE + 1, step):
            for col in range(RIM, width - SIZE + 1, step):
                rows = own[:, row : row + SIZE]
                known = classes[row + RIM : row + SIZE - RIM, col : col + RIM]
                yield rows[:, :, col : col + SIZE], rows[:, :, col - RIM : col], known


def windows(inside: np.ndarray, before: np.ndarray) -> dict[int | str, np.ndarray]:
    """The window at an edge for each overhang, and with the ground that is there."""
    found: dict[int | str, np.ndarray] = {
        over: np.pad(inside[:, :, : SIZE - over], ((0, 0), (0, 0), (over, 0)), mode="symmetric")
        for over in OVERHANGS
    }
    return found | {"true": np.concatenate([before, inside[:, :, : SIZE - RIM]], axis=2)}


if __name__ == "__main__":
    main()
