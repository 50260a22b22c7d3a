"""Cross-validation: one training per fold, mean and deviation of their metrics."""

import csv
import io
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import TrainingError
from geoseg.patches.patch_set import PatchSet
from geoseg.patches.record import Patch
from geoseg.patches.splits import Boxes, default_block, patch_boxes, touched_blocks
from geoseg.raster.atomic import refuse_existing, write_text
from geoseg.raster.folders import TRAINING, locked_once
from geoseg.training.options import TrainOptions
from geoseg.training.run_folder import RUN, check_resumable, run_record, start_folder
from geoseg.training.start import resolve
from geoseg.training.train import TrainReport, prepare, train

BLOCK_DEALS = 100
"""Random assignments of spatial blocks to folds, of which the most even is taken."""


def fold(patch_set: PatchSet, number: int, folds: int, *, seed: int) -> PatchSet:
    """The patch set with one fold as validation split and the others as training split.

    Folds are sets of spatial blocks of similar size. Patches that touch blocks of both splits are
    left out, and so is the test split.

    Args:
        patch_set: Patch set as tiled.
        number: Fold to validate on, 0..folds-1.
        folds: Number of folds.
        seed: Seed of the assignment.

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
    record = replace(patch_set.record, class_pixels=_class_pixels(patches, patch_set.record.size))
    return PatchSet(patch_set.folder, record, patches)


def _class_pixels(patches: Sequence[Patch], size: int) -> tuple[int, ...]:
    """Pixels of each class in the training split."""
    shares = [patch.class_shares for patch in patches if patch.split == "train"]
    return tuple(np.rint(np.sum(shares, axis=0) * size**2).astype(int).tolist())


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


FOLD_FOLDER = "fold{}"
"""Name of the run folder of a fold, numbered from 1."""


@dataclass(frozen=True)
class FoldsReport:
    """Results of the trainings of all folds."""

    runs: tuple[TrainReport, ...]
    """Reports, one per fold."""

    mean: dict[str, float]
    """Means over folds of the best epochs' metrics, by name."""

    deviation: dict[str, float]
    """Standard deviations over folds; empty for a single one."""

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
        resume: Continue where earlier trainings in ``run`` ended.
        overwrite: Replace earlier trainings.
        quiet: Show no progress bars.
        warn: Receives the warnings of each, before it begins.

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
            own = run / FOLD_FOLDER.format(number + 1)
            begun = (own / RUN).is_file()
            seeded = replace(options, seed=options.seed + number)
            reports.append(
                train(
                    part,
                    own,
                    options=seeded,
                    resume=begun,
                    quiet=quiet,
                    warn=_prefixed(own.name, warn),
                )
            )
            if reports[-1].interrupted:
                break
        return _summarise(run, reports)


def _prefixed(fold: str, warn: Callable[[str], None]) -> Callable[[str], None]:
    """Warn with the name of a fold in front."""
    return lambda warning: warn(f"{fold}: {warning}")


def check_folds(
    patches: Path,
    run: Path | None,
    *,
    options: TrainOptions,
    folds: int,
    resume: bool = False,
    overwrite: bool = False,
) -> list[PatchSet]:
    """Check that a training for every fold can begin; nothing is written.

    Args:
        patches: Folder of the patch set.
        run: Folder that will be written; None: not checked.
        options: Options of every training.
        folds: Number of folds.
        resume: Whether earlier trainings are continued.
        overwrite: Whether earlier trainings are replaced.

    Returns:
        The patches of each fold.

    Raises:
        TrainingError: If the options do not fit each other or the patches.
        PatchSetError: If the patch set is damaged.
        OutputExistsError: If ``run`` exists and is neither resumed nor replaced.
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
    columns = {name: _finite(report.best.get(name) for report in reports) for name in names}
    mean = {name: statistics.fmean(values) for name, values in columns.items() if values}
    deviation = {n: statistics.stdev(values) for n, values in columns.items() if len(values) > 1}
    text = io.StringIO()
    table = csv.DictWriter(text, ["fold", "epoch", *names], lineterminator="\n")
    table.writeheader()
    for number, report in enumerate(reports, start=1):
        metrics = {name: report.best.get(name, "") for name in ("epoch", *names)}
        table.writerow({"fold": number} | metrics)
    table.writerow({"fold": "mean"} | mean)
    table.writerow({"fold": "deviation"} | deviation)
    write_text(run / "folds.csv", text.getvalue())
    return FoldsReport(tuple(reports), mean, deviation)


def _finite(values: Any) -> list[float]:
    """Finite values: a class may be absent from a fold."""
    return [each for each in values if isinstance(each, float) and math.isfinite(each)]
