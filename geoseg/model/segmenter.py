"""What prediction needs of a model, and nothing else."""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

RuntimeName = Literal["torch", "openvino", "onnxruntime"]
"""What runs networks."""

Precision = Literal["fp32", "bf16", "fp16", "int8"]
"""Of the arithmetic inside the network; scores are float32 always."""


class Segmenter(Protocol):
    """Anything that scores windows: a network, a test double, a rule."""

    def __call__(self, images: NDArray[np.float32], /) -> NDArray[np.float32]:
        """(n, bands, size, size) images in, (n, classes, size, size) scores out.

        Images are in the units of the file, NaN where there is no data. Scores are 0..1
        and sum to 1 over the classes; they are C-contiguous and the caller's own.
        """
        ...


class Runtime(Segmenter, Protocol):
    """A bundle's network, running.

    What it gives for a window depends neither on the other windows of the batch nor on
    the thread that asks: it is the same to the byte in every batch of the same length.
    """

    @property
    def name(self) -> str:
        """For people, as in ``openvino int8``."""
        ...

    @property
    def runtime(self) -> RuntimeName:
        """What runs the network."""
        ...

    @property
    def precision(self) -> Precision:
        """Of the arithmetic inside the network."""
        ...

    @property
    def versions(self) -> Mapping[str, str]:
        """Of the packages that the scores depend on."""
        ...

    @property
    def batch_size(self) -> int:
        """Windows per call that suit it."""
        ...

    @property
    def streams(self) -> int:
        """How many threads may call it at the same time and gain by it."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What the user should know; it may grow while the runtime works."""
        ...
