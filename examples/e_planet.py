r"""Report E: grey pictures with outliers, a rare class, an ensemble, and background filled.

    python examples/e_planet.py --quick
    python examples/e_planet.py --images train/images --masks train/masks \
        --test-images test/images --test-masks test/masks --legend planet.toml

64 x 128 px, 5 classes of which 0 is background, what nobody has labelled. One thing is added at
a time: outliers that all share one mask found and dropped; focal loss with weights (background
0, the rare class 20) and AdamW; augmentation; an ensemble; background replaced by the class of
the nearest pixel. The figure is the mean IoU of the other classes on labelled ground.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import SAMPLE, Lab, Row, arguments, lab_of, print_table, read_report
from prepare import grey_pairs

from geoseg.labels.confusion import ConfusionMatrix

AUGMENT = "flips,rotation:10,brightness:0.1,contrast:0.1,noise:0.02"
PLAIN = ["--loss", "ce", "--class-weights", "none", "--optimizer", "adam", "--augment", "none"]
FOCAL = ["--loss", "focal", "--optimizer", "adamw", "--weight-decay", 0.01]


class Planet:
    """The experiment and its data."""

    def __init__(self, lab: Lab, wanted: argparse.Namespace) -> None:
        """Take the user's data, or the place where the sample's will be."""
        self.lab = lab
        own = lab.path("data")
        self.images = wanted.images or own / "train" / "images"
        self.masks = wanted.masks or own / "train" / "masks"
        self.test_images = wanted.test_images or own / "test" / "images"
        self.test_masks = wanted.test_masks or own / "test" / "masks"
        self.legend = wanted.legend or own / "legend.toml"
        self.background, self.rare = wanted.background, wanted.rare

    def run(self) -> Iterator[tuple[str, str, float]]:
        """Each step: what it adds, the name of its report and the seconds that it took."""
        lab = self.lab
        every, clean = lab.path("patches"), lab.path("clean")
        windows = ["--patch-size", 64, "--stride", 64, "--val", 0.15]
        pictures = [self.images, "-r", self.masks, "--pair", "name", "-l", self.legend]
        lab.run("tile", *pictures, "-o", every, *windows, "--split-block", 1 << 20)
        lab.run("check", every, "-o", lab.path("checked"), codes=(0, 1))
        dropped = "outliers,contradictions,identical-masks"
        seconds = lab.run("check", every, "--drop", dropped, "-o", clean, codes=(0, 1))
        yield "everything, cross-entropy", "plain", self.train("plain", every, PLAIN)
        took = seconds + self.train("clean", clean, PLAIN)
        yield "+ outliers dropped", "clean", took
        weighted = [*FOCAL, "--class-weights", f"{self.background}=0,{self.rare}=20"]
        still = [*weighted, "--augment", "none"]
        yield "+ focal, weights, AdamW", "focal", self.train("focal", clean, still)
        moved = [*weighted, "--augment", AUGMENT]
        yield "+ augmentation", "augmented", self.train("augmented", clean, moved)
        folds = [*moved, "--folds", lab.chosen(2, 5)]
        yield "+ ensemble of folds", "folds", self.train("folds", clean, folds)
        yield "+ background filled", "filled", self.fill("folds", "filled")
        yield "cross-entropy, background filled", "plain-filled", self.fill("clean", "plain-filled")

    def train(self, name: str, patches: Path, words: Sequence[object]) -> float:
        """Train and test; the seconds of the training."""
        run, maps = self.lab.path("runs", name), self.lab.path("maps", name)
        length = ["--batch-size", 32, "--lr", 1e-3, "--epochs", self.lab.chosen(10, 60)]
        network = ["--encoder", "resnet18"]
        seconds = self.lab.run("train", patches, "-o", run, *network, *words, *length)
        self.lab.run("predict", run, self.test_images, "-o", maps)
        self.test(name)
        return seconds

    def fill(self, source: str, name: str) -> float:
        """Replace the background in every map, and test; the seconds of the filling."""
        maps = self.lab.path("maps")
        found = sorted((maps / source).glob("*.tif")) or [maps / source / "0000.tif"]
        fill = ["--fill", f"{self.background}=nearest"]
        seconds = sum(
            self.lab.run("postprocess", each, "-o", maps / name / each.name, *fill)
            for each in found
        )
        self.test(name)
        return seconds

    def test(self, name: str) -> None:
        """Evaluate maps against the test masks."""
        truth = ["-r", self.test_masks, "--pair", "name", "-l", self.legend]
        maps, report = self.lab.path("maps", name), self.lab.path("reports", name)
        self.lab.run("evaluate", maps, *truth, "-o", report)

    def row(self, step: str, name: str, seconds: float) -> Row:
        """A line of the table."""
        report = read_report(self.lab.path("reports", name))
        counts = labelled(report, self.background)
        names = report["confusion"]["names"]
        ious = {f"IoU {each}": float(iou) for each, iou in zip(names, counts.iou, strict=True)}
        del ious[f"IoU {self.background}"]
        return {"step": step, "seconds": round(seconds), "mIoU": counts.mean_iou, **ious}


def labelled(report: Mapping[str, Any], background: str) -> ConfusionMatrix:
    """The counts of a report without the pixels that are background in the reference."""
    names = report["confusion"]["names"]
    counts = np.array(report["confusion"]["counts"])
    counts[names.index(background)] = 0
    return ConfusionMatrix(counts)


def main() -> None:
    """Run the experiment and print its table."""
    parser = arguments(__doc__, "e")
    for each in ("images", "masks", "test-images", "test-masks", "legend"):
        parser.add_argument(f"--{each}", type=Path, help="[default: made of the sample]")
    parser.add_argument("--background", default="background", help="class that is no class")
    parser.add_argument("--rare", default="rock", help="class that counts 20 times")
    wanted = parser.parse_args()
    lab = lab_of(wanted)
    own = [wanted.images, wanted.masks, wanted.test_images, wanted.test_masks, wanted.legend]
    if any(own) and not all(own):
        parser.error("--images, --masks, --test-images, --test-masks, --legend belong together")
    if not any(own):
        train, test, outliers = lab.chosen((96, 10, 12), (160, 40, 20))
        sample = (SAMPLE / "ortho.tif", SAMPLE / "reference.tif")
        counts = {"train": train, "test": test, "outliers": outliers}
        lab.data(lambda folder: grey_pairs(*sample, folder, **counts), *counts.values())
    planet = Planet(lab, wanted)
    steps = list(planet.run())
    if not lab.listing:
        print_table(planet.row(*each) for each in steps)


if __name__ == "__main__":
    main()
