"""A finished map becomes a better one: ``write(operations(read(map)))``."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geoseg
from geoseg.labels.legend import Legend
from geoseg.labels.pixel_classes import PixelClasses
from geoseg.labels.reference import RasterReference
from geoseg.labels.tags import CLASS_MAP, read_tags
from geoseg.postprocess.operations import Operation, plan, run_operations
from geoseg.postprocess.options import PostprocessOptions
from geoseg.postprocess.strips import MapStrips, Tell, strip_rows
from geoseg.prediction.map_writer import MapOutputs, MapReport, MapWriter
from geoseg.raster.atomic import scratch
from geoseg.raster.reader import RasterReader
from geoseg.raster.storage import block_cache
from geoseg.raster.writer import BLOCK_PX

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
        tags = _tags(path, operations, options)
        whole = grid.window
        writer = MapWriter(
            folder, region=whole, grid=grid, legend=legend, outputs=outputs, tags=tags
        )
        with closing(changes):
            writer.paint(((w, {CLASS_MAP: after[None]}) for w, _, after in changes), whole)
        report = writer.finish()
    return PostprocessReport(report.path, report.pixels, report.class_pixels, changed)


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
