"""Windows, neighbouring scenes, class maps or parts of a map become one map."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from geoseg.errors import EmptyError, GridMismatchError, InputError, LegendError
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.pixel_classes import PixelClasses
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
from geoseg.prediction.scores import decode_scores, refuse_non_scores
from geoseg.prediction.window_scores import WindowLayout, read_windows, window_layout
from geoseg.raster.atomic import scratch, writing
from geoseg.raster.grid import Grid, cover, union
from geoseg.raster.reader import RasterReader, ReadOptions
from geoseg.raster.window import Window, blocks
from geoseg.raster.writer import join

Method = Literal["blend", "max", "first", "last", "majority"]


class Layer(NamedTuple):
    """What one scene says of a part of a block."""

    part: Window
    """Counted from the block's corner."""

    scores: NDArray[np.float32]
    """(classes, height, width); for a class map 1 or 0."""

    valid: NDArray[np.bool_]
    distance: NDArray[np.float32]
    """(height, width) to the scene's edge, in pixels."""


Combine = Callable[[Window, Sequence[Layer], int], WindowScores]
"""Block, layers in the order of the scenes, and number of classes in; finished scores out."""


def blend_layers(block: Window, layers: Sequence[Layer], classes: int) -> WindowScores:
    """Mean of the scores, weighted by the distance to each scene's edge."""
    return _mean(block, layers, classes, [layer.distance for layer in layers])


def majority(block: Window, layers: Sequence[Layer], classes: int) -> WindowScores:
    """Share of the scenes that say each class; of equals the class of lower index wins."""
    return _mean(block, layers, classes, [np.ones_like(layer.distance) for layer in layers])


def last(block: Window, layers: Sequence[Layer], classes: int) -> WindowScores:
    """What the last scene with data says."""
    scores = np.zeros((classes, block.height, block.width), np.float32)
    valid = np.zeros((block.height, block.width), np.bool_)
    for layer in layers:
        rows, cols = layer.part.slices
        np.copyto(scores[:, rows, cols], layer.scores, where=layer.valid)
        valid[rows, cols] |= layer.valid
    return WindowScores(block, scores, valid)


def first(block: Window, layers: Sequence[Layer], classes: int) -> WindowScores:
    """What the first scene with data says."""
    return last(block, layers[::-1], classes)


def most_certain(block: Window, layers: Sequence[Layer], classes: int) -> WindowScores:
    """What the scene with the highest top score says; of equals the first."""
    top = np.full((block.height, block.width), -1, np.float32)
    ranked = []
    for layer in layers:
        rows, cols = layer.part.slices
        own = np.where(layer.valid, layer.scores.max(axis=0), np.float32(-1))
        better = own > top[rows, cols]
        ranked.append(layer._replace(valid=better))
        np.maximum(top[rows, cols], own, out=top[rows, cols])
    return last(block, ranked, classes)


METHODS: dict[Method, Combine] = {
    "blend": blend_layers,
    "max": most_certain,
    "first": first,
    "last": last,
    "majority": majority,
}


def _mean(
    block: Window, layers: Sequence[Layer], classes: int, weights: Sequence[NDArray[np.float32]]
) -> WindowScores:
    total = np.zeros((classes, block.height, block.width), np.float32)
    weight = np.zeros((block.height, block.width), np.float32)
    for layer, own in zip(layers, weights, strict=True):
        rows, cols = layer.part.slices
        counted = np.where(layer.valid, own, np.float32(0))
        total[:, rows, cols] += layer.scores * counted
        weight[rows, cols] += counted
    valid = weight > 0
    weight[~valid] = 1
    return WindowScores(block, total / weight, valid)


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
            refuse_non_scores(scores, self.reader.path)
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
        legend: The classes; None: as the files say.
        watch: Shows progress over windows or blocks.

    Raises:
        InputError: If the files are of different kinds, or the method does not suit them.
        LegendError: If their legends differ or are unknown.
        GridMismatchError: If their grids differ and they are not to be resampled.
        OutputError: If a file cannot be written.
    """
    options = options or MosaicOptions()
    outputs.refuse_existing()
    layout, method = window_layout(paths), options.method
    if layout is not None and method in (None, "blend"):
        return _blend_windows(paths, layout, outputs, watch)
    tags = [read_tags(path) for path in paths]
    class_maps = _are_class_maps(paths, tags)
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
    paths: Sequence[Path], layout: WindowLayout, outputs: MapOutputs, watch: Watch
) -> MapReport:
    region = layout.region
    windows = watch(read_windows(paths, layout), len(paths))
    parts = (
        part._replace(window=part.window.relative_to(region))
        for part in blend(windows, layout.window_grid, region)
    )
    grid = layout.grid.part(region)
    return write_map(parts, grid, layout.legend, outputs, provenance=layout.provenance)


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
            raise LegendError(f"{path}: carries no legend; pass --legend")
        if record != records[0]:
            raise LegendError(f"{path}: has another legend than {paths[0]}")
    return Legend.from_dict(records[0] or {})


PART_TAGS = ("part", "pixels", "class_pixels", "unreadable_pixels", "unreadable_blocks")
"""What parts of one map may say differently."""


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
    part = {name: value for name, value in tags["part"].items() if name not in ("index", "row_off")}
    return shared | {"part": part}


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
