"""Where the patches of a set lie, in one frame."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.core.blocks import Boxes
from geoseg.io.patch_index import FOOTPRINTS, LAYER
from geoseg.io.patches import PatchSet
from geoseg.io.vector import read_layer


def patch_boxes(patch_set: PatchSet) -> tuple[Boxes, NDArray[np.int64]]:
    """The ground of every patch.

    Returns:
        (n, 4) boxes, in pixels of a patch, and (n,) frames: patches that are placed on the
        earth are in frame -1, the others each in that of its source.

    Raises:
        VectorError: If the footprints cannot be read.
    """
    size = patch_set.record.size
    frames = np.array([patch.source for patch in patch_set.patches], np.int64)
    windows = [patch.window for patch in patch_set.patches]
    boxes = np.array([[w.row_off, w.col_off, w.row_stop, w.col_stop] for w in windows], float)
    footprints = read_layer(patch_set.folder / FOOTPRINTS, LAYER).geometry
    if footprints.crs is None:
        return boxes, frames
    placed = np.asarray(~(footprints.isna() | footprints.is_empty))
    frames[placed] = -1
    boxes[placed] = _on_the_ground(footprints[placed], size)
    return boxes, frames


def _on_the_ground(footprints: Any, size: int) -> Boxes:
    """(n, 4): rows grow to the south, in pixels of a patch."""
    if footprints.crs.is_geographic:
        footprints = footprints.to_crs(footprints.estimate_utm_crs())
    west, south, east, north = footprints.bounds.to_numpy(float).T
    pixel = np.median(np.concatenate([east - west, north - south])) / size
    origin = north.max()
    edges = origin - north, west - west.min(), origin - south, east - west.min()
    return np.stack(edges, axis=1) / pixel
