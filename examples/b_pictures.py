"""Report B: pictures of any size, and a model that is trained on.

    python examples/b_pictures.py --quick
    python examples/b_pictures.py --images JPEGImages --masks SegmentationClass --legend voc

PNG and JPEG without georeference, cut and padded to 256 x 256, 80/20 by whole pictures;
DeepLabV3+ on ResNet-50, cross-entropy, Adam; 10 epochs, then 40 more on the same model. After
both the bundle is loaded and evaluated on the pictures that it has not seen.
"""

from pathlib import Path

from common import SAMPLE, Lab, Row, arguments, by_class, lab_of, print_table, read_report
from prepare import pictures

WHOLE = 1 << 20
"""Side of a split's block: no picture is larger, so each is in one split as a whole."""


def experiment(lab: Lab, images: Path, references: Path, legend: str) -> list[tuple[int, float]]:
    """Train, evaluate, train on, evaluate.

    Returns:
        Epochs, all together, and the seconds since the last time.
    """
    patches, run = lab.path("patches"), lab.path("run")
    windows = ["--patch-size", 256, "--stride", 256, "--edge", "pad"]
    split = ["--split", "block", "--split-block", WHOLE, "--val", 0.2]
    lab.run(
        "tile",
        images,
        "-r",
        references,
        "--pair",
        "name",
        "-l",
        legend,
        "-o",
        patches,
        *windows,
        *split,
    )
    network = ["--arch", "deeplabv3plus", "--encoder", lab.chosen("resnet18", "resnet50")]
    recipe = ["--loss", "ce", "--optimizer", "adam", "--lr", 1e-3, "--schedule", "constant"]
    recipe += ["--class-weights", "none", "--augment", "none"]
    length = ["--batch-size", 8, "--early-stopping", 0]
    length += lab.chosen(["--samples-per-epoch", 24], [])
    rows = []
    for epochs, more in lab.chosen(((2, []), (10, ["--resume"])), ((10, []), (50, ["--resume"]))):
        words = [*network, *recipe, *length, "--epochs", epochs, *more]
        seconds = lab.run("train", patches, "-o", run, *words)
        maps, report = lab.path(f"maps{epochs}"), lab.path(f"report{epochs}")
        lab.run("predict", run, patches, "--split", "val", "-o", maps)
        masks = ["-r", patches / "masks", "--pair", "name", "--coding", "map"]
        lab.run("evaluate", maps, *masks, "-o", report)
        rows.append((epochs, seconds))
    return rows


def row(lab: Lab, epochs: int, seconds: float) -> Row:
    """A line of the table."""
    report = read_report(lab.path(f"report{epochs}"))
    return {
        "epochs": epochs,
        "seconds": round(seconds),
        "IoU": report["mean_iou"],
        "accuracy": report["overall_accuracy"],
        "recall": report["balanced_accuracy"],
        **by_class(report, "iou"),
    }


def main() -> None:
    """Run the experiment and print its table."""
    parser = arguments(__doc__, "b")
    parser.add_argument("--images", type=Path, help="folder [default: parts of the sample]")
    parser.add_argument("--masks", type=Path, help="folder of the same names")
    parser.add_argument("--legend", default=str(SAMPLE / "legend.toml"), help="preset or file")
    wanted = parser.parse_args()
    if (wanted.images is None) != (wanted.masks is None):
        parser.error("--images and --masks belong together")
    lab = lab_of(wanted)
    images, masks = wanted.images, wanted.masks
    if images is None:
        count = lab.chosen(16, 100)
        sample = (SAMPLE / "ortho.tif", SAMPLE / "reference.tif")
        data = lab.data(lambda folder: pictures(*sample, folder, count=count))
        images, masks = data / "images", data / "masks"
    rows = experiment(lab, images, masks, wanted.legend)
    if not lab.listing:
        print_table(row(lab, *each) for each in rows)


if __name__ == "__main__":
    main()
