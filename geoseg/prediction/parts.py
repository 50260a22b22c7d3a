"""Parts of a map that were predicted apart become the whole, the same to the byte."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from affine import Affine

from geoseg.errors import EmptyError, InputError
from geoseg.labels.legend import Legend
from geoseg.labels.tags import CLASS_MAP, read_tags
from geoseg.prediction.map_writer import (
    CONFIDENCE,
    SCORES,
    MapOutputs,
    MapReport,
    layer_formats,
    partly_read,
    place_outputs,
)
from geoseg.raster.atomic import scratch, writing
from geoseg.raster.grid import Grid
from geoseg.raster.reader import RasterReader
from geoseg.raster.window import Window
from geoseg.raster.writer import join

OWN = ("part", "pixels", "class_pixels", "unreadable_pixels", "unreadable_blocks")
"""What parts of one map may say differently."""


class Part(NamedTuple):
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

    Args:
        paths: All parts; their scores and confidence too, if those are asked for.
        outputs: Files to write.

    Raises:
        InputError: If a part is missing, there twice, or of another map.
        PartlyReadError: If blocks could not be read for the parts; the map is written.
        EmptyError: If no pixel of the map has a class.
        OutputError: If a file cannot be written.
    """
    outputs.refuse_existing()
    layers: dict[str, list[Part]] = {}
    for path in paths:
        part = _open(path)
        layers.setdefault(part.tags["kind"], []).append(part)
    wanted = [CLASS_MAP]
    wanted += [SCORES] if outputs.scores else []
    wanted += [CONFIDENCE] if outputs.confidence else []
    for kind in wanted:
        _check_whole(kind, layers.get(kind, []), paths)
    return _join(layers, outputs)


def _join(layers: Mapping[str, Sequence[Part]], outputs: MapOutputs) -> MapReport:
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
            tags = {k: v for k, v in layers[kind][0].tags.items() if k not in OWN} | own
            sources = {part.path: part.window for part in layers[kind]}
            with writing(outputs.class_map):
                join(sources, grid, replace(file_format, tags=tags), folder / f"{kind}.tif")
        place_outputs(folder, outputs, legend, list(names.values()))
    if lost:
        raise partly_read(outputs.class_map, lost)
    return MapReport(outputs.class_map, own["pixels"], names)


def _lost_pixels(maps: Sequence[Part]) -> int:
    """Pixels of the blocks that could not be read; one that touches two parts counts once."""
    blocks = {tuple(block) for part in maps for block in part.tags.get("unreadable_blocks", [])}
    return sum(height * width for _row_off, _col_off, height, width in blocks)


def _open(path: Path) -> Part:
    tags = read_tags(path)
    if "part" not in tags:
        raise InputError(f"{path}: is no part of a map as `geoseg predict --part` writes them")
    with RasterReader(path, palette_index=True) as reader:
        return Part(path, tags, reader.grid)


def _check_whole(kind: str, parts: list[Part], paths: Sequence[Path]) -> None:
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
    shared = {name: value for name, value in tags.items() if name not in OWN}
    part = {name: value for name, value in tags["part"].items() if name not in ("index", "row_off")}
    return shared | {"part": part}


def _as_parts(layers: Mapping[str, Sequence[Part]], outputs: MapOutputs) -> MapOutputs:
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
