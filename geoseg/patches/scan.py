"""A look at one patch: all that checking needs to know of its pixels, in a few hundred bytes."""

import hashlib
import pickle
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import GeosegError
from geoseg.labels.legend import IGNORE
from geoseg.patches.patch_set import PatchSet, Sample
from geoseg.patches.record import Patch
from geoseg.raster.threads import map_in_order

HUGE = 1e30
"""Larger values stand for no data: the lowest float32 (-3.4e38) is a common one."""

CELLS = 9
"""Rows and columns of the shrunk picture of which a difference hash is made."""

MIN_CONTRAST = 0.05
"""Of the cells of a shrunk picture, over that of its pixels: less is noise, and has no hash."""

SAMPLE = 13
"""Every so many pixels a value is taken for the 98th percentile."""


def is_telling(mask: NDArray[np.uint8]) -> bool:
    """Whether a mask shows a shape: borders longer than half a side, and not straight stripes.

    Masks of one class are common, and so are those with a few pixels of another in a corner or
    those cut by the straight edge of the data; that two patches have the same one says nothing.

    >>> is_telling(np.array([[1, 2], [1, 2]], np.uint8))
    False
    >>> is_telling(np.array([[1, 2], [1, 1]], np.uint8))
    True
    """
    down, right = mask[1:] != mask[:-1], mask[:, 1:] != mask[:, :-1]
    are_stripes = not down.any() or not right.any()
    borders = np.count_nonzero(down) + np.count_nonzero(right)
    return bool(not are_stripes and borders > sum(mask.shape) / 4)


@dataclass(frozen=True, kw_only=True)
class Look:
    """What is known of a patch once its pixels are gone."""

    image: bytes = b""
    """Hash of the decoded pixels."""

    mask: bytes = b""
    """Hash of the classes."""

    is_constant: bool = False
    """Whether every band has one value."""

    is_telling: bool = False
    """Whether the mask shows something that two patches hardly share by chance."""

    labelled: float = 0.0
    """Share of pixels with a class."""

    extreme: bool = False
    """Whether a value is infinite or beyond `HUGE`."""

    black: float = 0.0
    """Share of the pixels with data that are 0 in all bands."""

    low: NDArray[np.float32]
    """(bands,) smallest values; NaN without data."""

    high: NDArray[np.float32]
    """(bands,) 98th percentiles, from a sample."""

    top: NDArray[np.float32]
    """(bands,) largest values."""

    is_two_valued: bool = False
    """Whether no value of the last band lies between its smallest and largest."""

    is_gray: bool = False
    """Whether all bands are the same."""

    hash: NDArray[np.uint8] | None = None
    """(16,) difference hash; None without contrast or with pixels missing."""


def look_at(sample: Sample) -> Look:
    """Look at a patch.

    Args:
        sample: Its pixels.
    """
    image, mask = sample
    known = ~np.isnan(image[0])
    pixels = image.reshape(len(image), -1) if known.all() else image[:, known]
    empty = not pixels.size
    low, high, top = _no_figures(len(image)) if empty else _figures(pixels)
    extreme = bool((low < -HUGE).any() or (top > HUGE).any())
    return Look(
        image=_hash(image),
        mask=_hash(mask),
        is_constant=empty or bool((low == top).all()),
        is_telling=is_telling(mask),
        labelled=float(np.mean(mask != IGNORE)),
        extreme=extreme,
        black=0.0 if empty or low.any() else float((pixels == 0).all(axis=0).mean()),
        low=low,
        high=high,
        top=top,
        is_two_valued=bool(((pixels[-1] == low[-1]) | (pixels[-1] == top[-1])).all()),
        is_gray=len(image) > 1 and all(map(partial(np.array_equal, pixels[0]), pixels[1:])),
        hash=None if empty or extreme else difference_hash(image.mean(axis=0)),
    )


def difference_hash(gray: NDArray[np.float32]) -> NDArray[np.uint8] | None:
    """Where a picture gets brighter downwards and to the right, once it is shrunk to 9 x 9.

    It changes little with compression, and not at all with brightness and contrast.

    Args:
        gray: (height, width), NaN where there is no data.

    Returns:
        (16,) bytes of 128 bits; None if pixels are missing, or for a picture without contrast or
        smaller than 9 x 9.

    Source: N. Krawetz 2013, "Kind of Like That" (dHash), of rows and columns alike.
    """
    height, width = gray.shape
    if min(gray.shape) < CELLS or not np.isfinite(gray).all():
        return None
    rows, cols = (np.arange(CELLS) * length // CELLS for length in (height, width))
    sums = np.add.reduceat(np.add.reduceat(gray, rows, axis=0), cols, axis=1)
    small = sums / np.outer(np.diff(rows, append=height), np.diff(cols, append=width))
    if np.ptp(small) <= MIN_CONTRAST * np.ptp(gray):
        return None
    down, right = small[1:, :-1] > small[:-1, :-1], small[:-1, 1:] > small[:-1, :-1]
    return np.packbits(np.concatenate([down.ravel(), right.ravel()]))


Figures = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
"""(bands,) smallest values, 98th percentiles, largest values."""


def _figures(pixels: NDArray[np.float32]) -> Figures:
    high = np.percentile(pixels[:, ::SAMPLE], 98, axis=1).astype(np.float32)
    return pixels.min(axis=1), high, pixels.max(axis=1)


def _no_figures(bands: int) -> Figures:
    nothing = np.full(bands, np.nan, np.float32)
    return nothing, nothing, nothing


def _hash(array: NDArray[np.generic]) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(array).data, digest_size=16).digest()


Watch = Callable[[Iterable[Any], int], Iterable[Any]]
"""Gives items on, and tells how far it has come; the number says of how many."""

SAME = (
    *("is_constant", "is_telling", "extreme", "is_gray", "is_two_valued"),
    *("labelled", "black", "low", "high", "top"),
)
"""What a survey keeps of a look as it is."""


@dataclass(frozen=True)
class Survey:
    """What is known of all patches, a row each."""

    image: NDArray[np.void]
    """(n,) hash of the pixels, 16 bytes."""

    mask: NDArray[np.void]
    """(n,) hash of the classes, 16 bytes."""

    is_constant: NDArray[np.bool_]
    """(n,) as in `Look`, and so the following."""

    is_telling: NDArray[np.bool_]
    extreme: NDArray[np.bool_]
    is_gray: NDArray[np.bool_]
    is_two_valued: NDArray[np.bool_]
    labelled: NDArray[np.float32]
    black: NDArray[np.float32]

    low: NDArray[np.float32]
    """(n, bands)."""

    high: NDArray[np.float32]
    top: NDArray[np.float32]

    failures: dict[int, str]
    """Why which patches cannot be read."""

    hashes: NDArray[np.uint8]
    """(n, 16) difference hashes."""

    has_hash: NDArray[np.bool_]
    """(n,) which patches have one."""

    @property
    def is_read(self) -> NDArray[np.bool_]:
        """(n,) which patches could be read."""
        read = np.ones(len(self.image), np.bool_)
        read[list(self.failures)] = False
        return read


def survey(patch_set: PatchSet, *, workers: int, watch: Watch) -> Survey:
    """Look at every patch of a set.

    Args:
        patch_set: The set.
        workers: Threads that read.
        watch: Told of progress.
    """
    patches = patch_set.patches
    found = _blank(len(patches), patch_set.record.bands)
    for number, look in enumerate(watch(_looks(patch_set, workers), len(patches))):
        if isinstance(look, str):
            found.failures[number] = look
            continue
        _keep(found, number, look)
    return found


def _looks(patch_set: PatchSet, workers: int) -> Iterator[Look | str]:
    """A look at each patch in order, or why it cannot be read."""
    local = threading.local()
    bands = patch_set.record.bands
    frozen = pickle.dumps(patch_set)

    def look(patch: Patch) -> Look | str:
        if not hasattr(local, "patch_set"):
            local.patch_set = pickle.loads(frozen)  # noqa: S301 our own; one for each thread
        try:
            sample = local.patch_set.read(patch)
        except GeosegError as error:
            return str(error)
        if len(sample.image) != bands:
            return f"{patch_set.record.sources[patch.source].name}: has no longer {bands} bands"
        return look_at(sample)

    with (
        ThreadPoolExecutor(workers) as pool,
        closing(map_in_order(pool, look, patch_set.patches)) as looks,
    ):
        yield from looks


def _blank(count: int, bands: int) -> Survey:
    hashes, flags, shares = np.dtype("V16"), np.bool_, np.float32
    per_band = (count, bands)
    return Survey(
        image=np.zeros(count, hashes),
        mask=np.zeros(count, hashes),
        is_constant=np.zeros(count, flags),
        is_telling=np.zeros(count, flags),
        extreme=np.zeros(count, flags),
        is_gray=np.zeros(count, flags),
        labelled=np.zeros(count, shares),
        black=np.zeros(count, shares),
        low=np.full(per_band, np.nan, shares),
        high=np.full(per_band, np.nan, shares),
        top=np.full(per_band, np.nan, shares),
        is_two_valued=np.zeros(count, flags),
        failures={},
        hashes=np.zeros((count, 16), np.uint8),
        has_hash=np.zeros(count, flags),
    )


def _keep(found: Survey, number: int, look: Look) -> None:
    for name in SAME:
        getattr(found, name)[number] = getattr(look, name)
    found.image[number] = np.void(look.image)
    found.mask[number] = np.void(look.mask)
    if look.hash is not None:
        found.hashes[number], found.has_hash[number] = look.hash, True


Severity = Literal["error", "warning"]

SPOILING = (
    "unreadable",
    "leaks",
    "contradictions",
    "outliers",
    "not-finite",
    "missing-splits",
)
"""Findings that spoil a training or its figures: errors. The others are warnings."""

ADVICE: Mapping[str, str] = {
    "unreadable": (
        "mend or restore the files, or complete the legend; --drop unreadable leaves them out"
    ),
    "leaks": (
        "validation and test figures will flatter: put scenes of the same ground into one split "
        "(`geoseg tile --pairs` with a split column, or --split block), or --drop leaks, which "
        "leaves out the patches of the split that can spare them"
    ),
    "contradictions": (
        "one picture cannot have two truths: correct the labels, or --drop contradictions"
    ),
    "outliers": ("such masks belong to none of the pictures: look at them, and --drop outliers"),
    "not-finite": ("declare the value without data (`geoseg tile --nodata`), or --drop not-finite"),
    "missing-splits": "give training and validation more ground when tiling",
    "identical-masks": (
        "look whether the labels were mixed up; --drop identical-masks leaves them out"
    ),
    "duplicates": (
        "repeated patches count as often as they occur; --drop duplicates keeps one of each"
    ),
    "near-duplicates": (
        "copies that were compressed, brightened or resaved: keep them in one split when splitting "
        "anew; --drop near-duplicates keeps one of each"
    ),
    "constant-images": (
        "nothing can be learnt from them, often they have no data: tile with --nodata, or "
        "--drop constant-images"
    ),
    "unlabelled": (
        "they cost time and teach nothing: tile with --min-labelled, or --drop unlabelled"
    ),
    "missing-classes": (
        "what training lacks is never predicted, what validation lacks is never judged: split "
        "otherwise (another --seed, a smaller --split-block), or take the class from the legend"
    ),
    "value-ranges": ("see that all orthophotos hold the bands and units that the model will meet"),
}
"""What to do about each finding; in the order of reports."""

DROPPABLE = (
    "unreadable",
    "leaks",
    "contradictions",
    "outliers",
    "not-finite",
    "identical-masks",
    "duplicates",
    "near-duplicates",
    "constant-images",
    "unlabelled",
)
"""Findings about single patches, which can be left out."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something found, and the patches that it concerns, by their numbers in the set."""

    kind: str
    """A key of `ADVICE`."""

    what: str
    """A sentence with numbers."""

    patches: tuple[int, ...] = ()
    """All that are concerned, in order."""

    drop: tuple[int, ...] = ()
    """Those to be left out to mend it."""

    groups: tuple[tuple[int, ...], ...] = ()
    """Patches to be looked at side by side, the worst group first."""

    details: tuple[str, ...] = ()
    """What is known of single sources or groups, a line each."""

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return "error" if self.kind in SPOILING else "warning"

    @property
    def advice(self) -> str:
        """What to do."""
        return ADVICE[self.kind]

    def to_dict(self, names: list[str]) -> dict[str, Any]:
        """For JSON.

        Args:
            names: Of all patches of the set.
        """
        return {
            "kind": self.kind,
            "severity": self.severity,
            "what": self.what,
            "advice": self.advice,
            "details": list(self.details),
            "patches": [names[number] for number in self.patches],
            "drop": [names[number] for number in self.drop],
            "groups": [[names[number] for number in group] for group in self.groups],
        }


def in_order(findings: list[Finding]) -> list[Finding]:
    """Errors first, then as `ADVICE` has them."""
    order = list(ADVICE)
    return sorted(findings, key=lambda each: order.index(each.kind))
