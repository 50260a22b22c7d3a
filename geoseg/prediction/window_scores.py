"""Scores of single windows as GeoTIFFs: written by ``predict --windows``, read by ``mosaic``."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self, get_args

import numpy as np

from geoseg.errors import InputError
from geoseg.labels.legend import Legend
from geoseg.labels.tags import read_tags
from geoseg.prediction.blend import Taper, WindowGrid, WindowScores
from geoseg.prediction.map_writer import REGION
from geoseg.raster.atomic import staged, writing
from geoseg.raster.folders import WINDOWS
from geoseg.raster.grid import Grid
from geoseg.raster.reader import RasterReader
from geoseg.raster.records import understanding
from geoseg.raster.window import Window
from geoseg.raster.writer import RasterFormat, create

KIND = WINDOWS.name

MAX_SIDE_PX = 2**31
"""No side of a raster has so many pixels."""


@dataclass(frozen=True, kw_only=True)
class WindowLayout:
    """What all windows of a map share; every file carries it."""

    grid: Grid
    window_grid: WindowGrid
    legend: Legend
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """What the scores were made of; the map will carry it."""

    @property
    def region(self) -> Window:
        """What of the orthophoto is mapped."""
        place = self.provenance.get(REGION)
        if place is None:
            return self.grid.window
        row_off, col_off, height, width = place
        return Window(row_off=row_off, col_off=col_off, height=height, width=width)

    def to_dict(self) -> dict[str, Any]:
        """For JSON; `from_dict` is its inverse."""
        return {
            "kind": KIND,
            "crs": self.grid.crs.to_wkt() if self.grid.crs else None,
            "transform": list(self.grid.transform[:6]),
            "lattice": list(self.window_grid),
            "legend": self.legend.to_dict(),
            "provenance": dict(self.provenance),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """From JSON."""
        window_grid = WindowGrid(*record["lattice"])  # older ones have no taper, or no overhang
        lengths = (window_grid.height, window_grid.width, window_grid.size, window_grid.stride)
        whole = all(type(each) is int for each in (*lengths, window_grid.overhang))
        if not whole or not all(0 < each < MAX_SIDE_PX for each in lengths):
            raise ValueError(f"lattice {record['lattice']} is none")
        if (
            window_grid.stride > window_grid.size
            or not 0 <= window_grid.overhang < window_grid.size
        ):
            raise ValueError(f"lattice {record['lattice']} is none")
        if window_grid.taper not in get_args(Taper):
            raise ValueError(f"{window_grid.taper!r} is no taper")
        shape = {"height": window_grid.height, "width": window_grid.width}
        return cls(
            grid=Grid.from_dict({**record, **shape}),
            window_grid=window_grid,
            legend=Legend.from_dict(record["legend"]),
            provenance=record["provenance"],
        )


@contextmanager
def window_folder(
    path: Path, layout: WindowLayout, *, overwrite: bool
) -> Iterator[Callable[[Iterable[WindowScores]], Iterator[WindowScores]]]:
    """A folder with a record of what its windows share, and `keep_windows` into it.

    Raises:
        OutputExistsError: If it exists and may not be replaced.
        OutputError: If it cannot be written.
    """
    with staged(path, overwrite=overwrite, kind=WINDOWS) as folder:
        folder.mkdir()
        text = json.dumps(layout.to_dict(), indent=1) + "\n"
        (folder / WINDOWS.record).write_text(text, encoding="utf-8", newline="\n")
        yield partial(keep_windows, folder=folder, layout=layout)


def keep_windows(
    parts: Iterable[WindowScores], folder: Path, layout: WindowLayout
) -> Iterator[WindowScores]:
    """Write every window that passes to a folder.

    Scores are float32, so that nothing is lost; NaN where not valid.

    Raises:
        OutputError: If a file cannot be written.
    """
    for part in parts:
        write_window(part, folder, layout)
        yield part


def write_window(part: WindowScores, folder: Path, layout: WindowLayout) -> None:
    """Write one window as a GeoTIFF with its own georeference."""
    window, scores, valid = part
    path = folder / f"r{window.row_off:06d}_c{window.col_off:06d}.tif"
    kind = RasterFormat(
        bands=len(scores),
        dtype="float32",
        nodata=float("nan"),
        band_names=tuple(layout.legend.names),
        tags=layout.to_dict() | {"window": [window.row_off, window.col_off]},
    )
    options = {"compress": "deflate", "zlevel": 1, "predictor": 3}
    with writing(path), create(path, layout.grid.part(window), kind, **options) as dataset:
        dataset.write(np.where(valid, scores, np.float32("nan")))


def window_layout(paths: Sequence[Path]) -> WindowLayout | None:
    """What the windows in some files share; None if the first is no window.

    Raises:
        InputError: If they belong to different maps.
    """
    first = read_tags(paths[0])
    if first.get("kind") != KIND:
        return None
    _check_window(paths[0], first)
    for path in paths[1:]:
        other = read_tags(path)
        if {**other, "window": None} != {**first, "window": None}:
            raise InputError(f"{path}: is not of the same map and model as {paths[0]}")
        _check_window(path, other)
    return WindowLayout.from_dict(first)


def read_windows(paths: Sequence[Path], layout: WindowLayout) -> Iterator[WindowScores]:
    """The windows of a map in reading order, as they were before they were written.

    Raises:
        RasterError: If a file cannot be read.
        InputError: If one holds a window that is not of the map, or is there twice.
    """
    size = layout.window_grid.size
    places = sorted((read_tags(path)["window"], path) for path in paths)
    starts = [
        {step.start for step in steps}
        for steps in (
            layout.window_grid.rows(layout.window_grid.whole),
            layout.window_grid.cols(layout.window_grid.whole),
        )
    ]
    before: list[int] = []
    for place, path in places:
        if place == before or any(
            off not in known for off, known in zip(place, starts, strict=True)
        ):
            why = "is there twice" if place == before else "is none of the map's"
            raise InputError(f"{path}: its window at row {place[0]}, column {place[1]} {why}")
        row_off, col_off = before = place
        with RasterReader(path) as reader:
            image, valid = reader.read(reader.grid.window)
        window = Window(row_off=row_off, col_off=col_off, height=size, width=size)
        yield WindowScores(window, np.where(valid, image, np.float32(0)), valid)


def _check_window(path: Path, tags: Mapping[str, Any]) -> None:
    """See that a file of scores of a window says what `write_window` writes.

    Raises:
        InputError: If it does not.
    """
    with understanding(path):
        WindowLayout.from_dict(tags)
        row_off, col_off = tags["window"]
        if not (isinstance(row_off, int) and isinstance(col_off, int)):
            raise TypeError(f"window is {tags['window']!r:.60}")
