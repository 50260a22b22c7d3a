"""Where to label next: boxes that `geoseg suggest` proposes against boxes at random.

    python examples/labelling_loop.py --quick
    python examples/labelling_loop.py --ortho west_ortho.tif --reference west_reference.tif \
        --legend binary:building --side 128 --seeds 3

The reference plays the person who labels. A model of a few boxes at random maps the left part of
the orthophoto; boxes are added, suggested by its map or at random, and drawn completely; the model
is trained on with all of them, and so on. The right part, which nobody labels, is what the figures
are of. Every training sees the same number of patches, whatever the load of the machine.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from common import Lab, Row, add_inputs, arguments, lab_of, parse, print_table, read_report
from prepare import box_of, divide_ground

TEST_SHARE = 0.3

Cell = tuple[int, int]
"""Row and column of a box among the boxes of the orthophoto."""


class Ground:
    """The training ground, divided into boxes."""

    def __init__(self, ortho: Path, side: int) -> None:
        """Look at an orthophoto.

        Args:
            ortho: It has a CRS.
            side: Of a box, in pixels.
        """
        with rasterio.open(ortho) as file:
            self.transform, self.crs, self.side = file.transform, file.crs, side
            rows, cols = file.height // side, int(file.width * (1 - TEST_SHARE)) // side
        self.cells = [(row, col) for row in range(rows) for col in range(cols)]

    def write(self, cells: list[Cell], path: Path) -> None:
        """Write boxes as polygons."""
        import geopandas as gpd

        found = [box_of(cell, self.side, self.transform) for cell in cells]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        gpd.GeoDataFrame(geometry=found, crs=self.crs).to_file(path)

    def read(self, path: Path) -> list[Cell]:
        """Boxes that were suggested, the best first."""
        import geopandas as gpd

        middles = gpd.read_file(path, layer="boxes").geometry.centroid
        places = [~self.transform @ (point.x, point.y) for point in middles]
        return [(int(row // self.side), int(col // self.side)) for col, row in places]


class Loop:
    """Labelling, training and mapping in turn, of one seed."""

    def __init__(self, lab: Lab, how: Any, seed: int) -> None:
        """Prepare the ground.

        Args:
            lab: Where it happens.
            how: What the user wants.
            seed: Of the boxes at random and of the trainings.
        """
        self.lab, self.how, self.seed = lab, how, seed
        self.ground = Ground(how.ortho, how.side)
        self.rng = np.random.default_rng(seed)
        self.data = lab.data(
            lambda folder: divide_ground(how.ortho, folder, test=TEST_SHARE), how.ortho
        )

    def run(self) -> Iterator[Row]:
        """Go through all numbers of boxes, once by suggestion and once at random."""
        begun = self.drawn([], self.how.start)
        first = self.trained("start", begun, None)
        yield {"boxes": "start", "seed": self.seed, "mean IoU": first}
        for kind in ("suggested", "random"):
            cells, before = list(begun), "start"
            for count in self.how.boxes:
                name = f"{kind}{count}"
                new = count + self.how.start - len(cells)
                cells += (
                    self.suggested(before, new) if kind == "suggested" else self.drawn(cells, new)
                )
                yield {
                    "boxes": kind,
                    "more": count,
                    "seed": self.seed,
                    "mean IoU": self.trained(name, cells, before),
                }
                before = name

    def drawn(self, known: list[Cell], count: int) -> list[Cell]:
        """Boxes at random that are not labelled yet."""
        left = [cell for cell in self.ground.cells if cell not in set(known)]
        return [left[place] for place in self.rng.permutation(len(left))[:count]]

    def suggested(self, before: str, count: int) -> list[Cell]:
        """Boxes that the map of the model before proposes."""
        boxes = self.path("suggested", f"{before}.gpkg")
        words = ["--ortho", self.how.ortho, "--windows", count, "--window-size", self.how.side]
        aoi = ["--aoi", self.data / "train.gpkg"]
        self.lab.run("suggest", self.path("maps", f"{before}.tif"), *words, *aoi, "-o", boxes)
        return [] if self.lab.listing else self.ground.read(boxes)[:count]

    def trained(self, name: str, cells: list[Cell], before: str | None) -> float:
        """Mean IoU on the test ground of a model of these boxes."""
        how, lab = self.how, self.lab
        boxes, patches, run = (self.path(*place) for place in (
            ("boxes", f"{name}.gpkg"), ("patches", name), ("runs", name)))  # fmt: skip
        if not lab.listing:
            self.ground.write(cells, boxes)
        labels = ["-r", how.reference, "-l", how.legend, "--labelled-areas", boxes]
        lab.run("tile", how.ortho, *labels, "--patch-size", how.side, "--val", 0, "-o", patches)
        start = ["--init-from", self.path("runs", before, "model")] if before else []
        length = ["--epochs", 2, "--samples-per-epoch", how.patches // 2, "--batch-size", 4]
        lab.run("train", patches, *start, *length, "--seed", self.seed, "-o", run)
        maps, report = self.path("maps", f"{name}.tif"), self.path("tests", name)
        lab.run("predict", run, how.ortho, "--confidence", "score", "-o", maps)
        truth = ["-r", how.reference, "-l", how.legend, "--aoi", self.data / "test.gpkg"]
        lab.run("evaluate", maps, *truth, "-o", report)
        return float("nan") if lab.listing else float(read_report(report)["mean_iou"])

    def path(self, *parts: str) -> Path:
        """A place of this seed."""
        return self.lab.path(f"seed{self.seed}", *parts)


def draw(rows: list[Row], start: int, path: Path) -> None:
    """Draw mean and range over the seeds against the number of boxes."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for kind in ("suggested", "random"):
        own = [row for row in rows if row["boxes"] in (kind, "start")]
        counts = sorted({int(row.get("more", 0)) for row in own})
        found = [
            [100 * row["mean IoU"] for row in own if row.get("more", 0) == count]
            for count in counts
        ]
        axes.plot(counts, [np.mean(each) for each in found], marker="o", label=kind)
        axes.fill_between(counts, *zip(*((min(e), max(e)) for e in found), strict=True), alpha=0.2)
    axes.set(xlabel=f"boxes labelled after the first {start}", ylabel="mean IoU in %")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Run the experiment, print its table and draw it."""
    parser = arguments(__doc__, "loop")
    add_inputs(parser)
    parser.add_argument("--side", type=int, default=128, help="of a box and a patch, in pixels")
    parser.add_argument("--start", type=int, default=5, help="boxes of the first model")
    parser.add_argument("--patches", type=int, help="of each training [default: 40 if quick, 400]")
    parser.add_argument("--seeds", type=int, help="[default: 1 if quick, 3]")
    wanted = parse(parser)
    lab = lab_of(wanted)
    wanted.patches = wanted.patches or lab.chosen(40, 400)
    wanted.boxes = lab.chosen((3, 6), (5, 10, 20, 40))
    rows = [
        row
        for seed in range(wanted.seeds or lab.chosen(1, 3))
        for row in Loop(lab, wanted, seed).run()
    ]
    if not lab.listing:
        print_table(rows)
        draw(rows, wanted.start, lab.path("loop.png"))


if __name__ == "__main__":
    main()
