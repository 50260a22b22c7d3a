"""Error maps, and the windows with most errors."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import LegendError
from geoseg.evaluation.bootstrap import SpatialBlocks, SpatialCounter
from geoseg.evaluation.compare import OpenPair, Watch, run_counters
from geoseg.evaluation.comparison import (
    WINDOW_SIDE,
    Block,
    Counter,
    ErrorWindow,
    EvaluationCounts,
    Pair,
    Reading,
)
from geoseg.evaluation.counters import PairCounter
from geoseg.labels.confusion import ConfusionMatrix
from geoseg.labels.legend import IGNORE, MAX_CLASSES, Legend, LegendClass
from geoseg.labels.lookup import default_color, parse_color
from geoseg.labels.style import attribute_table, colormap, sidecars, write_sidecars
from geoseg.raster.atomic import put_in_place, refuse_existing, scratch, writing
from geoseg.raster.grid import Grid
from geoseg.raster.storage import Color, rasterio_window
from geoseg.raster.window import Window
from geoseg.raster.writer import RasterFormat, copy_as_cog, create

CORRECT_WHITE_SHARE = 0.75
"""Share of white in the colours of correct pixels."""

CONFUSION_COLORS = (
    *("#e31a1c", "#1f5fd6", "#ff8c00", "#7b1fa2", "#00897b", "#d81b8c"),
    *("#5d4037", "#101010", "#9e9d24", "#00a8d8"),
)
"""Colours of the commonest confusions, the largest first; further ones have those of legends."""

OTHERS = "other errors"
"""Name of the confusions that have no class of their own."""


@dataclass(frozen=True, eq=False)
class ErrorLegend:
    """Classes of error maps: correct pixels in pale class colours, confusions in loud ones."""

    legend: Legend
    """The classes of the error map; their values are their indices."""

    table: NDArray[np.uint8]
    """(65536,) value by ``256 * reference + map``; `IGNORE` where not both are known."""

    @classmethod
    def of(cls, legend: Legend, confusion: ConfusionMatrix) -> Self:
        """Make the classes, the commonest confusion first.

        Raises:
            LegendError: If the correct classes alone take all values.
        """
        wrong = confusion.confusions
        room = MAX_CLASSES - len(legend)
        if wrong and not room:
            raise LegendError(f"{len(legend)} classes leave no value for errors in an error map")
        own = wrong if len(wrong) <= room else wrong[: room - 1]
        table = np.full((256, 256), IGNORE, np.uint8)
        table[: len(legend), : len(legend)] = len(legend) + len(own)  # other errors
        places = [*((i, i) for i in range(len(legend))), *own]
        names = [f"{name}: right" for name in legend.names]
        names += [f"{legend.names[row]} mapped as {legend.names[col]}" for row, col in own]
        for value, place in enumerate(places):
            table[place] = value
        names += [OTHERS] if len(own) < len(wrong) else []
        classes = zip(range(len(names)), names, _colors(legend, len(names)), strict=True)
        made = (LegendClass(value=v, name=n, color=c) for v, n, c in classes)
        return cls(
            Legend(classes=tuple(made), name=f"errors: {legend.name}".rstrip(": ")),
            table.ravel(),
        )

    def pixels(self, confusion: ConfusionMatrix) -> NDArray[np.int64]:
        """(classes,) of a map whose confusion is given."""
        classes = len(confusion.counts)
        values = self.table.reshape(256, 256)[:classes, :classes]
        pixels: NDArray[np.int64] = np.zeros(len(self.legend) + 1, np.int64)
        np.add.at(pixels, np.minimum(values, len(self.legend)), confusion.counts)
        return pixels[:-1]

    def values(self, reference: NDArray[np.uint8], mapped: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Values of an error map from class indices, the same shape; `IGNORE`: not compared."""
        return self.table[(reference.astype(np.uint16) << np.uint16(8)) | mapped]


def _colors(legend: Legend, count: int) -> list[Color]:
    """A colour for each class, no two the same."""
    pale = [
        (*(round(part + CORRECT_WHITE_SHARE * (255 - part)) for part in each.color),)
        for each in legend.classes
    ]
    loud = [
        CONFUSION_COLORS[n] if n < len(CONFUSION_COLORS) else default_color(n)
        for n in range(count - len(pale))
    ]
    taken: dict[Color, None] = {}  # in order
    for color in [*pale, *map(parse_color, loud)]:
        red, green, blue = color
        while (red, green, blue) in taken:
            blue = (blue + 1) % 256
        taken[red, green, blue] = None
    return list(taken)


KIND = "error map"


class ErrorMapWriter:
    """Counter that counts nothing and writes the error map, block by block."""

    halo = 0

    def __init__(self, dataset: Any, errors: ErrorLegend) -> None:
        self._dataset = dataset
        self._errors = errors

    def count(self, block: Block) -> tuple[Window, NDArray[np.uint8]]:
        """The block's part of the error map."""
        return block.window, self._errors.values(block.reference, block.mapped)

    def add(self, counted: tuple[Window, NDArray[np.uint8]]) -> None:
        """Write it."""
        window, values = counted
        self._dataset.write(values, 1, window=rasterio_window(window))

    def compute(self) -> dict[str, Any]:
        """No counts."""
        return {}


@contextmanager
def error_map(
    path: Path, grid: Grid, errors: ErrorLegend, confusion: ConfusionMatrix, *, overwrite: bool
) -> Iterator[ErrorMapWriter]:
    """A counter that writes an error map; the file appears once the block ends without error.

    It is a cloud-optimised GeoTIFF with a colour table and the names of its classes, which are
    in ``.aux.xml`` and ``.qml`` beside it, too.

    Raises:
        OutputError: If it cannot be written.
    """
    refuse_existing(path, *sidecars(path), overwrite=overwrite)
    kind = RasterFormat(
        nodata=IGNORE,
        colormap=colormap(errors.legend),
        band_names=("agreement",),
        overviews="mode",
        tags={"kind": KIND, "legend": errors.legend.to_dict()},
        attribute_table=attribute_table(errors.legend),
    )
    with scratch(path) as folder, writing(path):
        raw, whole = folder / "raw.tif", folder / "cog" / path.name
        whole.parent.mkdir()
        with create(raw, grid, kind, compress="zstd", zstd_level=1) as dataset:
            yield ErrorMapWriter(dataset, errors)
        copy_as_cog(raw, whole, kind, grid)
        write_sidecars(whole, errors.legend, errors.pixels(confusion))
        made = dict(zip(sidecars(path), sidecars(whole), strict=True)) | {path: whole}
        put_in_place(made, folder, overwrite=overwrite)


def error_windows(
    pair: Pair, grid: Grid, counts: SpatialCounter, spatial: SpatialBlocks, most: int
) -> list[ErrorWindow]:
    """The windows of a map with most errors, the most first; none without an error."""
    rows = counts.rows
    classes = round(rows.table.shape[1] ** 0.5)
    right = rows.table[:, :: classes + 1].sum(axis=1)
    wrong = np.asarray(rows.table.sum(axis=1) - right)
    order = np.argsort(-wrong, kind="stable")[:most]
    return [
        ErrorWindow(pair, grid, spatial.window(number), rows.of_row(rows.table[[number]].toarray()))
        for number in order.tolist()
        if wrong[number]
    ]


def ranked(windows: Iterable[ErrorWindow], most: int) -> list[ErrorWindow]:
    """The windows of all maps with most errors, the most first."""
    return sorted(windows, key=lambda each: -each.errors)[:most]


def survey_errors(
    pair: Pair,
    counts: EvaluationCounts,
    legend: Legend,
    errors: ErrorLegend,
    *,
    path: Path | None = None,
    worst: int = 0,
    side: int = WINDOW_SIDE,
    overwrite: bool = False,
    reading: Reading | None = None,
    workers: int = 1,
    watch: Watch = lambda blocks, _: blocks,
) -> list[ErrorWindow]:
    """Read a map and its reference again to write the error map and rank error windows.

    The map is written if it has a path; the ``worst`` windows of ``side`` pixels are ranked.

    Returns:
        The windows of the map with most errors, the most first.

    Raises:
        OutputError: If the error map cannot be written.
        GeosegError: If a file cannot be read or does not fit the others.
    """
    with OpenPair(pair, legend, reading) as opened, ExitStack() as stack:
        grid = opened.grid
        spatial = SpatialBlocks(side=side, height=grid.height, width=grid.width)
        by_window = SpatialCounter(PairCounter(len(legend)), spatial)
        counters: list[Counter] = [by_window] if worst else []
        if path is not None:
            writer = error_map(path, grid, errors, counts.confusion, overwrite=overwrite)
            counters.append(stack.enter_context(writer))
        run_counters(opened, counters, workers=workers, watch=watch)
    return error_windows(pair, grid, by_window, spatial, worst) if worst else []
