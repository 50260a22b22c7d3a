"""Report A: which size of patch, and which stride, maps a town best.

    python examples/a_patch_sizes.py --quick
    python examples/a_patch_sizes.py --ortho IRRG.tif --reference COLOURS.tif --legend isprs

A U-Net from scratch, cross-entropy weighted by all pixels / pixels of the class, Adam 1e-3,
batches of 10, 20 epochs, early stopping with patience 10; trained on the left of the orthophoto
and tested on the right. Patch sets are an index only, so that windows may overlap by any amount.
"""

import argparse
from pathlib import Path

from common import (
    SAMPLE,
    Lab,
    Row,
    arguments,
    by_class,
    epochs_of,
    lab_of,
    patches_of,
    print_table,
    read_report,
)
from prepare import color_reference, divide_ground

QUICK = ((32, 16), (32, 32), (64, 64), (128, 128))
FULL = ((32, 8), (32, 16), (32, 32), (64, 32), (64, 64), (128, 32), (128, 64), (128, 128))
"""Patch size and stride, in pixels."""

EPOCH = 1 << 19
"""Pixels of a quick epoch: every size sees as much."""


def experiment(lab: Lab, ortho: Path, reference: Path, legend: str) -> list[tuple[int, int, float]]:
    """Map the test ground by a network for every size and stride.

    Returns:
        Size and stride, in pixels, and the seconds of the training.
    """
    rows = []
    for size, stride in lab.chosen(QUICK, FULL):
        here = lab.path(f"size{size}-stride{stride}")
        patches, run, maps = here / "patches", here / "run", here / "map.tif"
        tiling = ["--patch-size", size, "--stride", stride, "--index-only", "--min-labelled", 0.5]
        ground = ["--aoi", lab.path("data", "train.gpkg"), "--val", 0.15]
        lab.run("tile", ortho, "-r", reference, "-l", legend, "-o", patches, *tiling, *ground)
        recipe = ["--arch", "unet", "--encoder", "resnet18", "--class-weights", "inverse"]
        recipe += ["--loss", "ce", "--augment", "none", "--no-jitter"]
        course = ["--optimizer", "adam", "--lr", 1e-3, "--schedule", "constant"]
        length = ["--batch-size", 10, "--early-stopping", 10, "--monitor", "loss"]
        length += lab.chosen(
            ["--epochs", 3, "--samples-per-epoch", EPOCH // size**2], ["--epochs", 20]
        )
        seconds = lab.run("train", patches, "-o", run, *recipe, *course, *length)
        test = ["--aoi", lab.path("data", "test.gpkg")]
        window = ["--patch-size", size, "--overlap", size // 2]
        lab.run("predict", run, ortho, "-o", maps, *window, *test)
        lab.run("evaluate", maps, "-r", reference, "-l", legend, *test, "-o", here / "report")
        rows.append((size, stride, seconds))
    return rows


def row(lab: Lab, size: int, stride: int, seconds: float) -> Row:
    """A line of the table."""
    here = lab.path(f"size{size}-stride{stride}")
    report = read_report(here / "report")
    return {
        "size": size,
        "stride": stride,
        "patches": patches_of(here / "patches"),
        "epochs": epochs_of(here / "run"),
        "seconds": round(seconds),
        "OA": report["overall_accuracy"],
        **by_class(report, "f1"),
    }


def main() -> None:
    """Run the experiment and print its table."""
    parser = arguments(__doc__, "a")
    parser.add_argument("--ortho", type=Path, help="[default: the sample's]")
    parser.add_argument("--reference", type=Path, help="classes as colours [default: the sample's]")
    parser.add_argument("--legend", help="preset or TOML file [default: the sample's]")
    wanted: argparse.Namespace = parser.parse_args()
    own = [wanted.ortho, wanted.reference, wanted.legend]
    if any(own) and not all(own):
        parser.error("--ortho, --reference and --legend belong together")
    lab = lab_of(wanted)
    ortho = wanted.ortho or SAMPLE / "ortho.tif"

    def prepare(folder: Path) -> None:
        divide_ground(ortho, folder, test=0.3)
        if not wanted.reference:
            color_reference(SAMPLE / "reference.tif", SAMPLE / "legend.toml", folder)

    data = lab.data(prepare, *own)
    reference = wanted.reference or data / "colors.tif"
    rows = experiment(lab, ortho, reference, wanted.legend or str(data / "colors.toml"))
    if not lab.listing:
        print_table(row(lab, *each) for each in rows)


if __name__ == "__main__":
    main()
