"""What predicting an orthophoto takes: where its windows lie, and in which order they come."""

from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

import psutil

from geoseg.chains.options import Bounds, PredictOptions
from geoseg.core.lattice import Lattice
from geoseg.core.window import Window
from geoseg.errors import BundleError, EmptyError, InputError
from geoseg.io.raster import RasterReader
from geoseg.io.vector import Area
from geoseg.io.writer import BLOCK
from geoseg.model.bundle import ModelBundle

MOST_MEMORY = 2_000_000_000
"""Bytes that are taken at most unless the user allows more."""

PIECES = 3
"""Pieces of a band that are in memory at a time, at most."""

WAITING = 5
"""Batches that are in memory at a time, read or scored, besides those in the network."""

MOST_RESAMPLED = 8
"""GSD of an orthophoto and a model differ by less than this factor."""

NARROWEST = 4
"""Windows beside each other in a band, at least: its neighbours compute one of them again."""


class Load(NamedTuple):
    """What a runtime works on at a time."""

    batch_size: int = 1
    """Windows per call."""

    streams: int = 1
    """Calls."""

    @property
    def windows(self) -> int:
        """Windows that are in memory at a time, read or scored."""
        return self.batch_size * (self.streams + WAITING)


@dataclass(frozen=True)
class PredictPlan:
    """Where the windows of a prediction lie."""

    lattice: Lattice
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

    @property
    def bands(self) -> list[Window]:
        """The column bands, left to right."""
        return column_bands(self.region, self.band_width)

    @property
    def windows(self) -> int:
        """Windows that are needed, those that bands share counted in each."""
        return sum(self.lattice.window_count(band) for band in self.bands)

    @property
    def most_at_a_time(self) -> int:
        """Windows of the map, all parts together: more in a batch would be waste."""
        return self.lattice.window_count(self.whole)

    @property
    def pixels(self) -> int:
        """Of the map, or of the part of it."""
        return self.region.height * self.region.width

    @property
    def summary(self) -> dict[str, int]:
        """For programs."""
        return {
            "windows": self.windows,
            "size": self.lattice.size,
            "stride": self.lattice.stride,
            "bands": len(self.bands),
            "pixels": self.pixels,
            "memory": self.memory,
        }


def column_bands(region: Window, width: int) -> list[Window]:
    """Divide a region into bands of columns."""
    return [
        Window(
            row_off=region.row_off,
            col_off=col_off,
            height=region.height,
            width=min(width, region.col_stop - col_off),
        )
        for col_off in range(region.col_off, region.col_stop, width)
    ]


def make_plan(
    ortho: RasterReader,
    bundle: ModelBundle,
    options: PredictOptions,
    *,
    area: Area | None = None,
    layer_bytes: int = 1,
    load: Load | None = None,
) -> PredictPlan:
    """Plan a prediction.

    Args:
        ortho: The orthophoto.
        bundle: The model.
        options: What is wanted.
        area: The AOI.
        layer_bytes: Bytes of all outputs per pixel.
        load: What the runtime works on at a time; None: one batch.

    Raises:
        BundleError: If windows are to be resampled, and a GSD is unknown.
        EmptyError: If bounds and AOI leave nothing.
        InputError: If the map cannot be divided into as many parts.
    """
    scale = scale_of(ortho, bundle) if options.resample else 1.0
    grid = ortho.grid
    seen = (max(round(length / scale), 1) for length in (grid.height, grid.width))
    size = options.size(bundle, *seen)
    lattice = options.lattice(grid.height, grid.width, size, scale=scale)
    whole = _whole(ortho, options.bounds, area)
    region = _part(whole, options.part) if options.part else whole
    sums = (len(bundle.legend) + 1) * 4 * lattice.most_shared_rows
    source = (lattice.size + ortho.block_shape[0]) * ortho.bands * ortho.dtype.itemsize
    column = sums + PIECES * BLOCK * layer_bytes + source
    batch_size = options.batch_size and min(options.batch_size, lattice.window_count(whole))
    load = load or Load(batch_size or 1)
    waiting = min(load.windows, max(lattice.window_count(region), load.batch_size))
    fixed = waiting * 4 * lattice.size**2 * (ortho.bands + len(bundle.legend))
    room = (options.memory or _default_memory()) - fixed
    widest = max(room // column, NARROWEST * lattice.size) // BLOCK * BLOCK or BLOCK
    count = ceil(region.width / widest)
    width = ceil(region.width / count / BLOCK) * BLOCK if count > 1 else region.width
    return PredictPlan(
        lattice=lattice,
        network_size=size,
        whole=whole,
        region=region,
        band_width=width,
        cache=source * (width + 2 * lattice.size),
        memory=fixed + column * min(width, region.width),
        batch_size=batch_size,
    )


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
    if not 1 / MOST_RESAMPLED < scale < MOST_RESAMPLED:
        raise BundleError(
            f"{ortho.path}: GSD is {gsd:.4g} m/px, the model was trained at {bundle.gsd:.4g} m/px: "
            f"a factor of {max(scale, 1 / scale):.3g}, and --resample takes less than "
            f"{MOST_RESAMPLED}; what the model knows is not to be seen there"
        )
    return scale


def _default_memory() -> int:
    return min(psutil.virtual_memory().available // 4, MOST_MEMORY)


def _whole(ortho: RasterReader, bounds: Bounds | None, area: Area | None) -> Window:
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


def _part(whole: Window, part: tuple[int, int]) -> Window:
    """The rows of one part: whole storage blocks, as many as in the others or one less."""
    index, count = part
    blocks = ceil(whole.height / BLOCK)
    if count > blocks:
        raise InputError(
            f"--part {index}/{count}: a map of {whole.height} rows divides into {blocks} parts "
            f"at most"
        )
    first, last = (k * blocks // count * BLOCK for k in (index - 1, index))
    return Window(
        row_off=whole.row_off + first,
        col_off=whole.col_off,
        height=min(last, whole.height) - first,
        width=whole.width,
    )
