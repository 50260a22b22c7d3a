"""Give every surveyed window its split."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from geoseg.core.blocks import default_block
from geoseg.core.grid import Grid, no_way
from geoseg.errors import EmptyError
from geoseg.io.patch_record import SPLITS, Source, Split
from geoseg.tiling.options import TileOptions
from geoseg.tiling.source import Kind
from geoseg.tiling.splits import (
    DROPPED,
    Ground,
    boxes_in_frame,
    shared_share,
    split_at_random,
    split_by_blocks,
)
from geoseg.tiling.survey import Survey

Fate = Literal["blank", "outside"] | None
"""No polygon of the reference lies on an orthophoto, or it lies outside of the areas that count."""


@dataclass(frozen=True)
class SurveyedSource:
    """A source after the survey, without the windows that were too empty."""

    source: Source
    """The files."""

    grid: Grid
    """The orthophoto's."""

    survey: Survey
    """Its windows."""

    totals: NDArray[np.float64]
    """(1 + classes,) how many windows' ground has data, and each class, of all windows."""

    kind: Kind
    """Bands and type of the orthophoto."""

    fate: Fate = None
    """Why nothing but background is labelled, if that is known."""


@dataclass
class Division:
    """Splits of all windows."""

    splits: list[list[Split | None]]
    """Of each window of each source; None where it is dropped."""

    block: int | None = None
    """Side of a spatial block, in pixels."""

    warnings: list[str] = field(default_factory=list)
    """What the user should know."""

    @property
    def dropped(self) -> int:
        """Windows on the border between splits."""
        return sum(split is None for splits in self.splits for split in splits)


def divide(surveyed: Sequence[SurveyedSource], options: TileOptions) -> Division:
    """Give every window its split: the one chosen for its source, or as the options say.

    Raises:
        EmptyError: If the ground is too small to be divided, or nothing is left to train on.
    """
    division = Division([])
    free = [each for each in surveyed if each.source.split is None]
    assigned = iter(_divide_freely(free, options, division) if free else [])
    for each in surveyed:
        count = len(each.survey.windows)
        if each.source.split is not None:
            division.splits.append([each.source.split] * count)
        else:
            numbers = [next(assigned) for _ in range(count)]
            division.splits.append([SPLITS[n] if n != DROPPED else None for n in numbers])
    if not any(split == "train" for splits in division.splits for split in splits):
        raise EmptyError(
            "no training patch is left; use smaller --val and --test or a smaller --split-block"
        )
    return division


def _divide_freely(
    surveyed: Sequence[SurveyedSource], options: TileOptions, division: Division
) -> list[int]:
    ground = _ground(surveyed)
    shares = (options.val, options.test)
    if options.split == "none" or not any(shares):
        return [0] * len(ground.boxes)
    if options.split == "random":
        splits = split_at_random(len(ground.boxes), shares, options.seed)
        leak = shared_share(ground.boxes, ground.frames, splits)
        division.warnings.append(
            f"--split random: {leak:.0%} of the validation and test ground is training "
            f"ground as well, so their figures will flatter; --split block keeps them apart"
        )
        return list(splits)
    division.block = options.split_block or default_block(
        ground.boxes, ground.frames, options.patch_size
    )
    return list(split_by_blocks(ground, block=division.block, shares=shares, seed=options.seed))


def _ground(surveyed: Sequence[SurveyedSource]) -> Ground:
    """All windows in the frame of the first raster; what has no place in it is its own."""
    frame = next((each.grid for each in surveyed if each.grid.crs), None)
    boxes, frames = [], []
    for number, each in enumerate(surveyed):
        if windows := each.survey.windows:
            apart = frame is None or not each.grid.crs or no_way(each.grid.crs, frame.crs)
            common = None if apart else frame
            boxes.append(boxes_in_frame(windows, each.grid, common or each.grid))
            frames.append(np.full(len(windows), -1 if common else number))
    classes = np.concatenate([each.survey.classes for each in surveyed])
    return Ground(np.concatenate(boxes), np.concatenate(frames), classes)
