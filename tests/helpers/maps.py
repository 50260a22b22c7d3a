"""Maps in memory that are read in strips."""

import numpy as np
from affine import Affine

from geoseg.postprocess.strips import MapStrips
from geoseg.raster.grid import Grid


class InMemory:
    def __init__(self, indices):
        self.indices = indices

    def read(self, window):
        return self.indices[window.slices].copy()

    def close(self):
        pass


def picture(*rows):
    """Class indices from digits; a dot has no data."""
    return np.array([[255 if mark == "." else int(mark) for mark in row] for row in rows], np.uint8)


def in_strips(indices, rows=100):
    grid = Grid(None, Affine.identity(), *indices.shape)
    return MapStrips(InMemory(indices), grid, rows)


def blotches(seed, shape=(43, 37), classes=3, holes=0.05):
    """Random regions of all sizes, and some nodata."""
    rng = np.random.default_rng(seed)
    coarse = np.kron(rng.integers(0, classes, (9, 8)), np.ones((5, 5)))[: shape[0], : shape[1]]
    fine = rng.integers(0, classes, shape)
    indices = np.where(rng.random(shape) < 0.25, fine, coarse)
    indices[rng.random(shape) < holes] = 255
    return indices.astype(np.uint8)


def applied(operation, indices, *words, rows=100):
    """The map after an operation that runs over it in strips."""
    changes = list(operation(in_strips(indices, rows), *words))
    after = np.concatenate([each.after for each in changes])
    assert sum(each.pixels for each in changes) == np.count_nonzero(after != indices)
    return after
