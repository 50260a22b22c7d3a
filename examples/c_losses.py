"""Report C: two networks, two optimisers, two losses, and the weights that were wished for.

    python examples/c_losses.py --quick
    python examples/c_losses.py --ortho uav/ --reference masks/ --legend classes.toml --epochs 60
    python examples/c_losses.py --encoder resnet152 --encoder-weights imagenet

U-Net and DeepLabV3+, SGD and Adam, cross-entropy and Dice, plain and weighted; turns by 90
degrees and both flips; a validation share of 0.15. Curves of loss, rate and figures are in each
run's ``history.csv`` and ``curves.png``. The table has the Dice of ground that none of them saw.
"""

import itertools
from pathlib import Path

from common import SAMPLE, Lab, Row, arguments, by_class, lab_of, print_table, read_report

PLAIN, WEIGHTED = "none", "auto"
RATES = {"sgd": 1e-2, "adam": 1e-3}

Choice = tuple[str, str, str, str]
"""Architecture, optimiser, loss, class weights."""

QUICK: list[Choice] = [
    ("unet", "sgd", "ce", PLAIN),
    ("unet", "adam", "ce", PLAIN),
    ("unet", "adam", "dice", PLAIN),
    ("deeplabv3plus", "adam", "ce:0.5+dice:0.5", WEIGHTED),
]
FULL: list[Choice] = [
    (*each, weights)
    for each in itertools.product(("unet", "deeplabv3plus"), RATES, ("ce", "dice"))
    for weights in ((PLAIN, WEIGHTED) if each[2] == "ce" else (PLAIN,))
] + [(arch, "adam", "ce:0.5+dice:0.5", WEIGHTED) for arch in ("unet", "deeplabv3plus")]


def experiment(
    lab: Lab, ortho: Path, reference: Path, legend: str, training: list[object]
) -> list[tuple[Choice, float]]:
    """Train and test every choice, and compare.

    Args:
        lab: Where.
        ortho: Orthophoto, or a folder of pictures.
        reference: Its reference map, or a folder of the same names.
        legend: Of the reference.
        training: Words that all trainings share.

    Returns:
        Each choice and the seconds of its training.
    """
    patches = lab.path("patches")
    size = ["--patch-size", 256, "--stride", 256, "--val", 0.15, "--test", 0.2]
    pair = ["--pair", "name"] if ortho.is_dir() else []
    lab.run("tile", ortho, "-r", reference, "-l", legend, "-o", patches, *size, *pair)
    rows = []
    for choice in lab.chosen(QUICK, FULL):
        arch, optimizer, loss, weights = choice
        run, maps, report = (lab.path(part, name_of(choice)) for part in ("runs", "maps", "tests"))
        words = ["--arch", arch, "--optimizer", optimizer, "--lr", RATES[optimizer]]
        words += ["--loss", loss, "--class-weights", weights, "--augment", "d4", *training]
        seconds = lab.run("train", patches, "-o", run, *words)
        lab.run("predict", run, patches, "--split", "test", "-o", maps)
        masks = ["-r", patches / "masks", "--pair", "name", "--coding", "map"]
        lab.run("evaluate", maps, *masks, "-o", report)
        rows.append((choice, seconds))
    lab.run("compare", lab.path("runs"), "-o", lab.path("validation.md"), "--per-class", "f1")
    lab.run("compare", lab.path("tests"), "-o", lab.path("test.md"), "--per-class", "f1")
    return rows


def name_of(choice: Choice) -> str:
    """A folder's name."""
    arch, optimizer, loss, weights = choice
    kind = "dice+ce" if "+" in loss else loss
    return "-".join([arch, optimizer, kind, *(["weighted"] if weights == WEIGHTED else [])])


def row(lab: Lab, choice: Choice, seconds: float) -> Row:
    """A line of the table."""
    arch, optimizer, loss, weights = choice
    report = read_report(lab.path("tests", name_of(choice)))
    return {
        "network": arch,
        "optimiser": optimizer,
        "loss": loss,
        "weights": weights,
        "seconds": round(seconds),
        "Dice": report["mean_f1"],
        **by_class(report, "f1"),
    }


def main() -> None:
    """Run the experiment and print its table."""
    parser = arguments(__doc__, "c")
    parser.add_argument("--ortho", type=Path, help="or a folder [default: the sample's]")
    parser.add_argument("--reference", type=Path, help="or a folder of the same names")
    parser.add_argument("--legend", help="preset or file")
    parser.add_argument("--encoder", help="[default: resnet18 if quick, else resnet50]")
    parser.add_argument("--encoder-weights", default="none", help="imagenet (hub), or a file")
    parser.add_argument("--epochs", type=int, help="[default: 4 if quick, else 30]")
    wanted = parser.parse_args()
    own = (wanted.ortho, wanted.reference, wanted.legend)
    if any(own) and not all(own):
        parser.error("--ortho, --reference and --legend belong together")
    lab = lab_of(wanted)
    encoder = wanted.encoder or lab.chosen("resnet18", "resnet50")
    epochs = wanted.epochs or lab.chosen(4, 30)
    training: list[object] = ["--encoder", encoder, "--encoder-weights", wanted.encoder_weights]
    training += ["--epochs", epochs, "--batch-size", 4]
    sample = (SAMPLE / "ortho.tif", SAMPLE / "reference.tif", str(SAMPLE / "legend.toml"))
    rows = experiment(lab, *(own if all(own) else sample), training)
    if not lab.listing:
        print_table(row(lab, *each) for each in rows)


if __name__ == "__main__":
    main()
