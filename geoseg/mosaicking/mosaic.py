"""The step: windows or scenes in, one georeferenced map out."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from geoseg.core.blend import blend
from geoseg.core.legend import Legend
from geoseg.core.window import Window
from geoseg.errors import InputError, LegendError
from geoseg.io.raster import RasterReader
from geoseg.io.training_ground import TAG, merged_records, record_of
from geoseg.io.window_scores import WindowLayout, read_tags, read_windows, window_layout
from geoseg.mosaicking.class_map import write_map
from geoseg.mosaicking.layers import CLASS_MAP, SCORES
from geoseg.mosaicking.methods import METHODS, Method
from geoseg.mosaicking.outputs import MapOutputs, MapReport
from geoseg.mosaicking.scenes import open_scenes

__all__ = ["Method", "mosaic"]

Watch = Callable[[Iterable[Any], int], Iterable[Any]]
"""Shows progress: gives windows or blocks on and knows how many there are."""

REGION = "region"
"""In what windows were made of: ``[row_off, col_off, height, width]`` of the map on the
orthophoto's pixels, where it is not all of it."""

FOR_SCORES: tuple[Method, ...] = ("blend", "max", "first", "last")
FOR_CLASS_MAPS: tuple[Method, ...] = ("majority", "first", "last")


def mosaic(
    paths: Sequence[Path],
    outputs: MapOutputs,
    *,
    method: Method | None = None,
    legend: Legend | None = None,
    resample: bool = False,
    watch: Watch = lambda parts, _: parts,
) -> MapReport:
    """Bring windows, score rasters or class maps together in one map.

    Windows of one map are blended exactly as `predict` blends them.

    Args:
        paths: Windows of ``predict --windows``, score rasters, or class maps.
        outputs: Files to write.
        method: How; None: ``blend`` for scores, ``majority`` for class maps.
        legend: The classes; None: as the files say.
        resample: Bring scenes of other grids onto the first one's.
        watch: Shows progress over windows or blocks.

    Raises:
        InputError: If the files are of different kinds, or the method does not suit them.
        LegendError: If their legends differ or are unknown.
        GridMismatchError: If their grids differ and they are not to be resampled.
        OutputError: If a file cannot be written.
    """
    outputs.refuse_existing()
    layout = window_layout(paths)
    if layout is not None and method in (None, "blend"):
        return _blend_windows(paths, layout, outputs, watch)
    tags = [read_tags(path) for path in paths]
    class_maps = _are_class_maps(paths, tags)
    legend = legend or _common_legend(paths, tags)
    method = method or ("majority" if class_maps else "blend")
    if method not in (FOR_CLASS_MAPS if class_maps else FOR_SCORES):
        kind = "class maps" if class_maps else "scores"
        raise InputError(f"--method {method} is not for {kind}, which {paths[0]} holds")
    whole = layout.grid.part(_region(layout)) if layout else None
    with open_scenes(
        paths, legend, class_maps=class_maps, resample=resample, whole=whole
    ) as scenes:
        combine = METHODS[method]
        layers = watch(scenes.layers(), scenes.block_count)
        blocks = (combine(block, layers, len(legend)) for block, layers in layers)
        provenance: dict[str, Any] = {"method": method, "sources": [path.name for path in paths]}
        ground = merged_records(map(record_of, tags, paths))
        provenance |= {} if ground is None else {TAG: ground}
        return write_map(blocks, scenes.grid, legend, outputs, provenance=provenance)


def _blend_windows(
    paths: Sequence[Path], layout: WindowLayout, outputs: MapOutputs, watch: Watch
) -> MapReport:
    region = _region(layout)
    windows = watch(read_windows(paths, layout), len(paths))
    parts = (
        part._replace(window=part.window.relative_to(region))
        for part in blend(windows, layout.lattice, region)
    )
    grid = layout.grid.part(region)
    return write_map(parts, grid, layout.legend, outputs, provenance=layout.provenance)


def _region(layout: WindowLayout) -> Window:
    """What of the orthophoto the windows were to map."""
    place = layout.provenance.get(REGION)
    if place is None:
        return layout.grid.window
    row_off, col_off, height, width = place
    return Window(row_off=row_off, col_off=col_off, height=height, width=width)


def _are_class_maps(paths: Sequence[Path], tags: Sequence[dict[str, Any]]) -> bool:
    """Whether the files hold classes; files that do not say so count their bands."""
    kinds = []
    for path, own in zip(paths, tags, strict=True):
        kind = own.get("kind")
        if kind is None:
            with RasterReader(path, palette_index=True) as reader:
                kind = CLASS_MAP if reader.bands == 1 else SCORES
        kinds.append(kind == CLASS_MAP)
    if len(set(kinds)) > 1:
        other = paths[kinds.index(not kinds[0])]
        raise InputError(f"{paths[0]} and {other}: one holds classes, the other scores")
    return kinds[0]


def _common_legend(paths: Sequence[Path], tags: Sequence[dict[str, Any]]) -> Legend:
    records = [own.get("legend") for own in tags]
    for path, record in zip(paths, records, strict=True):
        if record is None:
            raise LegendError(f"{path}: says nothing of its classes; give --legend")
        if record != records[0]:
            raise LegendError(f"{path}: has another legend than {paths[0]}")
    return Legend.from_dict(records[0] or {})
