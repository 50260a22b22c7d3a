"""Windows, neighbouring scenes, class maps or parts of a map become one map."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from geoseg.errors import EmptyError, InputError, LegendError
from geoseg.labels.legend import Legend
from geoseg.labels.tags import CLASS_MAP, CONFIDENCE, SCORES, read_tags
from geoseg.options import CALL, option
from geoseg.patches.training_ground import TAG, merged_records, record_of
from geoseg.prediction.blend import WindowScores, blend
from geoseg.prediction.map_writer import (
    MapOutputs,
    MapReport,
    layer_formats,
    partly_read,
    place_outputs,
    write_map,
)
from geoseg.prediction.scenes import Layer, bands_of, open_scenes
from geoseg.prediction.scores import DISAGREEMENT
from geoseg.prediction.window_scores import WindowLayout, read_windows, window_layout
from geoseg.raster.atomic import scratch, writing
from geoseg.raster.grid import Grid
from geoseg.raster.reader import RasterReader
from geoseg.raster.window import Window
from geoseg.raster.writer import join

Method = Literal["blend", "max", "first", "last", "majority"]


Combine = Callable[[Window, Iterable[Layer], int], WindowScores]
"""Block, layers in the order of the scenes, and number of classes in; finished scores out.

Layers are taken one by one: of very many that overlap, one is in memory."""


def blend_layers(block: Window, layers: Iterable[Layer], classes: int) -> WindowScores:
    """Mean of the scores, weighted by the distance to each scene's edge."""
    return _mean(block, ((layer, layer.distance) for layer in layers), classes)


def majority(block: Window, layers: Iterable[Layer], classes: int) -> WindowScores:
    """Share of the scenes that say each class; of equals the class of lower index wins."""
    return _mean(block, ((layer, np.ones_like(layer.distance)) for layer in layers), classes)


def _mean(
    block: Window, layers: Iterable[tuple[Layer, NDArray[np.float32]]], classes: int
) -> WindowScores:
    total, _ = _blank(block, classes)
    weight = np.zeros((block.height, block.width), np.float32)
    for layer, own in layers:
        rows, cols = layer.part.slices
        counted = np.where(layer.valid, own, np.float32(0))
        total[:, rows, cols] += layer.scores * counted
        weight[rows, cols] += counted
    valid = weight > 0
    weight[~valid] = 1
    return WindowScores(block, total / weight, valid)


def last(block: Window, layers: Iterable[Layer], classes: int) -> WindowScores:
    """What the last scene with data says."""
    scores, valid = _blank(block, classes)
    for layer in layers:
        _paint(scores, valid, layer, layer.valid)
    return WindowScores(block, scores, valid)


def first(block: Window, layers: Iterable[Layer], classes: int) -> WindowScores:
    """What the first scene with data says."""
    scores, valid = _blank(block, classes)
    for layer in layers:
        _paint(scores, valid, layer, layer.valid & ~valid[layer.part.slices])
    return WindowScores(block, scores, valid)


def most_certain(block: Window, layers: Iterable[Layer], classes: int) -> WindowScores:
    """What the scene with the highest top score says; of equals the first."""
    scores, valid = _blank(block, classes)
    top = np.full((block.height, block.width), -1, np.float32)
    for layer in layers:
        own = np.where(layer.valid, layer.scores.max(axis=0), np.float32(-1))
        best = top[layer.part.slices]
        better = own > best
        _paint(scores, valid, layer, better)
        np.maximum(best, own, out=best)
    return WindowScores(block, scores, valid)


def _blank(block: Window, classes: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Scores and validity of a block of which nothing is known yet."""
    shape = (block.height, block.width)
    return np.zeros((classes, *shape), np.float32), np.zeros(shape, np.bool_)


def _paint(
    scores: NDArray[np.float32], valid: NDArray[np.bool_], layer: Layer, where: NDArray[np.bool_]
) -> None:
    """Take over a layer's scores in some of its pixels."""
    rows, cols = layer.part.slices
    np.copyto(scores[:, rows, cols], layer.scores, where=where)
    valid[rows, cols] |= where


METHODS: dict[Method, Combine] = {
    "blend": blend_layers,
    "max": most_certain,
    "first": first,
    "last": last,
    "majority": majority,
}


Watch = Callable[[Iterable[Any], int], Iterable[Any]]
"""Shows progress: gives windows or blocks on and knows how many there are."""

FOR_SCORES: tuple[Method, ...] = ("blend", "max", "first", "last")

FOR_CLASS_MAPS: tuple[Method, ...] = ("majority", "first", "last")


@dataclass(frozen=True, kw_only=True)
class MosaicOptions:
    """How maps are brought together."""

    method: Method | None = option(
        None,
        group=CALL,
        shown="blend for scores, majority for class maps",
        help="What becomes of ground that several maps show.",
    )
    resample: bool = option(False, group=CALL, help="Resample scenes onto the first one's grid.")


def mosaic(
    paths: Sequence[Path],
    outputs: MapOutputs,
    options: MosaicOptions | None = None,
    *,
    legend: Legend | None = None,
    watch: Watch = lambda parts, _: parts,
) -> MapReport:
    """Bring windows, score rasters or class maps together in one map.

    Windows of one map are blended exactly as `predict` blends them.

    Args:
        paths: Windows of ``predict --windows``, score rasters, or class maps.
        outputs: Files to write.
        options: How.
        legend: The classes, in the order of the map; None: as the files say. Scores of geoseg are
            matched by name, and so are class maps that name the same classes.
        watch: Shows progress over windows or blocks.

    Raises:
        InputError: If the files are of different kinds, or the method does not suit them.
        LegendError: If their legends differ, are unknown, or are not the one given.
        GridMismatchError: If their grids differ and they are not to be resampled.
        OutputError: If a file cannot be written.
    """
    options = options or MosaicOptions()
    if outputs.has_squares:
        raise InputError(
            f"--confidence {DISAGREEMENT}: is between the windows, views and models of one "
            f"prediction; `geoseg predict` writes it, and --parts joins it"
        )
    outputs.refuse_existing()
    layout, method = window_layout(paths), options.method
    if layout is not None and method in (None, "blend"):
        return _blend_windows(paths, layout, outputs, legend or layout.legend, watch)
    tags = _shared_tags(paths)
    class_maps = _are_class_maps(paths, tags)
    if class_maps and outputs.thresholds:
        raise InputError(f"--threshold is for scores, and {paths[0]} holds classes")
    legend = legend or _common_legend(paths, tags)
    method = method or ("majority" if class_maps else "blend")
    if method not in (FOR_CLASS_MAPS if class_maps else FOR_SCORES):
        kind = "class maps" if class_maps else "scores"
        raise InputError(f"--method {method} is not for {kind}, which {paths[0]} holds")
    whole = layout.grid.part(layout.region) if layout else None
    with open_scenes(
        paths, legend, class_maps=class_maps, resample=options.resample, whole=whole
    ) as scenes:
        combine = METHODS[method]
        layers = watch(scenes.layers(), scenes.block_count)
        blocks = (combine(block, layers, len(legend)) for block, layers in layers)
        provenance: dict[str, Any] = {"method": method, "sources": [path.name for path in paths]}
        ground = merged_records(map(record_of, tags, paths))
        provenance |= {} if ground is None else {TAG: ground}
        return write_map(blocks, scenes.grid, legend, outputs, provenance=provenance)


def _blend_windows(
    paths: Sequence[Path],
    layout: WindowLayout,
    outputs: MapOutputs,
    legend: Legend,
    watch: Watch,
) -> MapReport:
    region, bands = layout.region, list(bands_of(paths[0], layout.legend.names, legend))
    windows = watch(read_windows(paths, layout), len(paths))
    parts = (
        WindowScores(part.window.relative_to(region), part.scores[bands], part.valid)
        for part in blend(windows, layout.window_grid, region)
    )
    grid = layout.grid.part(region)
    return write_map(parts, grid, legend, outputs, provenance=layout.provenance)


def _shared_tags(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """The tags of some maps; a legend that all have is in memory once."""
    every: list[dict[str, Any]] = []
    for path in paths:
        tags = read_tags(path)
        if every and tags.get("legend") == every[0].get("legend", {}):
            tags["legend"] = every[0]["legend"]
        every.append(tags)
    return every


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
        raise InputError(
            f"{paths[0]} and {other}: one holds classes, the other scores; of a folder or quoted "
            f"pattern the class maps are taken"
        )
    return kinds[0]


def _common_legend(paths: Sequence[Path], tags: Sequence[dict[str, Any]]) -> Legend:
    records = [own.get("legend") for own in tags]
    for path, record in zip(paths, records, strict=True):
        if record is None:
            raise LegendError(f"{path}: carries no legend; pass --legend")
        if record != records[0]:
            raise LegendError(f"{path}: has another legend than {paths[0]}")
    return Legend.from_dict(records[0] or {})


PART_TAGS = ("part", "pixels", "class_pixels", "unreadable_pixels", "unreadable_blocks")
"""What parts of one map may say differently."""

OF_ONE_PART = ("index", "row_off", "rows")
"""And of what they say of themselves as parts."""


OF_ALL_LAYERS = ("provenance", "legend", "part")
"""What the class map of a part and its scores and confidence say alike."""


class MapPart(NamedTuple):
    """A file that `predict --part` has written."""

    path: Path
    tags: Mapping[str, Any]
    grid: Grid

    @property
    def window(self) -> Window:
        """Where it lies on the map."""
        size = {"height": self.grid.height, "width": self.grid.width}
        return Window(row_off=self.tags["part"]["row_off"], col_off=0, **size)


def join_parts(paths: Sequence[Path], outputs: MapOutputs) -> MapReport:
    """Put the parts of a map together.

    Raises:
        InputError: If a part is missing, there twice, or of another map.
        PartlyReadError: If blocks could not be read for the parts; the map is written.
        EmptyError: If no pixel of the map has a class.
        OutputError: If a file cannot be written.
    """
    outputs.refuse_existing()
    layers: dict[str, list[MapPart]] = {}
    for path in paths:
        part = _open_part(path)
        layers.setdefault(part.tags["kind"], []).append(part)
    wanted = [CLASS_MAP]
    wanted += [SCORES] if outputs.scores else []
    wanted += [CONFIDENCE] if outputs.confidence else []
    for kind in wanted:
        _check_whole(kind, layers.get(kind, []), paths)
        first, own = layers[CLASS_MAP][0], layers[kind][0]
        if _of_map(own.tags) != _of_map(first.tags):
            raise InputError(f"{own.path}: is not of the same map and model as {first.path}")
    return _write_joined(layers, outputs)


def _write_joined(layers: Mapping[str, Sequence[MapPart]], outputs: MapOutputs) -> MapReport:
    maps = layers[CLASS_MAP]
    first, last = maps[0].tags, maps[-1].tags["part"]
    legend = Legend.from_dict(first["legend"])
    names = {name: sum(part.tags["class_pixels"][name] for part in maps) for name in legend.names}
    if not any(names.values()):
        raise EmptyError(f"{outputs.class_map}: would have no pixel with a class")
    width = maps[0].grid.width
    grid = Grid(maps[0].grid.crs, Affine(*last["transform"]), last["height"], width)
    own: dict[str, Any] = {"pixels": grid.height * width, "class_pixels": names}
    if lost := _lost_pixels(maps):
        own["unreadable_pixels"] = lost
    with scratch(outputs.class_map) as folder:
        for kind, file_format in layer_formats(legend, _as_parts(layers, outputs), {}).items():
            tags = {k: v for k, v in layers[kind][0].tags.items() if k not in PART_TAGS} | own
            sources = {part.path: part.window for part in layers[kind]}
            with writing(outputs.class_map):
                join(sources, grid, replace(file_format, tags=tags), folder / f"{kind}.tif")
        place_outputs(folder, outputs, legend, list(names.values()))
    if lost:
        raise partly_read(outputs.class_map, lost)
    return MapReport(outputs.class_map, own["pixels"], names)


def _lost_pixels(maps: Sequence[MapPart]) -> int:
    """Pixels of the blocks that could not be read; one that touches two parts counts once."""
    blocks = {tuple(block) for part in maps for block in part.tags.get("unreadable_blocks", [])}
    return sum(height * width for _row_off, _col_off, height, width in blocks)


def _open_part(path: Path) -> MapPart:
    tags = read_tags(path)
    if "part" not in tags:
        raise InputError(f"{path}: is no part of a map as `geoseg predict --part` writes them")
    with RasterReader(path, palette_index=True) as reader:
        return MapPart(path, tags, reader.grid)


def _check_whole(kind: str, parts: list[MapPart], paths: Sequence[Path]) -> None:
    """See that all parts of a layer are there, once each; sort them."""
    if not parts:
        raise InputError(f"{paths[0]} and the others: none of the parts holds a {kind}")
    first = parts[0]
    for other in parts[1:]:
        if _shared(other.tags) != _shared(first.tags):
            raise InputError(f"{other.path}: is not of the same map and model as {first.path}")
    parts.sort(key=lambda part: part.tags["part"]["index"])
    count = first.tags["part"]["count"]
    found = [part.tags["part"]["index"] for part in parts]
    if missing := sorted(set(range(1, count + 1)) - set(found)):
        raise InputError(f"{kind}: of {count} parts, {missing} are missing")
    if len(found) > count:
        twice = next(n for n in found if found.count(n) > 1)
        raise InputError(f"{kind}: part {twice} of {count} is there more than once")


def _shared(tags: Mapping[str, Any]) -> dict[str, Any]:
    """What all parts of a map say alike."""
    shared = {name: value for name, value in tags.items() if name not in PART_TAGS}
    part = {name: value for name, value in tags["part"].items() if name not in OF_ONE_PART}
    return shared | {"part": part}


def _of_map(tags: Mapping[str, Any]) -> dict[str, Any]:
    """What all layers of a map say alike."""
    return {name: _shared(tags).get(name) for name in OF_ALL_LAYERS}


def _as_parts(layers: Mapping[str, Sequence[MapPart]], outputs: MapOutputs) -> MapOutputs:
    """The outputs, stored as the parts are."""
    scale = layers[SCORES][0].tags["scale"] if outputs.scores else ""
    figure: Any = layers[CONFIDENCE][0].tags["figure"] if outputs.confidence else "margin"
    if outputs.confidence and figure != outputs.confidence_kind:
        raise InputError(
            f"{layers[CONFIDENCE][0].path}: the parts hold confidence by {figure}, not by "
            f"{outputs.confidence_kind}: --confidence {figure}"
        )
    return replace(
        outputs,
        score_type="float32" if scale == "score" else "uint8",
        confidence_kind=figure,
    )
