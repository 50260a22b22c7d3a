"""`geoseg check`: scan every patch, compare them, and find what is wrong with a patch set."""

import hashlib
import pickle
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import GeosegError
from geoseg.labels.legend import IGNORE, Legend
from geoseg.patches.duplicates import (
    Leaks,
    Pairs,
    co_located,
    duplicates,
    empties,
    groups_of,
    in_several_splits,
    missing_splits,
    near_copies,
    partners,
)
from geoseg.patches.findings import (
    CheckReport,
    Finding,
    ScanProgress,
    Scans,
    class_shares,
    in_order,
)
from geoseg.patches.patch_set import PatchSet, Sample
from geoseg.patches.record import Patch, Split
from geoseg.patches.splits import patch_footprints
from geoseg.raster.threads import core_count, map_in_order, reading_pool

MAX_VALUE = 1e30
"""Larger values stand for no data: the lowest float32 (-3.4e38) is a common one."""

HASH_CELLS = 9
"""Rows and columns of the shrunk image of which a difference hash is made."""

MIN_CONTRAST_SHARE = 0.05
"""Contrast of the cells of a shrunk image over that of its pixels: less is noise."""

SAMPLE_STEP_PX = 13
"""Step between the pixels of which the 98th percentile is taken."""

MAX_BRIGHTNESS_RATIO = 10
"""Ratio of brightness from which on a source seems to have other units than most."""

MIN_BLACK_SHARE = 0.25
"""Share of pure 0 from which on a patch may have no data there."""

MAX_BYTE = 255

OPAQUE_VALUES = (1, MAX_BYTE, 65535)
"""Values of an alpha band that mean opaque."""

ALPHA_BAND_COUNTS = (2, 4)
"""Bands of an image with alpha: grey or colours, and alpha."""


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


def scan_fields(bands: int) -> list[tuple[Any, ...]]:
    """What is kept of a patch once its pixels are gone: a few hundred bytes; 0 or NaN if unread."""
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
    scans = np.zeros(len(patches), scan_fields(bands)).view(np.recarray)
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


def values(patch_set: PatchSet, scans: Scans) -> Iterator[Finding]:
    """Infinite values, empty bands, alpha as a band, other units."""
    if extreme := np.flatnonzero(scans.is_extreme).tolist():
        what = "images hold infinite or absurdly large values"
        yield Finding.of_groups("not-finite", what, [[number] for number in extreme])
    if details := [*_of_the_set(patch_set, scans), *_of_sources(patch_set, scans)]:
        black = np.flatnonzero(scans.black >= MIN_BLACK_SHARE).tolist()
        yield Finding(
            kind="value-ranges",
            what="the values look odd",
            groups=tuple((number,) for number in black),
            details=tuple(details),
        )


def _of_the_set(patch_set: PatchSet, scans: Scans) -> Iterator[str]:
    read = scans.is_read
    if not np.isfinite(scans.top).any():
        return
    low, top = np.nanmin(scans.low), np.nanmax(scans.top)
    dtype = np.dtype(patch_set.record.dtype)
    if dtype.kind in "iu" and dtype.itemsize > 1 and low >= 0 and top <= MAX_BYTE:
        yield f"the pixels are {dtype}, but no value is above {top:.0f}: 8-bit data"
    if _is_alpha(scans):
        number, opaque = scans.top.shape[1], np.nanmax(scans.top[:, -1])
        bands = ",".join(map(str, range(1, number)))
        yield (
            f"band {number} is 0 or {opaque:.0f} everywhere, an alpha: leave it out, "
            f"--bands {bands}"
        )
    if scans.is_gray[read].all() and read.any():
        yield "all bands are the same: grey images stored as colours"
    black = int(np.count_nonzero(scans.black >= MIN_BLACK_SHARE))
    if black and patch_set.record.read.nodata is None:
        share = f"{MIN_BLACK_SHARE:.0%}"
        yield f"{black} images are 0 on {share} or more: no data? Then tile with --nodata 0"
    statistics = patch_set.record.statistics
    if (
        dtype.kind == "f"
        and statistics
        and max(statistics["p98"]) <= 1 < top / MAX_BRIGHTNESS_RATIO
    ):
        yield f"98 % of the training values are at most 1, the largest is {top:.6g}"


def _of_sources(patch_set: PatchSet, scans: Scans) -> Iterator[str]:
    source, sources = patch_set.patches.source, patch_set.record.sources
    names = patch_set.record.band_names
    has_data = np.isfinite(scans.top).all(axis=1)
    varies = has_data & ~scans.is_constant
    several = len(np.unique(source[varies])) > 1
    usual = np.median(scans.high[varies], axis=0) if several else None
    for number in np.unique(source[varies]).tolist():
        own = has_data & (source == number)
        low, top = scans.low[own].min(axis=0), scans.top[own].max(axis=0)
        for band in np.flatnonzero(low == top).tolist():
            yield f"{sources[number].name}: {names[band]} is {top[band]:.6g} everywhere"
        if usual is not None:
            high = np.median(scans.high[own & varies], axis=0)
            yield from _other_units(sources[number].name, high, usual)


def _other_units(name: str, high: NDArray[np.float32], usual: NDArray[np.float32]) -> Iterable[str]:
    """A line for a source whose median patch is much brighter or darker than that of all."""
    comparable = (usual > 0) & (high > 0)
    if not comparable.any():
        return
    ratio = float(np.median(high[comparable] / usual[comparable]))
    if not 1 / MAX_BRIGHTNESS_RATIO < ratio < MAX_BRIGHTNESS_RATIO:
        yield (
            f"{name}: values reach {high.max():.6g}, those of most patches {usual.max():.6g}: "
            f"other units?"
        )


def _is_alpha(scans: Scans) -> bool:
    """Whether the last band holds a lowest and a highest value only, and is of use nowhere."""
    bands = scans.top.shape[1]
    known = np.isfinite(scans.top[:, -1])
    if bands not in ALPHA_BAND_COUNTS or not known.any():
        return False
    low, top = scans.low[known, -1], scans.top[known, -1]
    ends = {0.0, float(top.max())}
    both = {*low.tolist(), *top.tolist()} <= ends and top.max() in OPAQUE_VALUES
    return bool(both and scans.is_two_valued[known].all())


def missing_classes(legend: Legend, shares: dict[Split, NDArray[np.float64]]) -> Iterable[Finding]:
    """Classes of the legend that a split does not show."""
    everywhere = sum(shares.values(), np.zeros(len(legend)))
    details = [
        f"{name} is nowhere"
        for name, share in zip(legend.names, everywhere, strict=True)
        if not share
    ]
    for split, own in shares.items():
        lacking = [
            name
            for name, here, anywhere in zip(legend.names, own, everywhere, strict=True)
            if anywhere and not here
        ]
        if lacking:
            details.append(f"{split} lacks {', '.join(lacking)}")
    if details:
        yield Finding(
            kind="missing-classes",
            what=f"classes of the legend are missing: {'; '.join(details)}",
        )


Watch = Callable[[str], Callable[[Iterable[Any], int], Iterable[Any]]]
"""For a name, a function that passes items through and shows progress."""


def check(folder: Path, *, workers: int | None = None, watch: Watch) -> CheckReport:
    """Find what is wrong with a patch set.

    Every patch is read once; less than a kilobyte of each is kept.

    Raises:
        PatchSetError: If it is incomplete or damaged.
    """
    patch_set = PatchSet.open(folder)
    threads = workers or core_count()
    scans, failures = scan(patch_set, workers=threads, watch=watch("scan"))
    pairs = near_copies(patch_set, scans, watch=watch("compare"))
    shares = class_shares(patch_set)
    findings = [
        *_unreadable(failures),
        *_leaks_and_copies(patch_set, scans, pairs),
        *missing_splits(dict(Counter(patch.split for patch in patch_set.patches))),
        *missing_classes(patch_set.record.legend, shares),
        *duplicates(scans, patch_set.patches, co_located(patch_set, pairs)),
        *empties(scans),
        *values(patch_set, scans),
    ]
    return CheckReport(patch_set, in_order(findings))


def _unreadable(failures: dict[int, str]) -> Iterable[Finding]:
    if failures:
        numbers = tuple(sorted(failures))
        reasons = Counter(failures[number] for number in numbers)
        yield Finding(
            kind="unreadable",
            what=f"{len(numbers)} patches cannot be read",
            patches=numbers,
            drop=numbers,
            details=tuple(reason for reason, _ in reasons.most_common()),
        )


def _leaks_and_copies(patch_set: PatchSet, scans: Scans, pairs: Pairs) -> Iterable[Finding]:
    """Leaks, and images that occur twice in one split though the footprints do not say so."""
    footprints = patch_footprints(patch_set)
    leaks = Leaks(patch_set)
    leaks.by_place(footprints)
    exact = in_several_splits(scans, patch_set.patches)
    leaks.by_pixels(exact, "have the very pixels of one in another split")
    split = patch_set.patches.split
    groups = groups_of(pairs, len(split))
    leaking = [group for group in groups if len(set(split[group].tolist())) > 1]
    leaks.by_pixels(leaking, "show the image of one in another split, stored differently")
    yield from leaks.finding()
    hidden = [
        group
        for group in groups
        if group not in leaking and (partners(footprints[group[:1]], footprints[group[1:]]) < 0)[0]
    ]
    if hidden:
        what = f"patches are {len(hidden)} different images, stored differently"
        yield Finding.of_groups("near-duplicates", what, hidden, keep_first=True)
