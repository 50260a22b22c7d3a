"""Cut what is handed in into batches of the one length that a converted network takes."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def whole_batches(
    images: NDArray[np.float32], size: int
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Batches of one length, in order; the last is filled up with zeros.

    Args:
        images: (n, bands, height, width).
        size: Length of a batch.

    Yields:
        Which of the images, and a C-contiguous (size, bands, height, width) batch.

    >>> [(part, batch.ravel().tolist()) for part, batch in whole_batches(np.ones((3, 1, 1, 1)), 2)]
    [(slice(0, 2, None), [1.0, 1.0]), (slice(2, 3, None), [1.0, 0.0])]
    """
    for start in range(0, len(images), size):
        part = np.ascontiguousarray(images[start : start + size], np.float32)
        if (lacking := size - len(part)) > 0:
            yield slice(start, len(images)), np.pad(part, ((0, lacking), (0, 0), (0, 0), (0, 0)))
        else:
            yield slice(start, start + size), part
