"""Scan of a patch set: what `check` needs to know of the pixels of each patch."""

import hashlib
import pickle
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import GeosegError
from geoseg.labels.legend import IGNORE
from geoseg.patches.patch_set import PatchSet, Sample
from geoseg.patches.record import Patch
from geoseg.raster.threads import map_in_order, reading_pool

MAX_VALUE = 1e30
"""Larger values stand for no data: the lowest float32 (-3.4e38) is a common one."""

HASH_CELLS = 9
"""Rows and columns of the shrunk image of which a difference hash is made."""

MIN_CONTRAST_SHARE = 0.05
"""Contrast of the cells of a shrunk image over that of its pixels: less is noise."""

SAMPLE_STEP_PX = 13
"""Step between the pixels of which the 98th percentile is taken."""

ScanProgress = Callable[[Iterable[Any], int], Iterable[Any]]
"""Passes items through and shows progress; the number is their count."""


def is_distinctive(mask: NDArray[np.uint8]) -> bool:
    """Whether a mask shows a shape: borders longer than half a side, and not straight stripes.

    Masks of one class are common, and so are those with a few pixels of another in a corner or
    those cut by the straight edge of the data; that two patches share one means nothing.

    >>> is_distinctive(np.array([[1, 2], [1, 2]], np.uint8))
    False
    >>> is_distinctive(np.array([[1, 2], [1, 1]], np.uint8))
    True
    """
    down, right = mask[1:] != mask[:-1], mask[:, 1:] != mask[:, :-1]
    are_stripes = not down.any() or not right.any()
    borders = np.count_nonzero(down) + np.count_nonzero(right)
    return bool(not are_stripes and borders > sum(mask.shape) / 4)


Scans = Any
"""(n,) record array with the fields of `_fields`; those of an unreadable patch are 0 or NaN."""


def _fields(bands: int) -> list[tuple[Any, ...]]:
    """What is kept of a patch once its pixels are gone: a few hundred bytes."""
    return [
        ("image", "V16"),  # hash of the decoded pixels
        ("mask", "V16"),  # hash of the classes
        ("labelled", "f4"),  # share of pixels with a class
        ("black", "f4"),  # share of the pixels with data that are 0 in all bands
        ("low", "f4", bands),  # smallest values; NaN without data
        ("high", "f4", bands),  # 98th percentiles, from a sample
        ("top", "f4", bands),  # largest values
        ("is_constant", "?"),  # every band has a single value
        ("is_distinctive", "?"),  # two patches hardly share such a mask by chance
        ("is_extreme", "?"),  # a value is infinite or beyond MAX_VALUE
        ("is_two_valued", "?"),  # no value of the last band lies between its ends
        ("is_gray", "?"),  # all bands are the same
        ("has_hash", "?"),  # it has contrast and no missing pixel
        ("is_read", "?"),  # the patch could be read
        ("hash", "u1", 16),  # difference hash
    ]


def scan(patch_set: PatchSet, *, workers: int, watch: ScanProgress) -> tuple[Scans, dict[int, str]]:
    """Read every patch of a set once.

    Returns:
        Scans of all patches, and the errors of those that cannot be read, by number.
    """
    patches, bands = patch_set.patches, patch_set.record.bands
    scans = np.zeros(len(patches), _fields(bands)).view(np.recarray)
    for name in ("low", "high", "top"):
        scans[name] = np.nan
    failures = {}
    for number, found in enumerate(watch(_scans(patch_set, workers), len(patches))):
        if isinstance(found, str):
            failures[number] = found
        else:
            for name, value in found.items():
                scans[name][number] = value
            scans.is_read[number] = True
    return scans, failures


def _scans(patch_set: PatchSet, workers: int) -> Iterator[dict[str, Any] | str]:
    """The scan of each patch in order, or why it cannot be read."""
    local = threading.local()
    bands = patch_set.record.bands
    frozen = pickle.dumps(patch_set)

    def work(patch: Patch) -> dict[str, Any] | str:
        if not hasattr(local, "patch_set"):
            local.patch_set = pickle.loads(frozen)  # noqa: S301 our own; one for each thread
        try:
            sample = local.patch_set.read(patch)
        except GeosegError as error:
            return str(error)
        if len(sample.image) != bands:
            return f"{patch_set.record.sources[patch.source].name}: no longer has {bands} bands"
        return _scan_patch(sample)

    with (
        reading_pool(workers) as pool,
        closing(map_in_order(pool, work, patch_set.patches)) as found,
    ):
        yield from found


def _scan_patch(sample: Sample) -> dict[str, Any]:
    """Fields of a patch."""
    image, mask = sample
    known = ~np.isnan(image[0])
    pixels = image.reshape(len(image), -1) if known.all() else image[:, known]
    empty = not pixels.size
    low = high = top = np.full(len(image), np.nan, np.float32)
    if not empty:
        low, top = pixels.min(axis=1), pixels.max(axis=1)
        high = np.percentile(pixels[:, ::SAMPLE_STEP_PX], 98, axis=1).astype(np.float32)
    is_extreme = bool((low < -MAX_VALUE).any() or (top > MAX_VALUE).any())
    of_image = None if empty or is_extreme else difference_hash(image.mean(axis=0))
    return {
        "image": _digest(image),
        "mask": _digest(mask),
        "is_constant": empty or bool((low == top).all()),
        "is_distinctive": is_distinctive(mask),
        "labelled": float(np.mean(mask != IGNORE)),
        "is_extreme": is_extreme,
        "black": 0.0 if empty or low.any() else float((pixels == 0).all(axis=0).mean()),
        "low": low,
        "high": high,
        "top": top,
        "is_two_valued": bool(((pixels[-1] == low[-1]) | (pixels[-1] == top[-1])).all()),
        "is_gray": len(image) > 1 and all(map(partial(np.array_equal, pixels[0]), pixels[1:])),
        "hash": 0 if of_image is None else of_image,
        "has_hash": of_image is not None,
    }


def difference_hash(gray: NDArray[np.float32]) -> NDArray[np.uint8] | None:
    """Where an image gets brighter downwards and to the right, once it is shrunk to 9 x 9.

    It changes little with compression, and not at all with brightness and contrast.

    Args:
        gray: (height, width), NaN where there is no data.

    Returns:
        (16,) bytes of 128 bits; None if pixels are missing, or for an image without contrast or
        smaller than 9 x 9.

    Source: N. Krawetz 2013, "Kind of Like That" (dHash), of rows and columns alike.
    """
    height, width = gray.shape
    if min(gray.shape) < HASH_CELLS or not np.isfinite(gray).all():
        return None
    rows, cols = (np.arange(HASH_CELLS) * length // HASH_CELLS for length in (height, width))
    sums = np.add.reduceat(np.add.reduceat(gray, rows, axis=0), cols, axis=1)
    small = sums / np.outer(np.diff(rows, append=height), np.diff(cols, append=width))
    if np.ptp(small) <= MIN_CONTRAST_SHARE * np.ptp(gray):
        return None
    down, right = small[1:, :-1] > small[:-1, :-1], small[:-1, 1:] > small[:-1, :-1]
    return np.packbits(np.concatenate([down.ravel(), right.ravel()]))


def _digest(array: NDArray[np.generic]) -> np.void:
    return np.void(hashlib.blake2b(np.ascontiguousarray(array).data, digest_size=16).digest())
