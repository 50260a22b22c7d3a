"""What a user decides about tiling: the only place of its defaults."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from geoseg.labels.reference import ReferenceOptions
from geoseg.patches.record import Storage
from geoseg.raster.reader import ReadOptions
from geoseg.raster.window import Edge

SplitRule = Literal["block", "random", "none"]
"""Spatial blocks; windows at random, which leaks; or all for training."""


@dataclass(frozen=True, kw_only=True)
class TileOptions:
    """How orthophotos are cut into patches."""

    patch_size: int = 256
    """Side of a patch, in pixels."""

    stride: int | None = None
    """Step between patches, in pixels; None: half a patch."""

    edge: Edge = "shift"
    """What the last patches do at the edge."""

    min_valid: float = 0.0
    """Least share of pixels with data, 0..1; a patch without any is never kept."""

    min_labelled: float = 0.0
    """Least share of pixels with a class, 0..1; a patch without any is never kept."""

    aoi: Path | None = None
    """Polygons outside of which nothing is labelled."""

    split: SplitRule = "block"
    """How patches are divided into training, validation and test."""

    val: float = 0.15
    """Share for validation, 0..1."""

    test: float = 0.0
    """Share for testing, 0..1."""

    split_block: int | None = None
    """Side of a spatial block, in pixels; None: four patches, or two if blocks would be few."""

    seed: int = 0
    """Of the split."""

    storage: Storage = "tif"
    """How patches are kept; ``index`` keeps only their windows."""

    workers: int | None = None
    """Threads; None: one per processor."""

    read: ReadOptions = field(default_factory=ReadOptions)
    """How the orthophotos are read."""

    reference: ReferenceOptions = field(default_factory=ReferenceOptions)
    """How the references are read."""

    @property
    def step(self) -> int:
        """Step between patches, in pixels."""
        return self.stride or max(self.patch_size // 2, 1)
