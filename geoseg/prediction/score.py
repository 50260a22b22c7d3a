"""Read windows ahead, score them in batches, in reading order."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import chain, islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import BundleError
from geoseg.model.segmenter import Segmenter
from geoseg.prediction.blend import WindowScores
from geoseg.raster.reader import Pixels
from geoseg.raster.threads import logged, map_in_order, reading_pool
from geoseg.raster.window import Window

BATCHES_AHEAD = 2
"""Batches that wait at each end of the network: read, and scored but not yet taken."""


class Ortho(Protocol):
    """What is needed of an orthophoto."""

    def read_floats(self, window: Window) -> Pixels:
        """Float32 pixels, NaN where there is no data."""
        ...


class AreaMask(Protocol):
    """Ground that is wanted."""

    def read(self, window: Window) -> NDArray[np.bool_]:
        """(height, width) bool, True inside."""
        ...


Read = tuple[Window, NDArray[np.float32], NDArray[np.bool_]]
"""A window, its image and where it is valid."""


def score(
    ortho: Ortho,
    segmenter: Segmenter,
    windows: Iterable[Window],
    *,
    batch_size: int = 1,
    streams: int = 1,
    ground: AreaMask | None = None,
) -> Generator[WindowScores]:
    """Score windows of an orthophoto that have any data, in the order given.

    One thread reads ahead, others call the segmenter, unless all windows are one batch: close
    the generator before the orthophoto. All batches have the same shape (the last is filled up
    with its last window), so that a window's scores do not depend on where the windows begin.

    Args:
        ortho: The orthophoto.
        segmenter: Scores windows.
        windows: All of one size.
        batch_size: Windows that are scored at a time.
        streams: Calls of the segmenter that run at the same time.
        ground: Windows that do not touch it are passed over, pixels outside do not count.
            What the segmenter sees does not depend on it.

    Raises:
        RasterError: If the orthophoto cannot be read.
        BundleError: If the segmenter gives scores that are no numbers.
    """

    def read(window: Window) -> Read | None:
        wanted = None if ground is None else ground.read(window)
        if wanted is not None and not wanted.any():
            return None
        image, valid = ortho.read_floats(window)
        if wanted is not None:
            valid &= wanted
        return (window, image, valid) if valid.any() else None

    def work(batch: Sequence[Read]) -> Iterator[WindowScores]:
        chosen, images, valid = zip(*batch, strict=True)
        if batch_size == 1:
            stacked = np.ascontiguousarray(images[0])[None]  # mostly no copy
        else:
            stacked = np.stack([*images, *images[-1:] * (batch_size - len(images))])
        scores = segmenter(stacked)
        check_scores(scores, stacked, chosen)
        return map(WindowScores, chosen, scores, valid)

    windows = iter(windows)
    first = list(islice(windows, batch_size + 1))
    if len(first) <= batch_size:  # one batch: nothing to read ahead
        with logged():
            few = [each for each in map(read, first) if each is not None]
        yield from work(few) if few else ()
        return
    windows = chain(first, windows)
    with (
        reading_pool(1) as reader,
        ThreadPoolExecutor(streams, thread_name_prefix="segmenter") as pool,
        closing(
            map_in_order(reader, read, windows, ahead=BATCHES_AHEAD * batch_size + 1)
        ) as pixels,
        closing(
            map_in_order(pool, work, _batches(pixels, batch_size), ahead=streams + BATCHES_AHEAD)
        ) as scored,
    ):
        for parts in scored:
            yield from parts


def check_scores(
    scores: NDArray[np.float32], images: NDArray[np.float32], windows: Sequence[Window]
) -> None:
    """See that scores are finite: of others the first class would become the map.

    Args:
        scores: (n, classes, size, size) of the windows, and of what a batch was filled up with.
        images: (n, bands, size, size) that they are the scores of.
        windows: At most n, for the message.

    Raises:
        BundleError: If any is NaN or infinite.
    """
    with np.errstate(invalid="ignore"):  # both pass NaN on, in half the time of isfinite
        if np.isfinite(scores.max()) and np.isfinite(scores.min()):
            return
    for window, own, image in zip(windows, scores, images, strict=False):
        if not np.isfinite(own).all():
            raise BundleError(
                f"the network's scores are not finite (NaN) in the window at row "
                f"{window.row_off}, column {window.col_off}, where pixels are "
                f"{np.nanmin(image):.6g} to {np.nanmax(image):.6g}: declare values that are none "
                f"with --nodata; if all are as in training, the model is damaged"
            )


def _batches(pixels: Iterable[Read | None], batch_size: int) -> Iterator[list[Read]]:
    """Windows with data, as many at a time; the last batch may have fewer."""
    known = (each for each in pixels if each is not None)
    while batch := list(islice(known, batch_size)):
        yield batch
