"""What predicting an orthophoto takes: where its windows lie, and in which order they come."""

from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import psutil

from geoseg.errors import BundleError, EmptyError, InputError
from geoseg.model.bundle import MAX_AUTO_SIZE_PX, SIZE_MULTIPLE_PX, ModelBundle
from geoseg.options import (
    CALL,
    aoi_option,
    option,
    parse_bounds,
    parse_count,
    parse_part,
    parse_size,
)
from geoseg.prediction.blend import Taper, WindowGrid, possible_overhang
from geoseg.raster.reader import INPUT, RasterReader, ReadOptions
from geoseg.raster.window import Window, blocks
from geoseg.raster.writer import BLOCK_PX

if TYPE_CHECKING:
    from geoseg.model.segmenter import Scene
    from geoseg.raster.polygons import AreaOfInterest

Bounds = tuple[float, float, float, float]
"""``(x_min, y_min, x_max, y_max)`` in units of the orthophoto's CRS."""

WINDOW_SIZES_PX = (512, 640, 768, 896, MAX_AUTO_SIZE_PX)
"""Sides of windows to choose from, in pixels; see docs/overlap.md."""

LARGE_WINDOW_PX = 768
"""Larger windows see hardly more and need up to twice the memory: only where they compute less."""

MAX_COST_RATIO = 1.05
"""A larger window may compute so many times as much as the cheapest: its pixels see more around."""

OVERLAP_DIVISOR = 8
"""Windows overlap by an eighth of their side unless the user says otherwise."""

MIN_WINDOW_PX = 32
"""Side of the smallest window, in pixels: encoders halve it five times."""

WINDOWS = "Windows"

OVERHANG_PX = 8
"""Pixels by which the outermost windows reach beyond the raster; see docs/overlap.md."""

OVERHANG_DIVISOR = 8
"""Small windows reach beyond by this part of their side at most."""


@dataclass(frozen=True)
class PartRows:
    """Rows of a part that is not one of equal ones."""

    first: int
    """Counted from the map's top."""

    stop: int
    """The row after the last."""

    computes: str
    """What tells how its scores are computed: the parts of a map are computed alike."""


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """How an orthophoto is predicted."""

    patch_size: int | None = option(
        None,
        min=MIN_WINDOW_PX,
        group=WINDOWS,
        shown=f"{WINDOW_SIZES_PX[0]} to {WINDOW_SIZES_PX[-1]}, what suits",
        help="Side of a window as the network sees it, in pixels.",
    )
    stride: int | None = option(
        None, min=1, group=WINDOWS, shown="7/8 of a window", help="Step between windows, at most."
    )
    overlap: int | None = option(
        None, min=0, group=WINDOWS, help="Overlap of windows, instead of --stride."
    )
    taper: Taper = option("hann", group=WINDOWS, help="How windows fade into each other.")
    batch_size: int | None = option(
        None,
        group=WINDOWS,
        metavar="N|auto",
        parse=parse_count,
        none="auto",
        help="Windows scored at a time.",
    )
    memory: int | None = option(
        None,
        group=WINDOWS,
        metavar="2GB",
        parse=parse_size,
        shown="a quarter of what is free, at most 2 GB",
        help="For reading and blending, besides the network.",
    )
    read: ReadOptions = field(default_factory=ReadOptions)
    resample: bool = option(False, group=INPUT, help="Work at the model's GSD.")
    aoi: Path | None = aoi_option(INPUT)
    aoi_layer: str | None = option(None, group=INPUT, help="Layer of the AOI, of several.")
    bounds: Bounds | None = option(
        None,
        group=INPUT,
        metavar="XMIN,YMIN,XMAX,YMAX",
        parse=parse_bounds,
        help="Map only this part, in units of the orthophoto's CRS.",
    )
    part: tuple[int, int] | None = option(
        None,
        group=INPUT,
        metavar="I/N|auto",
        parse=parse_part,
        help="Only the I-th of N parts of each map, for `geoseg mosaic --parts`; auto: as the "
        "array job says (auto/N where it does not say how many).",
    )
    part_rows: PartRows | None = None
    """Of `part`, where the parts are not equally high."""

    on_error: Literal["stop", "nodata"] = option(
        "stop",
        group=INPUT,
        help="What to do where an orthophoto cannot be read: exit code 1 it is.",
    )
    resume: bool = option(
        False, group=CALL, help="Go on with what was interrupted; skip what is done."
    )

    def size(self, bundle: ModelBundle, height: int, width: int) -> int:
        """Side of a window as the network sees it, in pixels.

        Unless the user has chosen, it is the largest of `WINDOW_SIZES_PX` up to `LARGE_WINDOW_PX`
        that computes little more than the cheapest of them all, or a larger one if none does; one
        window, if that is enough for the orthophoto; never less than a training patch, nor less
        than the stride or overlap takes. A network with sizes of its own has these instead. Sizes
        whose windows have no room to hang over the edge are taken only if there is no other.

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
        enough, largest = self._enough(max(height, width)), self._enough(MAX_AUTO_SIZE_PX)
        wanted = (*WINDOW_SIZES_PX, largest, enough)
        sizes = {max(min(size, enough, largest), bundle.patch_size) for size in wanted}
        sizes = set(bundle.sizes or sizes)
        fitting = [size for size in sizes if 1 <= self._stride(size) <= size]
        roomy = [size for size in fitting if self._hangs_over(size, height, width)]
        chosen = (roomy if not bundle.sizes else []) or fitting or [max(sizes)]
        costs = {size: self._cost(size, height, width) for size in chosen}
        good = [
            size for size, cost in costs.items() if cost <= MAX_COST_RATIO * min(costs.values())
        ]
        return max((size for size in good if size <= LARGE_WINDOW_PX), default=min(good))

    def _enough(self, length: int) -> int:
        """The smallest side of a window that holds so many pixels and hangs over."""
        sizes = range(SIZE_MULTIPLE_PX, 2 * length + 2 * SIZE_MULTIPLE_PX, SIZE_MULTIPLE_PX)
        return next(size for size in sizes if length + 2 * self.overhang(size) <= size)

    def _hangs_over(self, size: int, *lengths: int) -> bool:
        """Whether windows of a size have room to hang over on all sides, without further ones."""
        step, wanted = self.step(size), self.overhang(size)
        return all(possible_overhang(each, size, step, wanted) == wanted for each in lengths)

    def overhang(self, size: int) -> int:
        """Pixels by which the outermost windows reach beyond the raster."""
        return min(OVERHANG_PX, size // OVERHANG_DIVISOR)

    def window_grid(self, height: int, width: int, size: int, *, scale: float = 1) -> WindowGrid:
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
        return WindowGrid(height, width, side, min(step, side), self.taper, overhang)

    def _cost(self, size: int, height: int, width: int) -> int:
        """Pixels of all windows of a size."""
        window_grid = self.window_grid(height, width, size)
        return window_grid.window_count(window_grid.whole) * size**2

    def step(self, size: int) -> int:
        """Step between windows as the network sees them, in pixels.

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
        overlap = size // OVERLAP_DIVISOR if self.overlap is None else self.overlap
        return size - overlap if self.stride is None else self.stride


MAX_MEMORY_BYTES = 2_000_000_000
"""Bytes that are taken at most unless the user allows more."""

CHUNKS_IN_MEMORY = 3
"""Pieces of a band that are in memory at a time, at most."""

BATCHES_IN_MEMORY = 5
"""Batches that are in memory at a time, read or scored, besides those in the network."""

MAX_RESAMPLING_FACTOR = 8
"""GSD of an orthophoto and a model differ by less than this factor."""

MIN_BAND_WINDOWS = 4
"""Windows beside each other in a band, at least: its neighbours compute one of them again."""


class Load(NamedTuple):
    """What a runtime works on at a time."""

    batch_size: int = 1
    streams: int = 1

    @property
    def windows(self) -> int:
        """Windows that are in memory at a time, read or scored."""
        return self.batch_size * (self.streams + BATCHES_IN_MEMORY)


@dataclass(frozen=True)
class PredictPlan:
    """Where the windows of a prediction lie."""

    window_grid: WindowGrid
    """The windows on the orthophoto's own pixels."""

    network_size: int
    """Side of a window as the network sees it, in pixels."""

    whole: Window
    """The map, on the orthophoto's pixels."""

    region: Window
    """What of the map is predicted: all, or one part of several."""

    band_width: int
    """Columns that are predicted at a time."""

    cache: int
    """Bytes of decoded blocks that reading needs to decode each about once."""

    memory: int
    """Bytes needed for reading and blending, besides the network's own."""

    batch_size: int | None = None
    """Windows that are scored at a time, never more than there are; None: as the runtime
    likes it."""

    scene: "Scene" = field(default_factory=dict)
    """How far the bands lie from those in training, as far as both are known."""

    @property
    def bands(self) -> list[Window]:
        """The column bands, left to right."""
        return column_bands(self.region, self.band_width)

    @property
    def windows(self) -> int:
        """Windows that are needed, those that bands share counted in each."""
        return sum(self.window_grid.window_count(band) for band in self.bands)

    @property
    def most_at_a_time(self) -> int:
        """Windows of the map, all parts together: more in a batch would be waste."""
        return self.window_grid.window_count(self.whole)

    @property
    def pixels(self) -> int:
        """Of the map, or of the part of it."""
        return self.region.height * self.region.width

    @property
    def summary(self) -> dict[str, int]:
        """For programs."""
        return {
            "windows": self.windows,
            "size": self.window_grid.size,
            "stride": self.window_grid.stride,
            "bands": len(self.bands),
            "pixels": self.pixels,
            "memory": self.memory,
        }


def column_bands(region: Window, width: int) -> list[Window]:
    """Divide a region into bands of columns."""
    bands = blocks(region.height, region.width, rows=region.height, cols=width)
    return [band.moved(region.row_off, region.col_off) for band in bands]


def make_plan(
    ortho: RasterReader,
    bundle: ModelBundle,
    options: PredictOptions,
    *,
    area: "AreaOfInterest | None" = None,
    layer_bytes: int = 1,
    score_bands: int | None = None,
    load: Load | None = None,
) -> PredictPlan:
    """Plan a prediction.

    Args:
        ortho: The orthophoto.
        bundle: The model.
        options: What is wanted.
        area: The AOI.
        layer_bytes: Bytes of all outputs per pixel.
        score_bands: Of the scores; None: the classes.
        load: What the runtime works on at a time; None: one batch.

    Raises:
        BundleError: If windows are to be resampled, and a GSD is unknown.
        EmptyError: If bounds and AOI leave nothing.
        InputError: If the map cannot be divided into as many parts.
    """
    grid = ortho.grid
    scale, size = scale_and_size(ortho, bundle, options)
    window_grid = options.window_grid(grid.height, grid.width, size, scale=scale)
    whole = _whole(ortho, options.bounds, area)
    region = _part(whole, options.part, options.part_rows) if options.part else whole
    score_bands = score_bands or len(bundle.legend)
    sums = (score_bands + 1) * 4 * window_grid.most_shared_rows
    source = (window_grid.size + ortho.block_shape[0]) * ortho.bands * ortho.dtype.itemsize
    column = sums + CHUNKS_IN_MEMORY * BLOCK_PX * layer_bytes + source
    batch_size = options.batch_size and min(options.batch_size, window_grid.window_count(whole))
    load = load or Load(batch_size or 1)
    waiting = min(load.windows, max(window_grid.window_count(region), load.batch_size))
    fixed = waiting * 4 * window_grid.size**2 * (ortho.bands + score_bands)
    room = (options.memory or _default_memory()) - fixed
    widest = (
        max(room // column, MIN_BAND_WINDOWS * window_grid.size) // BLOCK_PX * BLOCK_PX or BLOCK_PX
    )
    count = ceil(region.width / widest)
    width = ceil(region.width / count / BLOCK_PX) * BLOCK_PX if count > 1 else region.width
    return PredictPlan(
        window_grid=window_grid,
        network_size=size,
        whole=whole,
        region=region,
        band_width=width,
        cache=source * (width + 2 * window_grid.size),
        memory=fixed + column * min(width, region.width),
        batch_size=batch_size,
    )


def scale_and_size(
    ortho: RasterReader, bundle: ModelBundle, options: PredictOptions
) -> tuple[float, int]:
    """Pixels of the orthophoto in one of the network's, and side of the network's windows.

    Raises:
        BundleError: As `make_plan`.
    """
    scale = scale_of(ortho, bundle) if options.resample else 1.0
    seen = (max(round(length / scale), 1) for length in (ortho.grid.height, ortho.grid.width))
    return scale, options.size(bundle, *seen)


def scale_of(ortho: RasterReader, bundle: ModelBundle) -> float:
    """Pixels of the orthophoto in a pixel of the model's.

    Raises:
        BundleError: If a GSD is unknown, or they are too far apart.
    """
    gsd = ortho.grid.gsd
    if not gsd or not bundle.gsd:
        which = "the orthophoto" if not gsd else "the model"
        raise BundleError(f"{ortho.path}: --resample needs a GSD, and {which} has none")
    scale = bundle.gsd / gsd
    if not 1 / MAX_RESAMPLING_FACTOR < scale < MAX_RESAMPLING_FACTOR:
        raise BundleError(
            f"{ortho.path}: GSD is {gsd:.4g} m/px, the model was trained at {bundle.gsd:.4g} m/px: "
            f"a factor of {max(scale, 1 / scale):.3g}, and --resample takes less than "
            f"{MAX_RESAMPLING_FACTOR}; what the model knows is not to be seen there"
        )
    return scale


def _default_memory() -> int:
    return min(psutil.virtual_memory().available // 4, MAX_MEMORY_BYTES)


def _whole(ortho: RasterReader, bounds: Bounds | None, area: "AreaOfInterest | None") -> Window:
    """The map on the orthophoto's pixels."""
    whole: Window | None = ortho.grid.window
    if bounds is not None and whole is not None:
        whole = whole.intersection(ortho.grid.window_around(bounds))
        if whole is None:
            raise EmptyError(f"{ortho.path}: --bounds lie outside; they are {ortho.grid.bounds}")
    if area is not None and whole is not None:
        whole = whole.intersection(area.window)
        if whole is None:
            raise EmptyError(f"{ortho.path}: --bounds and --aoi have nothing in common")
    if whole is None:
        raise ValueError("an orthophoto has pixels")
    return whole


def _part(whole: Window, part: tuple[int, int], rows: PartRows | None) -> Window:
    """The rows of one part: whole storage blocks, as many as in the others or one less."""
    index, count = part
    if rows is not None:
        return replace(whole, row_off=whole.row_off + rows.first, height=rows.stop - rows.first)
    blocks = ceil(whole.height / BLOCK_PX)
    if count > blocks:
        raise InputError(
            f"--part {index}/{count}: a map of {whole.height} rows divides into {blocks} parts "
            f"at most"
        )
    first, last = (k * blocks // count * BLOCK_PX for k in (index - 1, index))
    return Window(
        row_off=whole.row_off + first,
        col_off=whole.col_off,
        height=min(last, whole.height) - first,
        width=whole.width,
    )
