"""How orthophotos are predicted."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from geoseg.core.lattice import Taper
from geoseg.errors import InputError
from geoseg.io.raster import ReadOptions
from geoseg.model.bundle import ModelBundle

Bounds = tuple[float, float, float, float]
"""``(x_min, y_min, x_max, y_max)`` in units of the orthophoto's CRS."""

DEFAULT_SIZE = 512
"""Side of a window in pixels, unless the model was trained on larger patches."""

DEFAULT_OVERLAP = 8
"""Windows overlap by an eighth of their side unless the user says otherwise."""

MULTIPLE = 32
"""Sides that every network can take are multiples of this."""


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """How an orthophoto is predicted."""

    patch_size: int | None = None
    """Side of a window as the network sees it, in pixels; None: what suits."""

    stride: int | None = None
    """Step between windows, in pixels; None: as the overlap says."""

    overlap: int | None = None
    """Pixels that windows share, if no stride is given; None: an eighth of a window."""

    taper: Taper = "hann"
    """How windows fade into each other."""

    batch_size: int | None = None
    """Windows that are scored at a time; None: as the runtime likes it."""

    resample: bool = False
    """Whether windows are resampled to the model's GSD, and scores back."""

    read: ReadOptions = field(default_factory=ReadOptions)
    """How the orthophoto is read."""

    aoi: Path | None = None
    """Polygons outside of which the map has no data; it ends where they end."""

    bounds: Bounds | None = None
    """Part of the orthophoto that is mapped."""

    part: tuple[int, int] | None = None
    """``(i, n)``: only the i-th of n parts of the map, from 1."""

    memory: int | None = None
    """Bytes that blending and reading may take; None: as the machine has."""

    on_error: Literal["stop", "nodata"] = "stop"
    """What becomes of blocks that cannot be read."""

    resume: bool = False
    """Whether an interrupted prediction goes on, and a finished one is left alone."""

    def size(self, bundle: ModelBundle, longest: int) -> int:
        """Side of a window as the network sees it, in pixels.

        Args:
            bundle: The model.
            longest: Longer side of the orthophoto as the network sees it, in pixels; a
                window that is much larger would be computed for nothing.
        """
        if self.patch_size:
            return self.patch_size
        enough = -(-longest // MULTIPLE) * MULTIPLE
        return max(bundle.patch_size, min(DEFAULT_SIZE, enough))

    def step(self, size: int) -> int:
        """Step between windows as the network sees them, in pixels.

        Args:
            size: Side of such a window, in pixels.

        Raises:
            InputError: If it would be nothing, or leave gaps.
        """
        overlap = size // DEFAULT_OVERLAP if self.overlap is None else self.overlap
        stride = size - overlap if self.stride is None else self.stride
        if not 1 <= stride <= size:
            raise InputError(f"windows of {size} px cannot lie {stride} px apart")
        return stride
