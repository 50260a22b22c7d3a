"""What a user decides about tiling: the only place of its defaults."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from geoseg.labels.reference import ReferenceOptions
from geoseg.options import CALL, aoi_option, option, seed_option, threads_option
from geoseg.patches.record import Storage
from geoseg.raster.reader import INPUT, ReadOptions

SplitRule = Literal["block", "random", "none"]
"""Spatial blocks; windows at random, which leaks; or all for training."""

WINDOWS, DIVISION = "Windows", "Splits"
"""Groups of the options."""


@dataclass(frozen=True, kw_only=True)
class TileOptions:
    """How orthophotos are cut into patches."""

    patch_size: int = option(
        256, min=1, max=100_000, group=WINDOWS, help="Side of a patch, in pixels."
    )
    stride: int | None = option(
        None,
        min=1,
        max=100_000,
        group=WINDOWS,
        shown="half a patch",
        help="Step between patches, in pixels.",
    )
    edge: Literal["shift", "pad", "drop"] = option(
        "shift",
        group=WINDOWS,
        help="Last patches end at the edge, hang over it, or are left out.",
    )
    min_valid: float = option(
        0.0, min=0, max=1, group=WINDOWS, help="Least share of pixels with data."
    )
    min_labelled: float = option(
        0.0, min=0, max=1, group=WINDOWS, help="Least share of pixels with a class."
    )
    storage: Storage = option(
        "tif", group=CALL, names=("--format",), help="Kind of patch files; index: as --index-only."
    )
    split: SplitRule = option(
        "block",
        group=DIVISION,
        help="Spatial blocks, windows at random (leaks), or all for training.",
    )
    val: float = option(0.15, min=0, max=0.9, group=DIVISION, help="Share for validation.")
    test: float = option(0.0, min=0, max=0.9, group=DIVISION, help="Share for testing.")
    split_block: int | None = option(
        None,
        min=1,
        group=DIVISION,
        shown="4 or 2 patches",
        help="Side of a spatial block, in pixels.",
    )
    seed: int = seed_option(DIVISION)
    read: ReadOptions = field(default_factory=ReadOptions)
    aoi: Path | None = aoi_option(INPUT)
    reference: ReferenceOptions = field(default_factory=ReferenceOptions)
    workers: int | None = threads_option(CALL)

    @property
    def step(self) -> int:
        """Step between patches, in pixels."""
        return self.stride or max(self.patch_size // 2, 1)
