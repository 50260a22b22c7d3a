"""Pictures made up to be told from each other."""

import numpy as np
from scipy import ndimage


def ground(height, width, seed=0):
    """A picture with corners, (3, height, width) uint8, as no other seed has it."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=(height, width)), 2.5)
    levels = np.digitize(noise, np.quantile(noise, (0.2, 0.4, 0.6, 0.8)))
    gray = 30 + 45 * levels + rng.integers(0, 10, (height, width))
    return np.stack([gray, gray // 2, 250 - gray]).astype(np.uint8)


def blobs(height, width, seed=0):
    """A mask of two classes."""
    rng = np.random.default_rng(seed)
    return (ndimage.gaussian_filter(rng.normal(size=(height, width)), 3) > 0).astype(np.uint8)
