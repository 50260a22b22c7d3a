"""Where the patches of a set lie: as polygons on the earth, and as rectangles in one frame."""

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.core.blocks import Boxes
from geoseg.io.patch_index import FOOTPRINTS, LAYER
from geoseg.io.patches import PatchSet
from geoseg.io.vector import read_layer

Grounds = NDArray[np.object_]
"""(n,) polygons of one plane; None where the ground is not known."""

ROWS, COLS = [0, 0, 2, 2, 0], [1, 3, 3, 1, 1]
"""Where in a box the corners of its footprint have their rows and columns, the first one twice."""

DIGITS = 3
"""Boxes are rounded to so many decimals of a pixel: coordinates on the earth are no truer."""


def patch_windows(patch_set: PatchSet) -> Boxes:
    """(n, 4) the window of every patch, in pixels of its source."""
    patches = patch_set.patches
    corners = np.stack([patches.row_off, patches.col_off], axis=1).astype(float)
    return np.concatenate([corners, corners + patches.size], axis=1)


def patch_footprints(patch_set: PatchSet) -> Grounds:
    """(n,) the ground of every patch in the CRS of the set; None if it has no place on the earth.

    Raises:
        VectorError: If the footprints cannot be read.
    """
    footprints: Any = read_layer(patch_set.folder / FOOTPRINTS, LAYER).geometry
    grounds: Grounds = np.array(footprints.values, object)
    is_placed = np.isfinite(shapely.bounds(grounds)).all(axis=1)
    grounds[~is_placed | (footprints.crs is None)] = None
    return grounds


def patch_boxes(patch_set: PatchSet) -> tuple[Boxes, NDArray[np.int64]]:
    """The ground of every patch as a rectangle.

    A footprint that is turned against the pixels of the first source gets the smallest rectangle
    that holds it; those of the first source itself, and of all on its pixels, are exact.

    Returns:
        (n, 4) boxes and (n,) frames: patches that are placed on the earth are in frame -1, in
        pixels of the first source that is; the others are each in the frame of their source.

    Raises:
        VectorError: If the footprints cannot be read.
    """
    boxes, frames = patch_windows(patch_set), patch_set.patches.source.astype(np.int64)
    grounds = patch_footprints(patch_set)
    placed = np.flatnonzero(~shapely.is_missing(grounds))
    if len(placed):
        first = placed[frames[placed] == frames[placed[0]]]
        boxes[placed] = _in_pixels(grounds[placed], grounds[first], boxes[first])
        frames[placed] = -1
    return boxes, frames


def _in_pixels(grounds: Grounds, known: Grounds, windows: Boxes) -> Boxes:
    """(n, 4) boxes of footprints in the pixels of a source.

    Args:
        grounds: (n,) footprints of any sources.
        known: (m,) footprints of one source.
        windows: (m, 4) the same in its pixels.
    """
    places = shapely.get_coordinates(known)
    middle = places.mean(axis=0)
    homogeneous = np.column_stack([places - middle, np.ones(len(places))])
    pixels = np.stack([windows[:, COLS], windows[:, ROWS]], axis=-1).reshape(-1, 2)
    affine = np.linalg.lstsq(homogeneous, pixels)[0]
    turned = shapely.transform(grounds, lambda xy: (xy - middle) @ affine[:2] + affine[2])
    return shapely.bounds(turned)[:, [1, 0, 3, 2]].round(DIGITS)
