"""How orthophotos are predicted."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from geoseg.core.lattice import Lattice, Taper, fitting_overhang
from geoseg.errors import InputError
from geoseg.io.raster import ReadOptions
from geoseg.model.bundle import LARGEST, MULTIPLE, ModelBundle

Bounds = tuple[float, float, float, float]
"""``(x_min, y_min, x_max, y_max)`` in units of the orthophoto's CRS."""

SIZES = (512, 640, 768, 896, LARGEST)
"""Sides of windows to choose from, in pixels; see docs/overlap.md."""

LARGE = 768
"""Larger windows see hardly more and need up to twice the memory: only where they compute less."""

SPARE = 1.05
"""A larger window may compute so many times as much as the cheapest: its pixels see more around."""

DEFAULT_OVERLAP = 8
"""Windows overlap by an eighth of their side unless the user says otherwise."""

OVERHANG = 8
"""Pixels by which the outermost windows reach beyond the raster; see docs/overlap.md."""

OVERHANG_PART = 8
"""Small windows reach beyond by this part of their side at most."""


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

    aoi_layer: str | None = None
    """Which layer of that file; None: its only one."""

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

    def size(self, bundle: ModelBundle, height: int, width: int) -> int:
        """Side of a window as the network sees it, in pixels.

        Unless the user has chosen, it is the largest of `SIZES` up to `LARGE` that computes
        little more than the cheapest of them all does, or a larger one if none does; one
        window, if that is enough for the orthophoto; never less than a training patch, nor
        than the stride or overlap takes. A network that does not take any size has its own
        instead of `SIZES`. Of `SIZES` those whose windows have no room to hang over the edge are
        taken only if there is no other.

        Args:
            bundle: The model.
            height: Rows of the orthophoto as the network sees it, in pixels.
            width: Columns.

        Raises:
            BundleError: If the network does not take windows of the size that the user has chosen.
        """
        if self.patch_size:
            bundle.check_size(self.patch_size)
            return self.patch_size
        enough, largest = self._enough(max(height, width)), self._enough(LARGEST)
        wanted = (*SIZES, largest, enough)
        sizes = {max(min(size, enough, largest), bundle.patch_size) for size in wanted}
        sizes = set(bundle.sizes or sizes)
        fitting = [size for size in sizes if 1 <= self._stride(size) <= size]
        roomy = [size for size in fitting if self._hangs_over(size, height, width)]
        chosen = (roomy if not bundle.sizes else []) or fitting or [max(sizes)]
        costs = {size: self._cost(size, height, width) for size in chosen}
        good = [size for size, cost in costs.items() if cost <= SPARE * min(costs.values())]
        return max((size for size in good if size <= LARGE), default=min(good))

    def _enough(self, length: int) -> int:
        """The smallest side of a window that holds so many pixels and hangs over."""
        sizes = range(MULTIPLE, 2 * length + 2 * MULTIPLE, MULTIPLE)
        return next(size for size in sizes if length + 2 * self.overhang(size) <= size)

    def _hangs_over(self, size: int, *lengths: int) -> bool:
        """Whether windows of a size have room to hang over on all sides, without further ones."""
        step, wanted = self.step(size), self.overhang(size)
        return all(fitting_overhang(each, size, step, wanted) == wanted for each in lengths)

    def overhang(self, size: int) -> int:
        """Pixels by which the outermost windows reach beyond the raster.

        Args:
            size: Side of a window, in pixels.
        """
        return min(OVERHANG, size // OVERHANG_PART)

    def lattice(self, height: int, width: int, size: int, *, scale: float = 1) -> Lattice:
        """The windows of an orthophoto.

        Args:
            height: Its rows.
            width: Its columns.
            size: Side of a window as the network sees it, in pixels.
            scale: Pixels of the orthophoto in one of those.

        Raises:
            InputError: If windows would leave gaps.
        """
        side, step = (max(round(n * scale), 1) for n in (size, self.step(size)))
        overhang = round(self.overhang(size) * scale)
        return Lattice(height, width, side, min(step, side), self.taper, overhang)

    def _cost(self, size: int, height: int, width: int) -> int:
        """Pixels of all windows of a size."""
        lattice = self.lattice(height, width, size)
        return lattice.window_count(lattice.whole) * size**2

    def step(self, size: int) -> int:
        """Step between windows as the network sees them, in pixels.

        Args:
            size: Side of such a window, in pixels.

        Raises:
            InputError: If it would be nothing, or leave gaps.
        """
        stride = self._stride(size)
        if not 1 <= stride <= size:
            wanted = f"--overlap {self.overlap}" if self.stride is None else f"--stride {stride}"
            bound = f"1..{size}" if self.stride is not None else f"0..{size - 1}"
            raise InputError(
                f"{wanted}: windows are of {size} px here, so it must be in {bound}; larger "
                f"windows are to be had with --patch-size"
            )
        return stride

    def _stride(self, size: int) -> int:
        """What the user says, or what suits; it may be impossible."""
        overlap = size // DEFAULT_OVERLAP if self.overlap is None else self.overlap
        return size - overlap if self.stride is None else self.stride
