"""What a patch set says of itself: values, without files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from geoseg.core.grid import Grid
from geoseg.core.legend import Legend
from geoseg.core.window import Window
from geoseg.io.raster import ReadOptions
from geoseg.io.reference import ReferenceOptions

Split = Literal["train", "val", "test"]
Storage = Literal["tif", "png", "index"]
"""How pixels are kept; ``index``: they stay in the orthophotos."""

SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class Source:
    """An orthophoto and its reference map."""

    name: str
    """Short and unique in the set."""

    ortho: Path
    """The orthophoto."""

    reference: Path
    """Raster or polygons."""

    split: Split | None = None
    """The split of all its patches, if the user has chosen it."""

    grid: Grid | None = None
    """The orthophoto's when it was tiled; None: not tiled yet."""

    content: str | None = None
    """By which the orthophoto's pixels are known; None: they are not."""


def patch_name(source: str, row_off: int, col_off: int) -> str:
    """Name of a patch's files, unique in a set.

    >>> patch_name("town", 256, 0)
    'town_r000256_c000000'
    """
    return f"{source}_r{row_off:06d}_c{col_off:06d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """A window of a source, and what is known of it."""

    source: int
    """Index into the sources."""

    window: Window
    """On the source's grid."""

    split: Split
    """Which part of the work it is for."""

    valid_share: float
    """Share of its pixels with data, 0..1."""

    class_shares: tuple[float, ...]
    """Share of each class in its pixels, 0..1; the rest is unlabelled."""


@dataclass(frozen=True, kw_only=True)
class PatchSetRecord:
    """What all patches of a set share: the content of ``patches.json``."""

    size: int
    """Side of a patch, in pixels."""

    stride: int
    """Step between patches, in pixels."""

    storage: Storage
    """How pixels are kept; ``index``: they stay in the orthophotos."""

    legend: Legend
    """The classes."""

    sources: tuple[Source, ...]
    """What the patches were cut from."""

    read: ReadOptions
    """How the orthophotos are read."""

    reference: ReferenceOptions
    """How the references are read."""

    aoi: Path | None = None
    """Ground outside these polygons is unlabelled."""

    pixels: Path | None = None
    """Another set, whose files hold the pixels; None: the set's own do, or there are none."""

    bands: int
    """Bands of a patch."""

    band_names: tuple[str, ...]
    """What the bands are."""

    dtype: str
    """numpy's name of the type of the pixels."""

    gsd: float | None
    """Metres per pixel; None without georeference."""

    statistics: Mapping[str, Any] = field(default_factory=dict)
    """Of the valid pixels of the training split, by name, a list with a figure per band."""

    class_pixels: tuple[int, ...] = ()
    """Pixels of each class in the training split, each counted once."""
