"""Cells of a class map: what is traced at a time, and kept until the regions are put together.

A map is cut by a fixed lattice of lines, every `CELL_PX` pixels from its origin: a part of the
method, not of memory or workers, so that the polygons do not depend on either. Within a cell
borders are traced, simplified and smoothed; points on its frame stay. A point on the frame is one
of both cells, as it hangs on the four pixels around it alone, which are read one pixel beyond the
cell.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from geoseg.errors import GridMismatchError, InputError
from geoseg.evaluation.calibration import ScoreMap
from geoseg.evaluation.class_map import ClassMap
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.tags import read_tags
from geoseg.postprocess.components import label
from geoseg.prediction.scores import decode_scores, refuse_non_scores, refuse_untagged_bytes
from geoseg.raster.grid import Grid
from geoseg.raster.reader import Pixels, RasterReader
from geoseg.raster.window import Window, blocks
from geoseg.vectorize.simplify import simplify, smooth
from geoseg.vectorize.split import HALO_PX, split
from geoseg.vectorize.trace import OUTSIDE, Arcs, Coverage, trace

CELL_PX = 1024
"""Rows and columns of a cell. Larger ones leave fewer points on frames, and take more memory."""

Floats = NDArray[np.float64]

Counts = NDArray[np.int64]


class PixelScores(Protocol):
    """Scores or confidence of a map's pixels."""

    def of_class(self, window: Window, indices: NDArray[np.uint8]) -> Pixels:
        """(height, width) score of each pixel for its class, and where there is one."""
        ...

    def close(self) -> None:
        """Release files."""
        ...


class ClassScores:
    """Scores of a class map, of which each pixel has that of its own class."""

    def __init__(self, path: Path, legend: Legend, grid: Grid) -> None:
        self._scores = ScoreMap(path, legend, grid)

    def of_class(self, window: Window, indices: NDArray[np.uint8]) -> Pixels:
        """(height, width) score of each pixel for its class, and where there is one."""
        scores, valid = self._scores.read(window)
        own = np.minimum(indices, len(scores) - 1)[None].astype(np.intp)
        return Pixels(np.take_along_axis(scores, own, axis=0)[0], valid & (indices != IGNORE))

    def close(self) -> None:
        """Release files."""
        self._scores.close()


class ConfidenceMap:
    """A raster of confidence, as ``geoseg predict --confidence`` writes it.

    Raises:
        GridMismatchError: If it lies on another grid than the class map.
        InputError: If it is none.
    """

    def __init__(self, path: Path, grid: Grid) -> None:
        self._path = path
        with ExitStack() as stack:
            self._reader = stack.enter_context(RasterReader(path, palette_index=True))
            if self._reader.bands != 1 or self._reader.dtype not in (np.uint8, np.float32):
                raise InputError(
                    f"{path}: is no confidence; one band of bytes or floats is, as "
                    f"`geoseg predict --confidence` writes it"
                )
            try:
                self._window = self._reader.grid.window_of(grid)
            except GridMismatchError as error:
                raise GridMismatchError(f"{path}: not on the grid of the map: {error}") from error
            refuse_untagged_bytes(path, self._reader.dtype, read_tags(path))
            stack.pop_all()

    def of_class(self, window: Window, indices: NDArray[np.uint8]) -> Pixels:
        """(height, width) confidence of each pixel, and where there is one."""
        found = np.zeros(indices.shape, np.float32)
        valid = np.zeros(indices.shape, np.bool_)
        wanted = window.moved(self._window.row_off, self._window.col_off)
        inside = wanted.clip(self._reader.grid.height, self._reader.grid.width)
        if inside is not None:
            image, there = self._reader.read(inside)
            place = inside.relative_to(wanted).slices
            found[place] = decode_scores(image)[0] if image.dtype == np.uint8 else image[0]
            valid[place] = there
        np.copyto(found, 0, where=~valid)
        refuse_non_scores(found, self._path)
        return Pixels(found, valid & (indices != IGNORE))

    def close(self) -> None:
        """Release files."""
        self._reader.close()


@dataclass(frozen=True, eq=False)
class Cell:
    """The regions of a cell, by which they are put together with those of the others.

    Regions are numbered from 0, without gaps, nodata among them.
    """

    classes: NDArray[np.uint8]
    """(regions,) class index; 255 for nodata."""

    pixels: Counts
    """(regions,)."""

    first: Counts
    """(regions,) first pixel in reading order, counted through the whole map."""

    areas: Floats
    """(regions,) ground in square metres; in pixels for a map without a CRS."""

    at_edge: NDArray[np.bool_]
    """(regions,) whether a pixel lies at the edge of the map or beside nodata."""

    sums: Floats
    """(rasters, regions) sum of scores, of confidence."""

    scored: Counts
    """(rasters, regions) pixels that have one."""

    points: Counts
    """(regions,) points of the outlines."""

    top: NDArray[np.int32]
    """(width,) region of each pixel of the first row."""

    bottom: NDArray[np.int32]
    """(width,) of the last row."""

    left: NDArray[np.int32]
    """(height,) of the first column."""

    right: NDArray[np.int32]
    """(height,) of the last column."""

    goes_on: NDArray[np.bool_]
    """(2 width + 2 height,) whether the object of a pixel goes on beyond the frame, as far as this
    cell can tell: of the first row, the last row, the first column, the last column."""

    coverage: Coverage
    """Their outlines, in corners of pixels of the cell."""

    @property
    def goes_on_by_side(self) -> list[NDArray[np.bool_]]:
        """`goes_on` of the first row, last row, first column, last column."""
        width, height = len(self.top), len(self.left)
        return np.split(self.goes_on, np.cumsum([width, width, height]))

    @property
    def frame(self) -> NDArray[np.int32]:
        """Regions that touch the frame, in order."""
        return np.unique(np.concatenate([self.top, self.bottom, self.left, self.right]))

    def save(self, path: Path) -> None:
        """Write the cell to a file (safetensors, which is read ten times as fast as npz)."""
        own = {each.name: getattr(self, each.name) for each in fields(self)}
        coverage = own.pop("coverage")
        own |= {name: getattr(coverage, name) for name in ("steps", "rings", "regions")}
        own |= {"xy": coverage.arcs.xy, "offsets": coverage.arcs.offsets}
        path.write_bytes(save({name: np.ascontiguousarray(array) for name, array in own.items()}))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a cell from a file.

        Raises:
            InputError: If it is damaged.
        """
        try:
            own = load_file(path)
            arcs = Arcs(own.pop("xy"), own.pop("offsets"))
            coverage = Coverage(arcs, own.pop("steps"), own.pop("rings"), own.pop("regions"))
            return cls(**own, coverage=coverage)
        except (SafetensorError, LookupError, TypeError) as error:
            raise InputError(f"{path}: is damaged: {error}") from error


def cell_windows(grid: Grid) -> list[Window]:
    """The cells of a map, in reading order."""
    return list(blocks(grid.height, grid.width, rows=CELL_PX, cols=CELL_PX))


class CellSource:
    """A class map, and what else is known of its pixels, from which cells are made."""

    def __init__(
        self,
        path: Path,
        legend: Legend,
        *,
        aoi: Path | None = None,
        scores: Path | None = None,
        confidence: Path | None = None,
        split: int | None = None,
        tolerance: float = 0,
        smooth: bool = False,
    ) -> None:
        """Open.

        Args:
            path: The class map.
            legend: Its classes.
            aoi: Polygons; what lies outside is nodata.
            scores: Scores of the map's classes.
            confidence: Confidence of its pixels.
            split: Index of a class whose objects are told apart where they touch.
            tolerance: Of simplification, in pixels.
            smooth: Whether corners are rounded.

        Raises:
            GeosegError: If a file cannot be read or does not fit the map.
        """
        self._split, self._tolerance, self._smooth = split, tolerance, smooth
        self._stack = ExitStack()
        with ExitStack() as stack:
            self._map = stack.enter_context(ClassMap(path, legend, aoi=aoi))
            self.grid = self._map.grid
            self._scored: list[PixelScores] = []
            self._class_scores: ClassScores | None = None
            if scores is not None:
                self._class_scores = ClassScores(scores, legend, self.grid)
                self._scored.append(self._class_scores)
                stack.callback(self._class_scores.close)
            if confidence is not None:
                self._scored.append(ConfidenceMap(confidence, self.grid))
                stack.callback(self._scored[-1].close)
            self._row_areas = row_areas(self.grid)
            self._stack = stack.pop_all()

    @property
    def notes(self) -> Sequence[str]:
        """Remarks for the user on what was read."""
        return self._map.notes

    def cell(self, window: Window) -> Cell:
        """Trace a cell.

        Args:
            window: One of `cell_windows`.
        """
        wide = self._read(window)
        indices = wide[1:-1, 1:-1].astype(np.uint8)
        if (indices == IGNORE).all():
            return _empty_cell(window, len(self._scored))
        objects = self._objects(window, wide)
        regions = label(objects[1:-1, 1:-1], 4)
        labels, count = regions.labels, len(regions.values)
        coverage = trace(labels, _nodes_on_frame(wide, self._split))
        arcs = simplify(coverage.arcs, self._tolerance, labels.shape)
        if self._smooth:
            arcs = smooth(arcs, labels.shape)
        at_edge = np.zeros(count, np.bool_)
        unknown = (wide == OUTSIDE) | (wide == IGNORE)
        if unknown.any():
            edge = unknown[:-2, 1:-1] | unknown[2:, 1:-1]
            edge |= unknown[1:-1, :-2] | unknown[1:-1, 2:]
            at_edge[labels[edge]] = True
        rows, columns = np.divmod(regions.first, window.width)
        first = (rows + window.row_off) * self.grid.width + columns + window.col_off
        sums, scored = self._sums(window, indices, labels, count)
        coverage = replace(coverage, arcs=arcs)
        return Cell(
            classes=indices.ravel()[regions.first],
            pixels=regions.areas,
            first=first,
            areas=self._ground(window, labels, regions.areas),
            at_edge=at_edge,
            sums=sums,
            scored=scored,
            points=coverage.points(np.arange(count)),
            top=labels[0],
            bottom=labels[-1],
            left=labels[:, 0],
            right=labels[:, -1],
            goes_on=_go_on(objects),
            coverage=coverage,
        )

    def _read(self, window: Window) -> NDArray[np.int16]:
        """(height + 2, width + 2) class indices of a cell and of the pixels around it."""
        grown = window.grown(1)
        inside = grown.clip(self.grid.height, self.grid.width) or window
        wide = np.full((window.height + 2, window.width + 2), OUTSIDE, np.int16)
        wide[inside.relative_to(grown).slices] = self._map.read_counted(inside)
        return wide

    def _objects(self, window: Window, wide: NDArray[np.int16]) -> NDArray[np.integer]:
        """(height + 2, width + 2) the object of each pixel, as far as objects touch; its class."""
        if self._split is None or not (wide == self._split).any():
            return wide
        objects = wide.astype(np.int32)
        seen = window.grown(HALO_PX).clip(self.grid.height, self.grid.width) or window
        indices = self._map.read_counted(seen)
        scores = None
        if self._class_scores is not None:
            own, valid = self._class_scores.of_class(seen, indices)
            scores = np.where(valid, own, 1)
        grown = window.grown(1)
        inside = grown.clip(self.grid.height, self.grid.width) or window
        found = split(indices == self._split, scores)[inside.relative_to(seen).slices]
        objects[inside.relative_to(grown).slices][found > 0] = found[found > 0] + IGNORE
        return objects

    def _ground(self, window: Window, labels: NDArray[np.int32], pixels: Counts) -> Floats:
        """(regions,) ground in square metres, or in pixels."""
        if np.ndim(self._row_areas) == 0:
            return np.asarray(pixels * float(self._row_areas), np.float64)
        rows = self._row_areas[window.row_off : window.row_stop]
        weights = np.repeat(rows, window.width)
        ground = np.bincount(labels.ravel(), weights=weights, minlength=len(pixels))
        return np.asarray(ground, np.float64)

    def _sums(
        self, window: Window, indices: NDArray[np.uint8], labels: NDArray[np.int32], count: int
    ) -> tuple[Floats, Counts]:
        """(rasters, regions) sums of scores and confidence, and of how many pixels."""
        sums = np.zeros((len(self._scored), count))
        scored = np.zeros(sums.shape, np.int64)
        for number, raster in enumerate(self._scored):
            values, valid = raster.of_class(window, indices)
            weights = np.where(valid, values, 0).ravel()
            sums[number] = np.bincount(labels.ravel(), weights=weights, minlength=count)
            scored[number] = np.bincount(labels[valid], minlength=count)
        return sums, scored

    def close(self) -> None:
        """Release files."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def row_areas(grid: Grid) -> NDArray[np.float64]:
    """(height,) square metres of ground of a pixel of each row; (): of every pixel.

    Where rows follow parallels, as in degrees and in Mercator, of the zone between them on the
    ellipsoid; elsewhere the mean of `Grid.pixel_area`. Without a CRS a pixel counts 1.

    Source: Snyder, Map Projections: A Working Manual (1987), eq. 3-12, of authalic latitude.
    """
    mean = np.asarray(grid.pixel_area or 1.0)
    ends = [grid.transform @ (col, row) for col in (0, grid.width) for row in (0, grid.height)]
    place = grid.on_ellipsoid(*zip(*ends, strict=True))
    if place is None:
        return mean
    (west, lower_west, east, lower_east), lats, geod = place
    corners = (*lats, west, east)
    if not np.allclose(corners, (*lats[2:], *lats[:2], lower_west, lower_east), 0, 1e-9):
        return mean
    x, y, rows = grid.transform.c, grid.transform.f, range(grid.height + 1)
    edges = grid.on_ellipsoid([x] * len(rows), [y + row * grid.transform.e for row in rows])
    if edges is None:
        return mean
    sine, e = np.sin(np.radians(edges[1])), geod.es**0.5
    zone = sine / (1 - geod.es * sine**2) + (np.arctanh(e * sine) / e if e else sine)
    per_radian = np.abs(np.diff(zone)) * geod.b**2 / 2
    return np.asarray(per_radian * np.radians(abs(east - west)) / grid.width)


def _empty_cell(window: Window, rasters: int) -> Cell:
    """A cell of nodata, of which nobody needs the outline."""
    one, none = np.ones(1, np.int64), np.zeros((rasters, 1))
    rows, columns = np.zeros(window.height, np.int32), np.zeros(window.width, np.int32)
    arcs = Arcs(np.empty((0, 2), np.int32), np.zeros(1, np.int64))
    return Cell(
        classes=np.full(1, IGNORE, np.uint8),
        pixels=one * window.height * window.width,
        first=one * 0,
        areas=np.zeros(1),
        at_edge=np.ones(1, np.bool_),
        sums=none,
        scored=none.astype(np.int64),
        points=one * 0,
        top=columns,
        bottom=columns,
        left=rows,
        right=rows,
        goes_on=np.ones(2 * (window.height + window.width), np.bool_),
        coverage=Coverage(
            arcs, np.empty(0, np.int32), np.zeros(1, np.int64), np.zeros(2, np.int64)
        ),
    )


def _nodes_on_frame(wide: NDArray[np.int16], split: int | None) -> NDArray[np.bool_]:
    """(height + 1, width + 1) corners on the frame of a cell that are points of outlines.

    All but those whose four pixels are of one class, or of two with a straight line between.
    Objects that touch may end anywhere along the frame, and not where they end as seen from its
    other side: all corners between two pixels of their class are points.
    """
    nodes = np.zeros((wide.shape[0] - 1, wide.shape[1] - 1), np.bool_)
    for side in (0, -1):
        nodes[side] |= _are_nodes(wide[:2] if side == 0 else wide[-2:], split)
        nodes[:, side] |= _are_nodes(wide[:, :2].T if side == 0 else wide[:, -2:].T, split)
    return nodes


def _are_nodes(lines: NDArray[np.int16], split: int | None) -> NDArray[np.bool_]:
    """(length - 1,) whether the corners between two lines of pixels are points of outlines."""
    (one, other), (below, beside) = ((line[:-1], line[1:]) for line in lines)
    along, across = (one == other) & (below == beside), (one == below) & (other == beside)
    nodes = ~(along | across)
    if split is not None:
        nodes |= ((one == split) & (other == split)) | ((below == split) & (beside == split))
    return np.asarray(nodes)


def _go_on(objects: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Whether pixels on the frame and those beyond it are of one object, as in `Cell.goes_on`."""
    inner = objects[1:-1, 1:-1]
    return np.concatenate(
        [
            inner[0] == objects[0, 1:-1],
            inner[-1] == objects[-1, 1:-1],
            inner[:, 0] == objects[1:-1, 0],
            inner[:, -1] == objects[1:-1, -1],
        ]
    )
