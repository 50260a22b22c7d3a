"""What scores are worth on ground that nobody has seen: calibration, thresholds, and doubt.

    python benchmarks/scores.py RUN/model PATCHES --split test

The orthophotos with ground of the split are predicted, and on that ground printed are

- the expected calibration error and the mean IoU with the model's temperature and without it, and
  how many pixels change their class;
- the mean IoU with the model's thresholds (`--threshold auto`);
- of each kind of confidence the share of all errors that lie in the least certain 10 % of the
  pixels, and the area under the risk-coverage curve (mean error rate of the most certain pixels,
  over all shares of them; Geifman and El-Yaniv 2017): at an overlap of an eighth (where windows
  overlap), of a half, and with eight views. *perfect* is an order in which errors come first.

Equal values are put in random order.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import geoseg
from geoseg.evaluation.calibration import Reliability, ScoreMap
from geoseg.evaluation.compare import OpenPair
from geoseg.evaluation.comparison import Pair
from geoseg.evaluation.evaluation import EvaluateOptions
from geoseg.labels.confusion import ConfusionMatrix
from geoseg.model.bundle import RECORD, ModelBundle
from geoseg.patches.patch_set import PatchSet
from geoseg.prediction.scores import confidence, decode_scores
from geoseg.raster.reader import RasterReader

WORST = 0.1
"""Share of the pixels that someone looks at."""

SETTINGS: dict[str, dict[str, Any]] = {
    "an eighth": {},
    "a half": {"patch_size": 512, "overlap": 256},
    "d4 views": {"test_time_augmentation": "d4"},
}
"""Options of `predict` by name."""


class Pixels(NamedTuple):
    """Pixels of the split that have a reference."""

    truth: NDArray[np.uint8]
    mapped: NDArray[np.uint8]
    scores: NDArray[np.float32]
    """(classes, n)."""

    agreement: NDArray[np.float32]
    """Confidence by disagreement; NaN where only one window shows a pixel."""


def main() -> None:
    """Print all of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("patches", type=Path)
    parser.add_argument("--split", default="test")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print_all(wanted, Path(folder))


def print_all(wanted: argparse.Namespace, folder: Path) -> None:
    """Predict in a folder, and print."""
    plain = folder / "plain"
    shutil.copytree(wanted.model, plain)
    record = json.loads((plain / RECORD).read_text())
    (plain / RECORD).write_text(json.dumps(record | {"temperature": 1.0}))
    found = {name: predicted(wanted, folder, wanted.model, **SETTINGS[name]) for name in SETTINGS}
    own, without = found["an eighth"], predicted(wanted, folder, plain)
    bundle = ModelBundle.load(wanted.model)
    print(f"temperature {bundle.temperature:g}, thresholds {bundle.thresholds}")
    for name, pixels in (("without temperature", without), ("with temperature", own)):
        top = pixels.scores.max(axis=0)
        ece = Reliability.count(top, pixels.scores.argmax(axis=0) == pixels.truth).ece
        print(f"{name:<22} ECE {ece:.2%}, mean IoU {mean_iou(pixels):.2%}")
    print(f"{'other class':<22} {(own.mapped != without.mapped).mean():.4%} of {len(own.truth)} px")
    tuned = predicted(wanted, folder, wanted.model, thresholds=("auto",))
    print(f"{'with thresholds':<22} mean IoU {mean_iou(tuned):.2%}")
    for name, pixels in found.items():
        print_doubt(name, pixels)


def predicted(wanted: argparse.Namespace, folder: Path, model: Path, **options: Any) -> Pixels:
    """The ground of the split, mapped by a model."""
    patch_set = PatchSet.open(wanted.patches)
    parts: list[Pixels] = []
    for number in sorted({each.source for each in patch_set.in_split(wanted.split)}):
        source = patch_set.record.sources[number]
        how = {"scores": True, "score_type": "float32", "confidence": "disagreement"} | options
        path = folder / "map.tif"
        geoseg.predict(model, source.ortho, path, overwrite=True, **how)
        parts += read(wanted, path, source.reference)
    return Pixels(*(np.concatenate(each, axis=-1) for each in zip(*parts, strict=True)))


def read(wanted: argparse.Namespace, path: Path, reference: Path) -> Iterator[Pixels]:
    """The pixels of a map, block by block."""
    legend = PatchSet.open(wanted.patches).record.legend
    reading = EvaluateOptions(patches=wanted.patches, split=wanted.split).reading()
    beside = {name: path.with_name(f"map_{name}.tif") for name in ("scores", "confidence")}
    with (
        OpenPair(Pair("map", path, reference), legend, reading) as pair,
        ScoreMap(beside["scores"], legend, pair.grid) as scores,
        RasterReader(beside["confidence"]) as certain,
    ):
        for window in pair.blocks():
            block = pair.block(window)
            image, valid = certain.read(window)
            agreement = np.where(valid, decode_scores(image[0]), np.float32("nan"))
            known = block.known
            own = scores.read(window).image[:, known]
            yield Pixels(block.reference[known], block.mapped[known], own, agreement[known])


def mean_iou(pixels: Pixels) -> float:
    """Of the map."""
    truth, mapped = pixels.truth[None], pixels.mapped[None]
    valid, classes = np.ones(truth.shape, np.bool_), len(pixels.scores)
    return ConfusionMatrix.count(truth, mapped, valid=valid, classes=classes).mean_iou


def print_doubt(name: str, pixels: Pixels) -> None:
    """A row for each kind of confidence, all of the same pixels."""
    known = ~np.isnan(pixels.agreement)
    wrong = (pixels.mapped != pixels.truth)[known]
    scores = pixels.scores[:, None, known]
    kinds: Mapping[str, NDArray[np.float32]] = {
        **{kind: confidence(scores, kind)[0] for kind in ("score", "margin", "entropy")},
        "disagreement": pixels.agreement[known],
        "perfect": (~wrong).astype(np.float32),
    }
    print(f"overlap or views: {name}; {known.mean():.1%} of the ground, {wrong.mean():.2%} wrong")
    rng = np.random.default_rng(0)
    for kind, certain in kinds.items():
        order = np.lexsort((rng.random(len(certain)), -certain))
        errors = wrong[order]
        least = errors[round(len(errors) * (1 - WORST)) :].sum() / max(errors.sum(), 1)
        curve = errors.cumsum() / np.arange(1, len(errors) + 1)
        print(f"  {kind:<14} errors in the worst tenth {least:.1%}, area {curve.mean():.2%}")


if __name__ == "__main__":
    main()
