"""Neighbouring scenes, scores or class maps, on one grid."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geoseg.core.grid import Grid, union
from geoseg.core.legend import Legend
from geoseg.core.scores import IGNORE, decode_scores
from geoseg.core.window import Window, blocks
from geoseg.errors import GridMismatchError, LegendError
from geoseg.io.pixel_classes import PixelClasses
from geoseg.io.placement import cover
from geoseg.io.raster import RasterReader, ReadOptions
from geoseg.io.score_map import refuse_others
from geoseg.mosaicking.methods import Layer

ROWS, COLUMNS = 512, 4096
"""The block of a mosaic that is computed at a time, in pixels."""


@dataclass(frozen=True)
class Scene:
    """A score raster or class map, placed on the grid of the mosaic."""

    reader: RasterReader
    window: Window
    legend: Legend
    classes: PixelClasses | None
    """What its pixels mean; None: they are scores."""

    def read(self, block: Window) -> Layer | None:
        """What the scene says of a block of the mosaic, or None if it does not reach there."""
        part = self.window.intersection(block)
        if part is None:
            return None
        image, valid = self.reader.read(part.relative_to(self.window))
        if self.classes is not None:
            scores, valid = self._one_hot(self.classes.encode(image, valid))
        else:
            stored = np.where(valid, image, 0)
            is_bytes = self.reader.dtype == np.uint8
            scores = decode_scores(stored) if is_bytes else stored.astype(np.float32)
            refuse_others(scores, self.reader.path)
        return Layer(part.relative_to(block), scores, valid, self._distance(part))

    def _one_hot(self, indices: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        classes = np.arange(len(self.legend))[:, None, None]
        return (indices == classes).astype(np.float32), indices != IGNORE

    def _distance(self, part: Window) -> NDArray[np.float32]:
        """(height, width) distance of pixel centres to the scene's nearest edge, in pixels."""
        own = part.relative_to(self.window)
        rows = np.arange(own.row_off, own.row_stop) + 0.5
        cols = np.arange(own.col_off, own.col_stop) + 0.5
        rows = np.minimum(rows, self.window.height - rows)
        cols = np.minimum(cols, self.window.width - cols)
        return np.minimum(rows[:, None], cols[None]).astype(np.float32)


@dataclass(frozen=True)
class Scenes:
    """All scenes of a mosaic."""

    scenes: list[Scene]
    grid: Grid

    @property
    def block_count(self) -> int:
        """How many blocks `layers` gives."""
        return -(-self.grid.height // ROWS) * -(-self.grid.width // COLUMNS)

    def layers(self) -> Iterator[tuple[Window, list[Layer]]]:
        """The blocks of the mosaic in reading order, and what all scenes say of each."""
        for block in blocks(self.grid.height, self.grid.width, rows=ROWS, cols=COLUMNS):
            layers = (scene.read(block) for scene in self.scenes)
            yield block, [layer for layer in layers if layer is not None]


@contextmanager
def open_scenes(
    paths: Sequence[Path],
    legend: Legend,
    *,
    class_maps: bool,
    resample: bool,
    whole: Grid | None = None,
) -> Iterator[Scenes]:
    """Open scenes and place them on a grid, or on the smallest one that holds all.

    Raises:
        GridMismatchError: If their grids differ and they are not to be resampled.
        LegendError: If score rasters have not a band per class.
    """
    with ExitStack() as stack:
        readers = [stack.enter_context(RasterReader(path, palette_index=True)) for path in paths]
        if resample:
            readers = [
                stack.enter_context(_on_grid(reader, readers[0].grid, smooth=not class_maps))
                for reader in readers
            ]
        grid = whole or _union(readers)
        for reader in readers:
            if not class_maps and reader.bands != len(legend):
                raise LegendError(
                    f"{reader.path}: has {reader.bands} bands of scores, the legend "
                    f"{len(legend)} classes"
                )
        yield Scenes(
            [_scene(each, grid, legend, class_maps=class_maps) for each in readers],
            grid,
        )


def _scene(reader: RasterReader, grid: Grid, legend: Legend, *, class_maps: bool) -> Scene:
    classes = PixelClasses.of_map(reader.path, legend) if class_maps else None
    return Scene(reader, grid.window_of(reader.grid), legend, classes)


def _union(readers: Sequence[RasterReader]) -> Grid:
    first = readers[0]
    for reader in readers[1:]:
        try:
            first.grid.window_of(reader.grid)
        except GridMismatchError as error:
            raise GridMismatchError(
                f"{reader.path}: not on the grid of {first.path}: {error}; resample with --resample"
            ) from error
    return union([reader.grid for reader in readers])


def _on_grid(reader: RasterReader, grid: Grid, *, smooth: bool) -> RasterReader:
    """The same scene on the pixels of another grid."""
    try:
        on = cover(reader.grid, grid)
    except GridMismatchError as error:
        raise GridMismatchError(f"{reader.path}: {error}") from error
    options = ReadOptions(on=on, resampling="bilinear" if smooth else "nearest")
    return RasterReader(reader.path, options, palette_index=True)
