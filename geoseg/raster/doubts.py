"""Suspected alpha bands and nodata values that a raster does not declare."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.raster.grid import Grid
from geoseg.raster.reader import RasterReader, ReadOptions
from geoseg.raster.storage import opened, reading
from geoseg.raster.window import Window, spread_windows

SAMPLE_WINDOWS_PER_AXIS = 5

SAMPLE_WINDOW_PX = 256

MIN_SOFT_ALPHA_SHARE = 0.25
"""Share of half-transparent pixels above which a band is hardly alpha: soft edges are narrow."""

MAX_NODATA_INTEGER = -999
"""Largest integer suspected to be nodata, if real values are far from it."""

MIN_NODATA_FLOAT = 1e9
"""Smallest positive float suspected to be nodata."""

MIN_NODATA_SHARE = 5e-4
"""Smallest share of a band's pixels with a value that is suspected to be nodata."""


def doubts_of(path: Path, read: ReadOptions) -> list[str]:
    """Suspected alpha and nodata of a raster and of those stacked on it, as messages.

    Raises:
        RasterError: If a file cannot be read.
    """
    stacked = (band_doubts(each, ReadOptions(), own=False) for each in read.stacked)
    return [*band_doubts(path, read), *(each for doubts in stacked for each in doubts)]


def band_doubts(path: Path, read: ReadOptions, *, own: bool = True) -> list[str]:
    """Suspected alpha and nodata of a raster, as messages with a remedy; judged by a sample.

    Found are image bands tagged alpha, undeclared alpha bands and undeclared nodata values.

    Args:
        path: The raster.
        read: Bands and nodata that the user names.
        own: Whether it is the orthophoto, to which the command's options apply.

    Raises:
        RasterError: If the file cannot be read.
    """
    with opened(path) as dataset, reading(path):
        roles = [each.name for each in dataset.colorinterp]
        nodata, types = dataset.nodatavals, {*dataset.dtypes}
    asked = read.bands or tuple(n for n, role in enumerate(roles, 1) if role != "alpha")
    may_lack_alpha = len(asked) > 1 and any(roles[band - 1] in UNKNOWN_ROLES for band in asked)
    may_lack_nodata = read.nodata is None and ("alpha" in roles or types != {"uint8"})
    if "palette" in roles or not (may_lack_alpha or may_lack_nodata):
        return []  # of most images nothing need be read
    every = ReadOptions(bands=tuple(range(1, len(roles) + 1)), nodata="none")
    with RasterReader(path, every) as reader:
        parts = [reader.read(window) for window in sample_windows(reader.grid)]
    image = np.concatenate([part.image.reshape(len(roles), -1) for part in parts], axis=1)
    doubts = []
    if "alpha" in roles and read.nodata is None:
        doubts += _false_alpha(roles.index("alpha") + 1, image)
    undeclared: dict[str, list[int]] = {}
    for band in asked:
        values = image[band - 1][np.isfinite(image[band - 1])]
        if len(asked) > 1 and roles[band - 1] in UNKNOWN_ROLES and _is_alpha(values, image, band):
            others = ",".join(str(other) for other in asked if other != band)
            doubts.append(
                f"band {band} holds nothing but 0 and {_opaque(values)}: an alpha that is not "
                f"declared? --bands {others} leaves it out; declared (gdal_edit.py "
                f"-colorinterp_{band} alpha), it hides ground without data, which counts now"
            )
        elif read.nodata is None and (value := _undeclared(values, nodata[band - 1])) is not None:
            undeclared.setdefault(value, []).append(band)
    for value, bands in undeclared.items():
        option = f"--nodata {value} leaves it out, or " if own else ""
        doubts.append(
            f"band {', '.join(map(str, bands))} holds {value} beside values that are far from it: "
            f"no data, and not declared? {option}gdal_edit.py -a_nodata {value} declares it"
        )
    return [f"{path}: {each}" for each in doubts]


UNKNOWN_ROLES = ("undefined", "gray")
"""Colour interpretations that say nothing."""


def _false_alpha(band: int, image: NDArray[Any]) -> list[str]:
    """Message on a band that is tagged alpha and holds an image."""
    values = image[band - 1]
    between = float(((values > 0) & (values < _opaque(values))).mean())
    hidden = float((values == 0).mean())
    if between < MIN_SOFT_ALPHA_SHARE:
        return []
    every = ",".join(map(str, range(1, len(image) + 1)))
    said = (
        f"band {band} is tagged alpha and holds an image (near infrared?): where "
        f"it is 0 ({hidden:.1%} of a sample) ground is without data; --bands {every} --nodata none "
        f"reads it as a band"
    )
    return [said]


def _opaque(values: NDArray[Any]) -> int:
    """The value for opaque: the highest present, at least 255."""
    highest = int(np.nanmax(values)) if values.size else 0
    return max(OPAQUE_BYTE, highest)


OPAQUE_BYTE = 255


def _is_alpha(values: NDArray[Any], image: NDArray[Any], band: int) -> bool:
    """Whether a band is all or nothing, and the others hold an image."""
    if values.dtype.kind not in "iu" or not values.size:
        return False
    found = set(np.unique(values).tolist())
    most = (OPAQUE_BYTE, np.iinfo(values.dtype).max)
    others = np.delete(image, band - 1, axis=0)
    has_picture = any(len(np.unique(other)) > len({0, OPAQUE_BYTE}) for other in others)
    return has_picture and any(found <= {0, top} and top in found for top in most)


def _undeclared(values: NDArray[Any], nodata: float | None) -> str | None:
    """A frequent value that all others are far from."""
    if nodata is not None:
        values = values[values != values.dtype.type(nodata)] if np.isfinite(nodata) else values
    if values.size < 2 or values.dtype == np.uint8:  # noqa: PLR2004
        return None
    top = MIN_NODATA_FLOAT if values.dtype.kind == "f" else np.iinfo(values.dtype).max
    low, high = values.min(), values.max()
    for value, suspect in ((low, low <= MAX_NODATA_INTEGER), (high, high >= top)):
        others = values[values != value].astype(np.float64)
        if not suspect or not others.size or 1 - others.size / values.size < MIN_NODATA_SHARE:
            continue
        gap = np.abs(others - float(value)).min()
        if gap > others.max() - others.min():
            return str(value)
    return None


def sample_windows(grid: Grid) -> list[Window]:
    """Windows by which a large raster is judged."""
    size, count = SAMPLE_WINDOW_PX, SAMPLE_WINDOWS_PER_AXIS
    return spread_windows(grid.height, grid.width, size=size, per_axis=count)
