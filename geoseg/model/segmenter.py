"""What prediction needs of a model, and nothing else."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Segmenter(Protocol):
    """Anything that scores windows: a network, a test double, a rule."""

    def __call__(self, images: NDArray[np.float32], /) -> NDArray[np.float32]:
        """(n, bands, size, size) images in, (n, classes, size, size) scores out.

        Images are in the units of the file, NaN where there is no data. Scores are 0..1
        and sum to 1 over the classes.
        """
        ...
