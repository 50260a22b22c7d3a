"""Read windows ahead, score them in batches, in reading order."""

from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from geoseg.core.blend import Lattice, WindowScores
from geoseg.core.grid import Grid
from geoseg.core.prefetch import prefetch
from geoseg.core.window import Window, sliding_windows
from geoseg.errors import EmptyError
from geoseg.io.raster import Pixels
from geoseg.model.segmenter import Segmenter

AHEAD = 2
"""Batches that are read while another is scored."""


class Ortho(Protocol):
    """What is needed of an orthophoto."""

    path: Path
    grid: Grid

    def read_floats(self, window: Window) -> Pixels:
        """Float32 pixels, NaN where there is no data."""
        ...


class _Batch(NamedTuple):
    windows: list[Window]
    images: NDArray[np.float32]
    valid: list[NDArray[np.bool_]]


def score(
    ortho: Ortho, segmenter: Segmenter, lattice: Lattice, *, batch_size: int = 4
) -> Generator[WindowScores]:
    """Score every window of an orthophoto that has any data, in reading order.

    A thread reads ahead: close the generator before the orthophoto.

    Args:
        ortho: The orthophoto.
        segmenter: Scores windows.
        lattice: The windows that cover the orthophoto.
        batch_size: Windows that are scored at a time.

    Raises:
        EmptyError: If the orthophoto has no data at all.
        RasterError: If it cannot be read.
    """
    scored = 0
    with closing(prefetch(_batches(ortho, lattice, batch_size), AHEAD)) as batches:
        for batch in batches:
            scores = segmenter(batch.images)
            scored += len(scores)
            yield from map(WindowScores, batch.windows, scores, batch.valid)
    if not scored:
        raise EmptyError(f"{ortho.path}: has no pixel with data")


def _batches(ortho: Ortho, lattice: Lattice, batch_size: int) -> Iterator[_Batch]:
    read = _read_valid(ortho, lattice)
    while part := list(islice(read, batch_size)):
        windows, images, valid = zip(*part, strict=True)
        yield _Batch(list(windows), np.stack(images), list(valid))


def _read_valid(
    ortho: Ortho, lattice: Lattice
) -> Iterator[tuple[Window, NDArray[np.float32], NDArray[np.bool_]]]:
    """The windows that have data."""
    windows = sliding_windows(
        lattice.height, lattice.width, size=lattice.size, stride=lattice.stride
    )
    for window in windows:
        image, valid = ortho.read_floats(window)
        if valid.any():
            yield window, image, valid
