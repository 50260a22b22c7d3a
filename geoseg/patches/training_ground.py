"""The ground that a model was trained on: known to its bundle, carried by its maps.

A bundle knows the windows of every source and split, as rectangles that share no pixel. A map
carries those of the training split that lie on it, so that an evaluation can tell ground that the
model has seen from ground that it has not, whatever becomes of the bundle or the orthophoto's name.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import CRSError

from geoseg.errors import BundleError, GeosegError, InputError, issue_warning
from geoseg.labels.tags import read_tags
from geoseg.raster.atomic import write_text
from geoseg.raster.grid import Grid, missing_transform, same_crs, window_on
from geoseg.raster.reader import RasterReader
from geoseg.raster.records import read_record, understanding
from geoseg.raster.window import Window, spread_windows

if TYPE_CHECKING:
    from geoseg.patches.record import PatchSetRecord, PatchTable, Split

GROUND = "ground.json"
"""Of a bundle: where it was trained."""

TAG = "training_ground"
"""Of a map's provenance: what of its ground trained the model."""

MAX_OFFSET_PX = 2**40
"""Pixels from the corner of a raster; no raster has so many rows or columns."""

SAMPLES, SIDE = 4, 64
"""Windows along each side of a raster by which its content is known, and their side in pixels."""

EDGE_SEGMENTS = 16
"""Of a rectangle's sides: each end is brought into another CRS for itself."""

EDGE_TOLERANCE_PX = 1e-6
"""What lies so near to the centre of a pixel lies on it."""

Boxes = NDArray[np.int64]
"""(n, 4) first row, first column, row and column behind the last."""


@dataclass(frozen=True, kw_only=True)
class SourceGround:
    """What of an orthophoto a patch set covers."""

    content: str | None
    """`content_of` the orthophoto; None: it is not known."""

    grid: Grid

    windows: "Mapping[Split, tuple[Window, ...]]"
    """On it, of each split; those of a split share no pixel."""


@dataclass(frozen=True, kw_only=True)
class TrainingGround:
    """Where a model was trained."""

    sources: tuple[SourceGround, ...]
    """Of all patch sets that it has seen."""

    is_complete: bool = True
    """Whether it has seen no other ground."""

    @classmethod
    def of(cls, record: "PatchSetRecord", patches: "PatchTable") -> Self:
        """The ground of a patch set; that of sources whose place is not known is missing."""
        from geoseg.patches.record import SPLITS

        found = []
        for number, source in enumerate(record.sources):
            if source.grid is None:
                continue
            own = patches[patches.source == number]
            splits = {split: _merged(own.in_split(split), source.grid) for split in SPLITS}
            found.append(SourceGround(content=source.content, grid=source.grid, windows=splits))
        return cls(sources=tuple(found), is_complete=len(found) == len(record.sources))

    def joined(self, other: "TrainingGround | None") -> "TrainingGround":
        """This and other ground, of which nothing may be known."""
        if other is None:
            return replace(self, is_complete=False)
        sources = list(self.sources)
        for each in other.sources:
            if not any(_are_same(each, known) for known in sources):
                sources.append(each)
        is_complete = self.is_complete and other.is_complete
        return TrainingGround(sources=tuple(sources), is_complete=is_complete)

    def on(self, grid: Grid, region: Window, content: Callable[[], str | None]) -> dict[str, Any]:
        """What the map of a part of an orthophoto says of it, for JSON.

        Of pictures without a place nothing is known but whether they are one of the sources.

        Args:
            grid: The orthophoto's.
            region: The map, on the orthophoto's pixels.
            content: Gives `content_of` the orthophoto; only asked if it is as large as a source.
        """
        size = (grid.height, grid.width)
        alike = [(each.grid.height, each.grid.width) == size for each in self.sources]
        found = content() if any(alike) else None
        is_source = found is not None and any(found == each.content for each in self.sources)
        is_placed = grid.crs is not None and all(each.grid.crs for each in self.sources)
        parts, places = [], []
        for source in self.sources:
            same = found is not None and found == source.content
            own = grid if same else source.grid
            inside = region if same else _shared(source.grid, grid.part(region))
            cut = [each.intersection(inside) for each in source.windows["train"] if inside]
            if windows := [each for each in cut if each is not None]:
                parts.append(_part(own, windows, region))
                places.append(own.crs.to_wkt() if own.crs else None)
        crs = sorted({place for place in places if place})
        for part, place in zip(parts, places, strict=True):
            part["crs"] = None if place is None else crs.index(place)
        is_complete = self.is_complete and (is_source or is_placed)
        return {"is_complete": is_complete, "crs": crs, "parts": parts}

    def write(self, folder: Path) -> None:
        """Write it into a bundle."""
        crs = sorted({each.grid.crs.to_wkt() for each in self.sources if each.grid.crs})
        rows = [
            {
                "content": each.content,
                "crs": crs.index(each.grid.crs.to_wkt()) if each.grid.crs else None,
                "transform": list(each.grid.transform[:6]),
                "size": [each.grid.height, each.grid.width],
                "windows": {split: _numbers(own) for split, own in each.windows.items()},
            }
            for each in self.sources
        ]
        content = {"is_complete": self.is_complete, "crs": crs, "sources": rows}
        write_text(folder / GROUND, json.dumps(content) + "\n")

    @classmethod
    def read(cls, folder: Path) -> "TrainingGround | None":
        """That of a bundle; None if it does not say.

        Raises:
            BundleError: If what it says is damaged.
        """
        path = folder / GROUND
        if not os.path.lexists(path):
            return None
        try:
            with understanding(path):
                content = read_record(path)
                places = _places(content["crs"])
                sources = tuple(_source(row, places) for row in content["sources"])
                return cls(sources=sources, is_complete=_said(content["is_complete"]))
        except InputError as error:
            raise BundleError(
                f"{error}; bring it back from a copy of the model, or delete it to go on without "
                f"it: evaluations cannot tell then which ground the model was trained on"
            ) from error


def _source(row: Mapping[str, Any], places: Sequence[CRS]) -> SourceGround:
    from geoseg.patches.record import SPLITS

    content, (height, width) = row["content"], map(_whole, row["size"])
    if not (content is None or isinstance(content, str)):
        raise TypeError(f"content is {content!r:.60}")
    grid = Grid(_place(places, row["crs"]), _transform(row), height, width)
    windows = {split: _windows(row["windows"][split]) for split in SPLITS}
    for window in chain.from_iterable(windows.values()):
        if window.clip(height, width) != window:
            raise ValueError(f"{window} is not on a source of {width} x {height} px")
    return SourceGround(content=content, grid=grid, windows=windows)


def _are_same(one: SourceGround, other: SourceGround) -> bool:
    """Whether all that is known of two sources is the same."""
    if (one.content, one.grid.transform) != (other.content, other.grid.transform):
        return False
    return one.windows == other.windows and same_crs(one.grid.crs, other.grid.crs)


class TrainedGround:
    """What of a map's ground trained its model, to be read in windows."""

    def __init__(self, record: Mapping[str, Any], grid: Grid) -> None:
        """Prepare to read what `TrainingGround.on` says, on the grid of the map."""
        from geoseg.raster.polygons import AreaOfInterest

        self.is_complete = _said(record["is_complete"])
        places = _places(record["crs"])
        boxes: list[Boxes] = [np.zeros((0, 4), np.int64)]
        outlines: list[Any] = []
        for part in record["parts"]:
            windows = _windows(part["windows"])
            if "transform" not in part:
                if part["size"] == [grid.height, grid.width]:
                    boxes.append(_corners(windows).astype(np.int64))
                else:  # cut or resampled, and without a place
                    self.is_complete = False
                continue
            crs, transform = _place(places, part["crs"]), _transform(part)
            to_map = ~grid.transform @ transform
            rows_stay_rows = max(abs(to_map.b), abs(to_map.d)) < EDGE_TOLERANCE_PX
            if same_crs(crs, grid.crs) and rows_stay_rows:
                boxes.append(_on_pixels(_corners(windows), to_map))
            else:
                outlines.append(_outlines(windows, Grid(crs, transform, 1, 1), grid))
        self._boxes = np.concatenate(boxes)
        self._areas = [AreaOfInterest(each, grid, may_be_elsewhere=True) for each in outlines]

    @classmethod
    def of_map(cls, path: Path, grid: Grid) -> Self | None:
        """That of a map and its grid; None if it does not say, or with a warning if damaged."""
        record = record_of(read_tags(path), path)
        return None if record is None else cls(record, grid)

    def read(self, window: Window) -> NDArray[np.bool_]:
        """(height, width) bool, True where the ground trained the model."""
        inside = np.zeros((window.height, window.width), np.bool_)
        boxes = self._boxes - [window.row_off, window.col_off] * 2
        limits = [window.height, window.width] * 2
        for top, left, bottom, right in boxes.clip(0, limits).tolist():
            inside[top:bottom, left:right] = True
        for area in self._areas:
            inside |= area.read(window)
        return inside


def record_of(tags: Mapping[str, Any], path: Path) -> dict[str, Any] | None:
    """What a map says of its training ground, as `TrainingGround.on` gives it; None: nothing.

    What is damaged is ignored with a warning: the map itself is whole.
    """
    record: dict[str, Any] | None = tags.get("provenance", {}).get(TAG)
    if record is None:
        return None
    try:
        with understanding(path):
            _check_record(record)
    except InputError as error:
        issue_warning(
            f"{path}: its record of the ground that trained the model is damaged and ignored: it "
            f"is not told apart; map the orthophoto again to have it "
            f"({str(error).removeprefix(f'{path}: is damaged: ')})"
        )
        return None
    return record


def _check_record(record: Mapping[str, Any]) -> None:
    """Raise if it is not as `TrainingGround.on` gives it."""
    _said(record["is_complete"])
    places = _places(record["crs"])
    for part in record["parts"]:
        _windows(part["windows"])
        _place(places, part["crs"])
        if "transform" in part:
            Grid(None, _transform(part), 1, 1)
        else:
            _, _ = map(_whole, part["size"])


def content_of(path: Path) -> str | None:
    """Hash of a raster's size and of its pixels here and there.

    It is the same for the same pixels, whatever file holds them: names, formats, compression and
    georeference do not count.

    Returns:
        None if the raster cannot be read, or all these pixels are the same, as others' may be.
    """
    try:
        with RasterReader(path) as reader:
            height, width = reader.grid.height, reader.grid.width
            digest = hashlib.sha256(f"{reader.bands} {height} {width}".encode())
            lowest, highest = np.inf, -np.inf
            for window in spread_windows(height, width, size=SIDE, per_axis=SAMPLES):
                image = reader.read(window).image.astype("<f8")
                lowest, highest = min(lowest, image.min()), max(highest, image.max())
                digest.update(image.tobytes())
            return digest.hexdigest() if lowest < highest else None
    except GeosegError:
        return None


def merged_records(records: Iterable[Mapping[str, Any] | None]) -> dict[str, Any] | None:
    """What the map of several maps says of its training ground; None if none of them does."""
    every = list(records)
    known = [each for each in every if each is not None]
    if not known:
        return None
    crs = sorted({place for each in known for place in each["crs"]})
    parts = [
        dict(part) | {"crs": None if part["crs"] is None else crs.index(each["crs"][part["crs"]])}
        for each in known
        for part in each["parts"]
    ]
    is_complete = len(known) == len(every) and all(each["is_complete"] for each in known)
    return {"is_complete": is_complete, "crs": crs, "parts": parts}


def disjoint(boxes: Boxes) -> Boxes:
    """Rectangles that cover what others cover, and share no pixel.

    From top to bottom, the rows between two edges are covered by the same columns: runs of these
    that stay the same over several such strips are one rectangle.

    >>> disjoint(np.array([[0, 0, 4, 4], [2, 2, 6, 6]])).tolist()
    [[0, 0, 2, 4], [2, 0, 4, 6], [4, 2, 6, 6]]
    """
    edges = np.unique(boxes[:, (0, 2)])
    begun: dict[tuple[int, int], int] = {}
    found: list[tuple[int, int, int, int]] = []
    for top in edges.tolist():
        here = boxes[(boxes[:, 0] <= top) & (boxes[:, 2] > top)]
        runs = _runs(here[:, (1, 3)])
        ended = begun.keys() - set(runs)
        found += [(begun.pop(run), run[0], top, run[1]) for run in ended]
        for run in runs:
            begun.setdefault(run, top)
    return np.array(sorted(found), np.int64).reshape(-1, 4)


def _runs(spans: NDArray[np.int64]) -> list[tuple[int, int]]:
    """(n, 2) spans, those that touch as one."""
    runs: list[tuple[int, int]] = []
    for start, stop in sorted(spans.tolist()):
        if runs and start <= runs[-1][1]:
            runs[-1] = runs[-1][0], max(runs[-1][1], stop)
        else:
            runs.append((start, stop))
    return runs


def _merged(patches: "PatchTable", grid: Grid) -> tuple[Window, ...]:
    """The ground of patches, as far as it is on their orthophoto."""
    starts = np.stack([patches.row_off, patches.col_off], axis=1).astype(np.int64)
    boxes = np.concatenate([starts, starts + patches.size], axis=1)
    boxes = boxes.clip(0, [grid.height, grid.width] * 2)
    return tuple(
        Window(row_off=top, col_off=left, height=bottom - top, width=right - left)
        for top, left, bottom, right in disjoint(boxes).tolist()
    )


def _shared(source: Grid, grid: Grid) -> Window | None:
    """The pixels of a source on the ground of a map; None if there are none, or none are known."""
    if source.crs is None or grid.crs is None or missing_transform(source.crs, grid.crs):
        return None
    return window_on(source, grid)


def _part(grid: Grid, windows: Sequence[Window], region: Window) -> dict[str, Any]:
    """Windows on a grid; of one without a place, on the map's own pixels."""
    if grid.is_georeferenced:
        return {"transform": list(grid.transform[:6]), "windows": _numbers(windows)}
    own = [each.relative_to(region) for each in windows]
    return {"size": [region.height, region.width], "windows": _numbers(own)}


def _numbers(windows: Iterable[Window]) -> list[list[int]]:
    return [[each.row_off, each.col_off, each.height, each.width] for each in windows]


def _windows(rows: Iterable[Sequence[int]]) -> tuple[Window, ...]:
    return tuple(
        Window(row_off=row, col_off=col, height=height, width=width)
        for row, col, height, width in (map(_whole, each) for each in rows)
    )


def _whole(number: Any) -> int:
    if not isinstance(number, int) or isinstance(number, bool):
        raise TypeError(f"{number!r:.60} is no whole number")
    if abs(number) > MAX_OFFSET_PX:
        raise ValueError(f"{number:.3g} is no place in a raster")
    return number


def _said(answer: Any) -> bool:
    if not isinstance(answer, bool):
        raise TypeError(f"is_complete is {answer!r:.60}")
    return answer


def _places(texts: Iterable[str]) -> list[CRS]:
    try:
        return [CRS.from_wkt(each) for each in texts]
    except CRSError as error:
        raise ValueError(f"its crs are none: {error}") from error


def _place(places: Sequence[CRS], number: Any) -> CRS | None:
    """One of the CRS, by its number."""
    if number is None:
        return None
    if not 0 <= _whole(number) < len(places):
        raise ValueError(f"crs number {number} is none of {len(places)}")
    return places[number]


def _transform(record: Mapping[str, Any]) -> Affine:
    a, b, c, d, e, f = record["transform"]
    return Affine(a, b, c, d, e, f)


def _corners(windows: Sequence[Window]) -> NDArray[np.float64]:
    """(n, 4) first row, first column, row and column behind the last."""
    corners = [[each.row_off, each.col_off, each.row_stop, each.col_stop] for each in windows]
    return np.array(corners, float).reshape(-1, 4)


def _on_pixels(corners: NDArray[np.float64], to_map: Affine) -> Boxes:
    """(n, 4) boxes of the pixels of a map whose centres lie in rectangles."""
    rows = corners[:, (0, 2)] * to_map.e + to_map.f
    cols = corners[:, (1, 3)] * to_map.a + to_map.c
    ends = np.stack([rows.min(1), cols.min(1), rows.max(1), cols.max(1)], axis=1)
    return np.ceil(ends - 0.5 - EDGE_TOLERANCE_PX).astype(np.int64)


def _outlines(windows: Sequence[Window], frame: Grid, grid: Grid) -> Any:
    """Rectangles as a GeoSeries in the CRS of a map."""
    import geopandas as gpd

    polygons = np.array([shapely.Polygon(frame.part(each).corners) for each in windows], object)
    longest = max(float(shapely.length(polygons).max(initial=0)) / 4 / EDGE_SEGMENTS, 1e-9)
    finer = shapely.segmentize(polygons, longest)
    return gpd.GeoSeries(finer, crs=frame.crs.to_wkt() if frame.crs and grid.crs else None)
