"""How far a twentieth of the labels goes: boxes or points against a whole reference.

    python examples/few_labels.py --quick
    python examples/few_labels.py --ortho west_ortho.tif --reference west_reference.tif \
        --legend binary:building --patches 1000

The reference plays the person who labels: in boxes spread at random over the training ground,
drawn completely (``--labelled-areas``), or at points, of which a metre around is known
(``--point-radius``). Every training sees the same number of patches, so that the load of the
machine changes its time and not its result. The table has the figures of the right part of the
orthophoto, which nobody has labelled or trained on.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from common import (
    Lab,
    Row,
    add_inputs,
    arguments,
    by_class,
    lab_of,
    parse,
    print_table,
    read_report,
)
from prepare import box_of, divide_ground
from rasterio.windows import Window

from geoseg.labels.legend import IGNORE
from geoseg.labels.legend_files import load_legend

TEST_SHARE = 0.3

PER_EPOCH = 100
"""Patches between two validations."""


def draw_labels(
    ortho: Path, reference: Path, legend: str, folder: Path, *, share: float, side: int, seed: int
) -> None:
    """Write what a person has labelled: ``boxes.gpkg`` and ``points.gpkg``.

    Args:
        ortho: The orthophoto, with a CRS.
        reference: Class values on its grid.
        legend: Of the reference.
        folder: Where the files are written.
        share: Of the training ground that the boxes cover; there are ten points for each box.
        side: Of a box, in pixels.
        seed: Of the places.
    """
    import geopandas as gpd
    from shapely.geometry import Point

    classes = load_legend(legend)
    rng = np.random.default_rng(seed)
    with rasterio.open(ortho) as file, rasterio.open(reference) as truth:
        height, width = file.height, round(file.width * (1 - TEST_SHARE))
        cells = [(row, col) for row in range(height // side) for col in range(width // side)]
        count = max(round(share * height * width / side**2), 1)
        chosen = [cells[place] for place in rng.permutation(len(cells))[:count]]
        boxes = [box_of(cell, side, file.transform) for cell in chosen]
        gpd.GeoDataFrame(geometry=boxes, crs=file.crs).to_file(folder / "boxes.gpkg")
        rows, cols = (rng.integers(0, length, 10 * count) for length in (height, width))
        values = [
            truth.read(1, window=Window(col, row, 1, 1))[0, 0]
            for row, col in zip(rows.tolist(), cols.tolist(), strict=True)
        ]
        drawn = np.array(values)
        has_data = np.ones(len(drawn), bool) if truth.nodata is None else drawn != truth.nodata
        labels = np.full(len(drawn), IGNORE)
        labels[has_data] = classes.encode_values(drawn[has_data])
        known = np.flatnonzero(labels != IGNORE)
        columns = {"class": [classes.names[labels[each]] for each in known]}
        places = [Point(file.transform @ (cols[each] + 0.5, rows[each] + 0.5)) for each in known]
        gpd.GeoDataFrame(columns, geometry=places, crs=file.crs).to_file(folder / "points.gpkg")


def experiment(lab: Lab, ortho: Path, reference: Path, legend: str, how: Any) -> list[Row]:
    """Tile, train, predict and evaluate with each kind of labels."""
    side = lab.chosen(64, 128)

    def prepare(folder: Path) -> None:
        divide_ground(ortho, folder, test=TEST_SHARE)
        draw_labels(ortho, reference, legend, folder, share=how.share, side=side, seed=how.seed)

    data = lab.data(prepare, ortho, reference, legend, how.share, side, how.seed)
    kinds: dict[str, list[object]] = {
        "all": ["-r", reference],
        "boxes": ["-r", reference, "--labelled-areas", data / "boxes.gpkg"],
        "points": ["-r", data / "points.gpkg", "--attribute", "class", "--point-radius", "1m"],
    }
    size = ["--patch-size", lab.chosen(128, 256), "--aoi", data / "train.gpkg"]
    training = ["--epochs", math.ceil(how.patches / PER_EPOCH), "--early-stopping", 0]
    training += ["--samples-per-epoch", min(PER_EPOCH, how.patches), "--batch-size", 4]
    rows: list[Row] = []
    for kind, labels in kinds.items():
        patches, run, report = (lab.path(part, kind) for part in ("patches", "runs", "tests"))
        maps = lab.path("maps", f"{kind}.tif")
        lab.run("tile", ortho, *labels, "-l", legend, *size, "-o", patches)
        seconds = lab.run("train", patches, "-o", run, *training, "--seed", how.seed)
        lab.run("predict", run, ortho, "--aoi", data / "test.gpkg", "-o", maps)
        truth = ["-r", reference, "-l", legend, "--aoi", data / "test.gpkg"]
        lab.run("evaluate", maps, *truth, "-o", report)
        if not lab.listing:
            rows.append(row(kind, patches, report, seconds))
    return rows


def row(kind: str, patches: Path, report: Path, seconds: float) -> Row:
    """A line of the table."""
    from geoseg.patches.patch_set import PatchSet
    from geoseg.patches.record import ClassShares

    whole = PatchSet.open(patches)
    found = read_report(report)
    shares = ClassShares.of(whole.patches, whole.record.legend)
    return {
        "labels": kind,
        "labelled": shares.labelled,
        "patches": len(whole.in_split("train")),
        "seconds": round(seconds),
        "mean IoU": found["mean_iou"],
        **by_class(found, "iou"),
    }


def main() -> None:
    """Run the experiment and print its table."""
    parser = arguments(__doc__, "few")
    add_inputs(parser)
    parser.add_argument("--share", type=float, default=0.05, help="of the ground in boxes")
    parser.add_argument("--patches", type=int, help="to train on [default: 200 if quick, 5000]")
    parser.add_argument("--seed", type=int, default=0)
    wanted = parse(parser)
    lab = lab_of(wanted)
    wanted.patches = wanted.patches or lab.chosen(200, 5000)
    rows = experiment(lab, wanted.ortho, wanted.reference, wanted.legend, wanted)
    if not lab.listing:
        print_table(rows)


if __name__ == "__main__":
    main()
