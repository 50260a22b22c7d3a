"""The patches of a set as columns: a hundred thousand take a few megabytes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self, overload

import numpy as np
from numpy.typing import NDArray

from geoseg.labels.legend import Legend
from geoseg.labels.reference import REFERENCE, ReferenceOptions
from geoseg.options import CALL, aoi_option, option, seed_option, threads_option
from geoseg.raster.grid import Grid, Length
from geoseg.raster.reader import INPUT, ReadOptions
from geoseg.raster.threads import core_count
from geoseg.raster.window import Window
from geoseg.text import quoted_list

Split = Literal["train", "val", "test"]

Storage = Literal["tif", "png", "index"]
"""How pixels are kept; ``index``: they stay in the orthophotos."""

SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class Source:
    """An orthophoto and its reference: a raster or polygons."""

    name: str
    """Short and unique in the set."""

    ortho: Path
    reference: Path

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
    """A window of a source (given by its index), and what is known of it."""

    source: int
    window: Window
    split: Split

    valid_share: float
    """Share of its pixels with data, 0..1."""

    class_shares: tuple[float, ...]
    """Share of each class in its pixels, 0..1; the rest is unlabelled."""


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
    corrections: Path | None = option(
        None,
        group=REFERENCE,
        metavar="FILE",
        help="Polygons that override the reference; in boxes of the same file, if it has a layer "
        "`boxes`, they are all there is, as with --labelled-areas.",
    )
    ignore_border: Length | None = option(
        None,
        group=REFERENCE,
        metavar="0.5m|2px",
        parse=Length.parse,
        help="Pixels this near to a border between classes, or to the edge of a polygon, are "
        "unlabelled: for references whose borders are not exact.",
    )
    workers: int | None = threads_option(CALL)

    @property
    def step(self) -> int:
        """Step between patches, in pixels."""
        return self.stride or max(self.patch_size // 2, 1)

    @property
    def threads(self) -> int:
        """How many threads read and write."""
        return self.workers or core_count()


@dataclass(frozen=True, kw_only=True)
class PatchSetRecord:
    """What all patches of a set share, sizes in pixels: the content of ``patches.json``."""

    size: int
    stride: int

    storage: Storage
    """How pixels are kept; ``index``: they stay in the orthophotos."""

    legend: Legend
    sources: tuple[Source, ...]
    read: ReadOptions
    reference: ReferenceOptions

    aoi: Path | None = None
    """Ground outside these polygons is unlabelled."""

    corrections: Path | None = None
    """Polygons that override the reference."""

    ignore_border: Length | None = None
    """Pixels this near to a border are unlabelled."""

    pixels: Path | None = None
    """Another set, whose files hold the pixels; None: the set's own do, or there are none."""

    bands: int
    band_names: tuple[str, ...]
    dtype: str

    gsd: float | None
    """Metres per pixel; None without georeference."""

    statistics: Mapping[str, Any] = field(default_factory=dict)
    """Of the valid pixels of the training split, by name, a list with a figure per band."""

    class_pixels: tuple[int, ...] = ()
    """Pixels of each class in the training split, each counted once."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PatchTable(Sequence[Patch]):
    """Patches of one size in pixels, each made when asked for; parts of the table are tables."""

    size: int

    source: NDArray[np.int32]
    """(n,) index into the sources."""

    row_off: NDArray[np.int32]
    """(n,) row of the top edge, on the source's grid."""

    col_off: NDArray[np.int32]
    """(n,) column of the left edge."""

    split: NDArray[np.int8]
    """(n,) index into `SPLITS`."""

    valid_share: NDArray[np.float64]
    """(n,) share of pixels with data, 0..1."""

    class_shares: NDArray[np.float64]
    """(n, classes) share of each class in the pixels, 0..1; the rest is unlabelled."""

    @classmethod
    def of(cls, patches: Iterable[Patch], *, size: int) -> Self:
        """The same patches as columns."""
        if isinstance(patches, cls):
            return patches
        rows = list(patches)
        windows = [patch.window for patch in rows]
        return cls(
            size=size,
            source=np.array([patch.source for patch in rows], np.int32),
            row_off=np.array([window.row_off for window in windows], np.int32),
            col_off=np.array([window.col_off for window in windows], np.int32),
            split=np.array([SPLITS.index(patch.split) for patch in rows], np.int8),
            valid_share=np.array([patch.valid_share for patch in rows], float),
            class_shares=np.array([patch.class_shares for patch in rows], float, ndmin=2),
        )

    @classmethod
    def joined(cls, tables: "Sequence[PatchTable]") -> Self:
        """The patches of several tables, one behind the other."""
        columns = {
            name: np.concatenate([getattr(table, name) for table in tables])
            for name in ("source", "row_off", "col_off", "split", "valid_share", "class_shares")
        }
        return cls(size=tables[0].size, **columns)

    def __len__(self) -> int:
        return len(self.source)

    @overload
    def __getitem__(self, wanted: int) -> Patch: ...

    @overload
    def __getitem__(self, wanted: slice | NDArray[Any]) -> Self: ...

    def __getitem__(self, wanted: int | slice | NDArray[Any]) -> Patch | Self:
        if isinstance(wanted, slice | np.ndarray):
            return self._part(wanted)
        row_off, col_off = int(self.row_off[wanted]), int(self.col_off[wanted])
        return Patch(
            source=int(self.source[wanted]),
            window=Window(row_off=row_off, col_off=col_off, height=self.size, width=self.size),
            split=SPLITS[self.split[wanted]],
            valid_share=float(self.valid_share[wanted]),
            class_shares=tuple(self.class_shares[wanted].tolist()),
        )

    def __eq__(self, other: object) -> bool:
        """The same patches in the same order, whatever holds them."""
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(map(Patch.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]

    def in_split(self, split: Split) -> Self:
        """The patches of a split, in order."""
        return self._part(self.split == SPLITS.index(split))

    def of_source(self, number: int) -> Self:
        """The same patches, all of one source."""
        return replace(self, source=np.full_like(self.source, number))

    def _part(self, wanted: slice | NDArray[Any]) -> Self:
        return type(self)(
            size=self.size,
            source=self.source[wanted],
            row_off=self.row_off[wanted],
            col_off=self.col_off[wanted],
            split=self.split[wanted],
            valid_share=self.valid_share[wanted],
            class_shares=self.class_shares[wanted],
        )


LOW_SHARE = 0.05
"""Of ground: if less than this share is labelled, or covered by polygons, that is said."""

TITLES: Mapping[Split, str] = {"train": "training", "val": "validation", "test": "test"}
"""Splits, as people call them."""

UNLABELLED = "(unlabelled)"

DECIMALS = 9
"""Of a share: beyond is what sums of shares are off."""


@dataclass(frozen=True)
class ClassShares:
    """Shares of the ground with data in the patches of each split; with unlabelled they are 1."""

    names: Sequence[str]

    splits: Mapping[Split, Mapping[str, float]]
    """Of each split that has patches: each class's share, and that of unlabelled ground."""

    @classmethod
    def of(cls, patches: PatchTable, legend: Legend) -> Self:
        """Of the patches of a set; ground that several of them share counts in each."""
        splits: dict[Split, Mapping[str, float]] = {}
        for split in SPLITS:
            own = patches.in_split(split)
            if ground := float(own.valid_share.sum()):
                shares = (own.class_shares.sum(axis=0) / ground).tolist()
                rest = max(round(1 - sum(shares), DECIMALS), 0.0)
                splits[split] = dict(zip(legend.names, shares, strict=True)) | {UNLABELLED: rest}
        return cls(legend.names, splits)

    @property
    def labelled(self) -> float:
        """The largest share of labelled ground that a split has."""
        return max((1 - shares[UNLABELLED] for shares in self.splits.values()), default=0.0)

    def to_html(self) -> str:
        """The table, for notebooks."""
        from geoseg.labels.style import card

        return card("Shares of the classes", rows=self.rows())

    def rows(self) -> list[dict[str, str]]:
        """A row of a table for each class and for unlabelled ground, shares in %."""
        return [
            {"class": name, **{split: _percent(own[name]) for split, own in self.splits.items()}}
            for name in (*self.names, UNLABELLED)
        ]

    def warnings(self, counted: Sequence[str] | None = None) -> list[str]:
        """What spoils a training or its figures.

        Args:
            counted: Classes that are to be learnt; None: all.
        """
        wanted = list(self.names if counted is None else counted)
        missing = {
            split: [name for name in wanted if not own[name]] for split, own in self.splits.items()
        }
        nowhere = [name for name in wanted if all(name in each for each in missing.values())]
        found = [f"no pixel of {quoted_list(nowhere)} in any split"] if nowhere else []
        for split, absent in missing.items():
            present = [name for name in wanted if name not in absent]
            only_here = [name for name in absent if name not in nowhere]
            if len(present) == 1 < len(wanted):
                found.append(
                    f"the {TITLES[split]} split holds one class only, {present[0]!r}: there is "
                    f"nothing to tell apart, and its figures say nothing"
                )
            elif only_here:
                them = "it" if len(only_here) == 1 else "them"
                fate = f"the model will not know {them}"
                if split != "train":
                    fate = f"its figures leave {them} out"
                found.append(
                    f"no pixel of {quoted_list(only_here)} in the {TITLES[split]} split: {fate}"
                )
        return found

    def to_dict(self) -> dict[str, Any]:
        """For JSON, by split and class."""
        return {split: dict(own) for split, own in self.splits.items()}


def warn_of_few_labels(share: float) -> list[str]:
    """What is to be said if little of the ground with data is labelled.

    >>> warn_of_few_labels(0.031)
    ['labels cover 3.1% of the ground']
    """
    return [f"labels cover {_percent(share)} of the ground"] if share < LOW_SHARE else []


def hint_at_few_polygons(share: float, background: str) -> list[str]:
    """What is to be said if polygons cover a small share of the ground, the rest is background."""
    if share >= LOW_SHARE:
        return []
    told = f"polygons cover {_percent(share)} of the ground, and all the rest is {background!r}"
    return [
        f"{told}; if they mark only some of the objects, --labelled-areas says where they are all"
    ]


def _percent(share: float) -> str:
    """A share in %; a dash is nothing at all.

    >>> _percent(0.5), _percent(0.0001), _percent(0)
    ('50.0%', '<0.1%', '-')
    """
    if not share or np.isnan(share):
        return "-"
    return f"{share:.1%}" if share >= 0.0005 else "<0.1%"  # noqa: PLR2004 rounds to 0.1 %
