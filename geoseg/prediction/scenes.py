"""Scenes of a mosaic: score rasters or class maps on one grid, of which few are open at a time."""

from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import GridMismatchError, LegendError, RasterError
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.lookup import class_bands
from geoseg.labels.pixel_classes import PixelClasses
from geoseg.prediction.scores import decode_scores, refuse_non_scores
from geoseg.raster.grid import Grid, cover, same_crs, union
from geoseg.raster.reader import RasterReader, ReadOptions
from geoseg.raster.storage import file_state
from geoseg.raster.window import Window, blocks
from geoseg.text import short_list

MOST_OPEN = 64
"""Scenes that are open at a time."""

ROWS, COLUMNS = 512, 4096
"""The block of a mosaic that is computed at a time, in pixels."""


class Layer(NamedTuple):
    """What one scene says of a part of a block."""

    part: Window
    """Counted from the block's corner."""

    scores: NDArray[np.float32]
    """(classes, height, width); for a class map 1 or 0."""

    valid: NDArray[np.bool_]
    distance: NDArray[np.float32]
    """(height, width) to the scene's edge, in pixels."""


@dataclass(frozen=True)
class Scene:
    """A score raster or class map, placed on the grid of the mosaic."""

    path: Path
    options: ReadOptions
    state: Sequence[Any]
    """Of the file, as `file_state` gives it."""

    window: Window

    def distance(self, part: Window) -> NDArray[np.float32]:
        """(height, width) distance of pixel centres to the scene's nearest edge, in pixels."""
        own = part.relative_to(self.window)
        rows = np.arange(own.row_off, own.row_stop) + 0.5
        cols = np.arange(own.col_off, own.col_stop) + 0.5
        rows = np.minimum(rows, self.window.height - rows)
        cols = np.minimum(cols, self.window.width - cols)
        return np.minimum(rows[:, None], cols[None]).astype(np.float32)


class Scenes:
    """All scenes of a mosaic, read block by block; the least recently read are closed."""

    def __init__(
        self, scenes: Sequence[Scene], grid: Grid, legend: Legend, *, class_maps: bool
    ) -> None:
        self.grid = grid
        self._legend = legend
        self._class_maps = class_maps
        self._classes: dict[Path, PixelClasses] = {}
        self._open: OrderedDict[Path, RasterReader] = OrderedDict()
        self._by_rows: Mapping[int, list[Scene]] = defaultdict(list)
        for scene in scenes:
            for number in range(scene.window.row_off // ROWS, -(-scene.window.row_stop // ROWS)):
                self._by_rows[number].append(scene)

    @property
    def block_count(self) -> int:
        """How many blocks `layers` gives."""
        return -(-self.grid.height // ROWS) * -(-self.grid.width // COLUMNS)

    def layers(self) -> Iterator[tuple[Window, Iterator[Layer]]]:
        """The blocks of the mosaic in reading order, and what each scene in turn says of one.

        Raises:
            RasterError: If a scene cannot be read, or has changed since it was placed.
        """
        for block in blocks(self.grid.height, self.grid.width, rows=ROWS, cols=COLUMNS):
            yield block, self._layers(block)

    def close(self) -> None:
        """Close those that are open."""
        while self._open:
            self._open.popitem()[1].close()

    def _layers(self, block: Window) -> Iterator[Layer]:
        for scene in self._by_rows[block.row_off // ROWS]:
            if part := scene.window.intersection(block):
                scores, valid = self._read(scene, part)
                yield Layer(part.relative_to(block), scores, valid, scene.distance(part))

    def _read(self, scene: Scene, part: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        reader = self._reader(scene)
        image, valid = reader.read(part.relative_to(scene.window))
        if self._class_maps:
            if scene.path not in self._classes:
                self._classes[scene.path] = PixelClasses.of_map(scene.path, self._legend)
            indices = self._classes[scene.path].encode(image, valid)
            classes = np.arange(len(self._legend))[:, None, None]
            return (indices == classes).astype(np.float32), indices != IGNORE
        stored = np.where(valid, image, 0)
        is_bytes = reader.dtype == np.uint8
        scores = decode_scores(stored) if is_bytes else stored.astype(np.float32)
        refuse_non_scores(scores, scene.path)
        return scores, valid

    def _reader(self, scene: Scene) -> RasterReader:
        if scene.path not in self._open:
            if file_state(scene.path) != scene.state:
                raise RasterError(f"{scene.path}: has changed since the mosaic began; start again")
            if len(self._open) == MOST_OPEN:
                self._open.popitem(last=False)[1].close()
            self._open[scene.path] = RasterReader(scene.path, scene.options, palette_index=True)
        self._open.move_to_end(scene.path)
        return self._open[scene.path]


@contextmanager
def open_scenes(
    paths: Sequence[Path],
    legend: Legend,
    *,
    class_maps: bool,
    resample: bool,
    whole: Grid | None = None,
) -> Iterator[Scenes]:
    """Place scenes on a grid, or on the smallest one that holds all, to be read.

    Raises:
        GridMismatchError: If their grids differ and they are not to be resampled.
        LegendError: If score rasters have not a band per class, or name others.
    """
    grids: list[Grid] = []
    options, states = [], [file_state(path) for path in paths]
    for path in paths:
        read = ReadOptions()
        with RasterReader(path, palette_index=True) as reader:
            own = reader.grid
            if not class_maps:
                read = _in_order(reader, legend)
        if resample:
            read = _on_grid(path, own, grids[0] if grids else own, read, smooth=not class_maps)
            own = read.on or own
        elif grids and same_crs(own.crs, grids[0].crs):
            own = replace(own, crs=grids[0].crs)  # one CRS in memory instead of thousands
        grids.append(own)
        options.append(read)
    grid = whole or _union(paths, grids)
    places = zip(paths, options, states, map(grid.window_of, grids), strict=True)
    scenes = Scenes([Scene(*each) for each in places], grid, legend, class_maps=class_maps)
    try:
        yield scenes
    finally:
        scenes.close()


def bands_of(path: Path, names: Sequence[str], legend: Legend) -> tuple[int, ...]:
    """Indices (from 0) of the bands of scores of a legend's classes.

    Raises:
        LegendError: If they are of other classes.
    """
    if len(names) != len(legend):
        raise LegendError(
            f"{path}: has {len(names)} bands of scores, the legend {len(legend)} classes"
        )
    if (found := class_bands(names, legend.names)) is None:
        raise LegendError(
            f"{path}: holds scores of {short_list(names)}, and the legend's classes are "
            f"{short_list(legend.names)}"
        )
    return found


def _in_order(reader: RasterReader, legend: Legend) -> ReadOptions:
    """How scores are read in the order of the classes."""
    places = bands_of(reader.path, reader.band_names, legend)
    numbers = tuple(reader.band_numbers[place] for place in places)
    return ReadOptions(bands=None if numbers == tuple(reader.band_numbers) else numbers)


def _union(paths: Sequence[Path], grids: list[Grid]) -> Grid:
    for path, grid in zip(paths, grids, strict=True):
        try:
            grids[0].window_of(grid)
        except GridMismatchError as error:
            raise GridMismatchError(
                f"{path}: not on the grid of {paths[0]}: {error}; resample with --resample"
            ) from error
    return union(grids)


def _on_grid(path: Path, own: Grid, grid: Grid, read: ReadOptions, *, smooth: bool) -> ReadOptions:
    """How a scene is read on the pixels of another grid."""
    try:
        on = cover(own, grid)
    except GridMismatchError as error:
        raise GridMismatchError(f"{path}: {error}") from error
    return replace(read, on=on, resampling="bilinear" if smooth else "nearest")
