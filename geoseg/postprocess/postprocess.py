"""A finished map becomes a better one: ``write(operations(read(map)))``."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import geoseg
from geoseg.errors import EmptyError
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.pixel_classes import PixelClasses
from geoseg.labels.reference import RasterReference
from geoseg.labels.tags import CLASS_MAP, read_tags
from geoseg.postprocess.operations import Operation, plan, run_operations
from geoseg.postprocess.options import PostprocessOptions
from geoseg.postprocess.strips import Change, MapStrips, Tell, strip_rows
from geoseg.prediction.map_writer import MapOutputs, MapReport, layer_formats, place_outputs
from geoseg.raster.atomic import scratch, writing
from geoseg.raster.reader import RasterReader
from geoseg.raster.storage import block_cache
from geoseg.raster.window import Window
from geoseg.raster.writer import BLOCK_PX, MapChunks

CACHED_ROWS = 3 * BLOCK_PX
"""Rows of the map of which GDAL keeps the blocks, so that strips find them there."""

KEPT_TAGS = ("provenance", "unreadable_pixels")
"""What the new map says as the old one did."""


@dataclass(frozen=True)
class PostprocessReport(MapReport):
    """What was written, and what was done."""

    changed: dict[str, int]
    """Pixels that each operation has changed, in their order."""


def postprocess_map(
    path: Path,
    legend: Legend,
    outputs: MapOutputs,
    *,
    options: PostprocessOptions,
    tell: Tell = lambda *_: None,
    rows: int | None = None,
) -> PostprocessReport:
    """Apply operations to a class map.

    Args:
        path: The class map; values as the legend says, or colours.
        legend: Its classes.
        outputs: The map to write.
        options: What is done.
        tell: Is told of progress.
        rows: Of a strip that is computed at a time; the result does not depend on it.

    Raises:
        EmptyError: If the map has no pixel with a class.
        LegendError: If the map has values without a class, or options name no class of it.
        InputError: If metres are given for a map that has none.
        RasterError: If the map cannot be read.
        OutputError: If the output cannot be written.
    """
    outputs.refuse_existing()
    with RasterReader(path, palette_index=True) as reader:
        grid = reader.grid
    operations = plan(options, legend, grid)
    source = RasterReference(PixelClasses.of_map(path, legend), grid=grid)
    changed: dict[str, int] = {}
    cache = block_cache(CACHED_ROWS * grid.width)
    with closing(source), scratch(outputs.class_map) as folder, cache:
        strips = MapStrips(source, grid, rows or strip_rows(grid.width), tell)
        changes = run_operations(strips, operations, folder, changed)
        tags = _tags(path, operations, options) | {"legend": legend.to_dict()}
        with closing(changes):
            chunks = MapChunks(folder, grid, layer_formats(legend, outputs, tags))
            pixels = _write(changes, chunks, legend, outputs)
    names = dict(zip(legend.names, pixels, strict=True))
    return PostprocessReport(outputs.class_map, grid.height * grid.width, names, changed)


def _write(
    changes: Iterable[Change], chunks: MapChunks, legend: Legend, outputs: MapOutputs
) -> list[int]:
    """Write the map as `predict` writes its own; pixels of each class."""
    grid, folder = chunks.grid, chunks.folder
    pixels = np.zeros(len(legend), np.int64)
    with writing(outputs.class_map):
        for window, indices, counts in _thick(changes, len(legend)):
            layers = {CLASS_MAP: legend.decode_map(indices)[None]} if counts.any() else None
            chunks.write(window, layers, counts.tolist())
            pixels += counts
        if not pixels.any():
            raise EmptyError(f"{outputs.class_map}: would have no pixel with a class")
        names = dict(zip(legend.names, pixels.tolist(), strict=True))
        own = {"pixels": grid.height * grid.width, "class_pixels": names}
        chunks.assemble(CLASS_MAP, folder / f"{CLASS_MAP}.tif", own)
    place_outputs(folder, outputs, legend, pixels.tolist())
    return pixels.tolist()


def _thick(
    changes: Iterable[Change], classes: int
) -> Iterator[tuple[Window, NDArray[np.uint8], NDArray[np.int64]]]:
    """Strips put together until they have as many rows as a storage tile; pixels of each class."""
    waiting: list[Change] = []
    for change in changes:
        waiting.append(change)
        if change.window.row_stop - waiting[0].window.row_off >= BLOCK_PX:
            yield _together(waiting, classes)
            waiting = []
    if waiting:
        yield _together(waiting, classes)


def _together(
    strips: list[Change], classes: int
) -> tuple[Window, NDArray[np.uint8], NDArray[np.int64]]:
    first, indices = strips[0].window, np.concatenate([each.after for each in strips])
    counts = np.zeros(IGNORE + 1, np.int64)
    for each in strips:
        counts += np.bincount(each.after.ravel(), minlength=IGNORE + 1)
    window = Window(row_off=first.row_off, col_off=0, height=len(indices), width=first.width)
    return window, indices, counts[:classes]


def _tags(path: Path, operations: list[Operation], options: PostprocessOptions) -> dict[str, Any]:
    """What the new map says of itself: what the old one did, and what was done to it."""
    old = read_tags(path)
    kept = {name: old[name] for name in KEPT_TAGS if name in old}
    step = {
        "geoseg": geoseg.__version__,
        "map": path.name,
        "operations": [operation.name for operation in operations],
        "connectivity": options.connectivity,
    }
    provenance = dict(kept.get("provenance", {}))
    provenance["postprocessing"] = [*provenance.get("postprocessing", []), step]
    return kept | {"provenance": provenance}
