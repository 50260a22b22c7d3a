"""Cross-validation: one training per fold, mean and deviation of their metrics."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import TrainingError
from geoseg.patches.patch_set import PatchSet
from geoseg.patches.splits import Boxes, default_block, patch_boxes, touched_blocks
from geoseg.raster.atomic import refuse_existing
from geoseg.raster.folders import TRAINING, locked_once
from geoseg.training.options import TrainOptions
from geoseg.training.run_folder import RUN, check_resumable, run_record, start_folder, write_table
from geoseg.training.start import resolve
from geoseg.training.train import TrainReport, prepare, train

BLOCK_DEALS = 100
"""Random assignments of spatial blocks to folds, of which the most even is taken."""


def fold(patch_set: PatchSet, number: int, folds: int, *, seed: int) -> PatchSet:
    """The patch set with one fold, by number from 0, to validate on and the others to train on.

    Folds are sets of spatial blocks of similar size. Patches that touch blocks of both splits are
    left out, and so is the test split.

    Raises:
        TrainingError: If there are too few blocks.
    """
    boxes, frames = patch_boxes(patch_set)
    free = np.array([patch.split != "test" for patch in patch_set.patches])
    inside, outside = _deal_blocks(boxes[free], frames[free], patch_set.record.size, folds, seed)
    chosen = [patch for patch, each in zip(patch_set.patches, free, strict=True) if each]
    patches = [
        replace(patch, split="val" if inside[number, at] else "train")
        for at, patch in enumerate(chosen)
        if inside[number, at] or outside[number, at]
    ]
    shares = [patch.class_shares for patch in patches if patch.split == "train"]
    pixels = np.rint(np.sum(shares, axis=0) * patch_set.record.size**2).astype(int).tolist()
    return PatchSet(
        patch_set.folder, replace(patch_set.record, class_pixels=tuple(pixels)), patches
    )


def _deal_blocks(
    boxes: Boxes, frames: NDArray[np.int64], size: int, folds: int, seed: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(folds, n) whether a window lies inside a fold, and whether outside of it."""
    block = default_block(boxes, frames, size) if len(boxes) else size
    touched, blocks = touched_blocks(boxes, frames, block) if len(boxes) else (None, 0)
    if touched is None or blocks < folds:
        raise TrainingError(
            f"--folds {folds}: the patches lie in {blocks} block(s) of {block} px; use fewer folds"
        )
    rng = np.random.default_rng(seed)
    deals = [rng.permutation(np.arange(blocks) % folds)[touched] for _ in range(BLOCK_DEALS)]
    numbers = np.arange(folds)[:, None, None]
    alone = [(deal == numbers).all(axis=2) for deal in deals]
    best = int(np.argmax([each.sum(axis=1).min() for each in alone]))
    if not alone[best].any(axis=1).all():
        raise TrainingError(
            f"--folds {folds}: no patch lies within one of the {blocks} blocks of {block} px that "
            f"a fold gets; use fewer folds, or tile with a smaller --stride"
        )
    return alone[best], (deals[best] != numbers).all(axis=2)


@dataclass(frozen=True)
class FoldsReport:
    """Results of the trainings of all folds."""

    runs: tuple[TrainReport, ...]
    """Reports, one per fold."""

    mean: dict[str, float]
    deviation: dict[str, float]
    """Means and standard deviations over folds of the best epochs' metrics, by name; the latter
    are empty for a single fold."""

    @property
    def interrupted(self) -> bool:
        """Whether the user stopped the last one."""
        return self.runs[-1].interrupted


def train_folds(
    patches: Path,
    run: Path,
    *,
    folds: int,
    options: TrainOptions,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    warn: Callable[[str], None] = lambda _: None,
) -> FoldsReport:
    """Train a network for every fold of a patch set, each in its own folder.

    Args:
        patches: Folder of the patch set.
        run: Folder to write: ``fold1``, ``fold2``... and ``folds.csv``.
        folds: Number of folds.
        options: Options of every training; ``max_time`` applies to each.
        resume: As in `train`, like the following.
        overwrite: As in `train`.
        quiet: As in `train`.
        warn: As in `train`, with the name of the fold in front.

    Raises:
        TrainingError: If the options do not fit each other or the patches.
        PatchSetError: If the patch set is damaged.
        OutputExistsError: If ``run`` exists and is neither resumed nor replaced.
    """
    parts = check_folds(
        patches, run, options=options, folds=folds, resume=resume, overwrite=overwrite
    )
    options = resolve(options)
    with locked_once(run):
        if not resume:
            record = run_record(PatchSet.open(patches), options, 0) | {"folds": folds}
            start_folder(run, record, overwrite=overwrite)
        reports: list[TrainReport] = []
        for number, part in enumerate(parts):
            own = run / f"fold{number + 1}"
            seeded = replace(options, seed=options.seed + number)
            told: dict[str, Any] = {"quiet": quiet, "warn": partial(_warn_of, own.name, warn)}
            begun = (own / RUN).is_file()
            reports.append(train(part, own, options=seeded, resume=begun, **told))
            if reports[-1].interrupted:
                break
        return _summarise(run, reports)


def _warn_of(fold: str, warn: Callable[[str], None], warning: str) -> None:
    warn(f"{fold}: {warning}")


def check_folds(
    patches: Path,
    run: Path | None,
    *,
    options: TrainOptions,
    folds: int,
    resume: bool = False,
    overwrite: bool = False,
) -> list[PatchSet]:
    """Check that `train_folds` can begin; nothing is written, and without a run none is checked.

    Returns:
        The patches of each fold.
    """
    if options.devices > 1:
        raise TrainingError("--folds trains one model after the other: leave --devices out")
    patch_set = PatchSet.open(patches)
    parts = [fold(patch_set, number, folds, seed=options.seed) for number in range(folds)]
    if run is not None and resume:
        check_resumable(run, resolve(options), patch_set, folds=folds)
    elif run is not None:
        refuse_existing(run, overwrite=overwrite, kind=TRAINING)
    prepare(parts[0], None, options=options)
    return parts


def _summarise(run: Path, reports: Sequence[TrainReport]) -> FoldsReport:
    """Mean and deviation over folds; writes ``folds.csv``."""
    names = [name for name in reports[0].best if name.startswith(("val_", "iou_"))]
    columns: dict[str, list[float]] = {name: [] for name in names}
    rows: list[dict[str, Any]] = []
    for number, report in enumerate(reports, start=1):
        metrics = {name: report.best.get(name, "") for name in ("epoch", *names)}
        rows.append({"fold": number} | metrics)
        for name in names:  # a class may be absent from a fold
            if isinstance(metrics[name], float) and math.isfinite(metrics[name]):
                columns[name].append(metrics[name])
    mean = {name: statistics.fmean(values) for name, values in columns.items() if values}
    deviation = {n: statistics.stdev(values) for n, values in columns.items() if len(values) > 1}
    rows += [{"fold": "mean"} | mean, {"fold": "deviation"} | deviation]
    write_table(run / "folds.csv", rows)
    return FoldsReport(tuple(reports), mean, deviation)
