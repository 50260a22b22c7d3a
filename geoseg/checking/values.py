"""Values that are not what they should be, by source."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from geoseg.checking.findings import Finding
from geoseg.checking.survey import Survey
from geoseg.io.patches import PatchSet

OTHER_UNITS = 10
"""Sources whose bright pixels are so many times brighter or darker than usual are told."""

BLACK = 0.25
"""Patches with so large a share of pure 0 may have no data there."""

BYTE = 255

TOPS = (1, BYTE, 65535)
"""What a mask calls visible."""

ALPHA_BANDS = (2, 4)
"""Grey or colours, and alpha."""


def values(patch_set: PatchSet, found: Survey) -> list[Finding]:
    """Infinite values, empty bands, alpha as a band, other units."""
    extreme = np.flatnonzero(found.extreme).tolist()
    findings = []
    if extreme:
        findings.append(
            Finding(
                kind="not-finite",
                what=f"{len(extreme)} images hold infinite or absurdly large values",
                patches=tuple(extreme),
                drop=tuple(extreme),
                groups=tuple((number,) for number in extreme),
            )
        )
    if details := [*_of_the_set(patch_set, found), *_of_sources(patch_set, found)]:
        black = np.flatnonzero(found.black >= BLACK).tolist()
        findings.append(
            Finding(
                kind="value-ranges",
                what="the values look odd",
                groups=tuple((number,) for number in black),
                details=tuple(details),
            )
        )
    return findings


def _of_the_set(patch_set: PatchSet, found: Survey) -> Iterator[str]:
    read = found.is_read
    if not np.isfinite(found.top).any():
        return
    low, top = np.nanmin(found.low), np.nanmax(found.top)
    dtype = np.dtype(patch_set.record.dtype)
    if dtype.kind in "iu" and dtype.itemsize > 1 and low >= 0 and top <= BYTE:
        yield f"the pixels are {dtype}, but no value is above {top:.0f}: 8-bit data"
    if _is_alpha(found):
        number, opaque = found.top.shape[1], np.nanmax(found.top[:, -1])
        bands = ",".join(map(str, range(1, number)))
        yield (
            f"band {number} is 0 or {opaque:.0f} everywhere, an alpha: leave it out, "
            f"--bands {bands}"
        )
    if found.is_gray[read].all() and read.any():
        yield "all bands are the same: grey pictures stored as colours"
    black = int(np.count_nonzero(found.black >= BLACK))
    if black and patch_set.record.read.nodata is None:
        yield f"{black} images are 0 on {BLACK:.0%} or more: no data? Then tile with --nodata 0"
    statistics = patch_set.record.statistics
    if dtype.kind == "f" and statistics and max(statistics["p98"]) <= 1 < top / OTHER_UNITS:
        yield f"98 % of the training values are at most 1, the largest is {top:.6g}"


def _of_sources(patch_set: PatchSet, found: Survey) -> Iterator[str]:
    source, sources = patch_set.patches.source, patch_set.record.sources
    names = patch_set.record.band_names
    has_data = np.isfinite(found.top).all(axis=1)
    varies = has_data & ~found.is_constant
    several = len(np.unique(source[varies])) > 1
    usual = np.median(found.high[varies], axis=0) if several else None
    for number in np.unique(source[varies]).tolist():
        own = has_data & (source == number)
        low, top = found.low[own].min(axis=0), found.top[own].max(axis=0)
        for band in np.flatnonzero(low == top).tolist():
            yield f"{sources[number].name}: {names[band]} is {top[band]:.6g} everywhere"
        if usual is not None:
            high = np.median(found.high[own & varies], axis=0)
            yield from _other_units(sources[number].name, high, usual)


def _other_units(name: str, high: NDArray[np.float32], usual: NDArray[np.float32]) -> Iterable[str]:
    """A line for a source whose median patch is much brighter or darker than that of all.

    Args:
        name: The source's.
        high: (bands,) the 98th percentile of its median patch.
        usual: (bands,) that of the median patch of all sources.
    """
    comparable = (usual > 0) & (high > 0)
    if not comparable.any():
        return
    ratio = float(np.median(high[comparable] / usual[comparable]))
    if not 1 / OTHER_UNITS < ratio < OTHER_UNITS:
        yield (
            f"{name}: values reach {high.max():.6g}, those of most patches {usual.max():.6g}: "
            f"other units?"
        )


def _is_alpha(found: Survey) -> bool:
    """Whether the last band holds a lowest and a highest value only, and is of use nowhere."""
    bands = found.top.shape[1]
    known = np.isfinite(found.top[:, -1])
    if bands not in ALPHA_BANDS or not known.any():
        return False
    low, top = found.low[known, -1], found.top[known, -1]
    ends = {0.0, float(top.max())}
    both = {*low.tolist(), *top.tolist()} <= ends and top.max() in TOPS
    return bool(both and found.is_two_valued[known].all())
