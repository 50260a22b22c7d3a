"""Maps for tests of polygons."""

import numpy as np
from scipy import ndimage

from geoseg.postprocess.components import label
from geoseg.vectorize.trace import trace


def random_map(draw, side=24):
    """Noise or smooth blobs of one to four classes."""
    height, width = draw.integers(1, side, 2)
    if draw.random() < 0.5:
        return draw.integers(0, draw.integers(1, 5), (height, width)).astype(np.uint8)
    blobs = ndimage.gaussian_filter(draw.random((height, width)), 1.2)
    return np.digitize(blobs, [0.45, 0.5, 0.55]).astype(np.uint8)


def outlines(values):
    """The regions of an array of classes, and their polygons."""
    regions = label(np.asarray(values, np.uint8), 4)
    forced = np.zeros(np.add(regions.labels.shape, 1), np.bool_)
    coverage = trace(regions.labels, forced)
    return regions, coverage, coverage.polygons(np.arange(len(regions.values)))
