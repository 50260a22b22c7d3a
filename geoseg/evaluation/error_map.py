"""Classes and colours of an error map."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import LegendError
from geoseg.evaluation.block import Block, Tally
from geoseg.evaluation.compare import Watch, open_pair, pass_by
from geoseg.evaluation.comparison import Comparison, Pair
from geoseg.evaluation.spatial_blocks import Squares, Tallied
from geoseg.labels.confusion import ConfusionMatrix
from geoseg.labels.legend import IGNORE, MAX_CLASSES, Legend, LegendClass
from geoseg.labels.lookup import default_color, parse_color
from geoseg.labels.reference import ReferenceOptions
from geoseg.labels.style import attribute_table, colormap, sidecars, write_sidecars
from geoseg.raster.atomic import put_in_place, refuse_existing, scratch, writing
from geoseg.raster.grid import Grid
from geoseg.raster.storage import Color, rasterio_window
from geoseg.raster.window import Window
from geoseg.raster.writer import RasterFormat, copy_as_cog, create

PALE = 0.75
"""How much of the colour of what is right is white."""

LOUD = (
    *("#e31a1c", "#1f5fd6", "#ff8c00", "#7b1fa2", "#00897b", "#d81b8c"),
    *("#5d4037", "#101010", "#9e9d24", "#00a8d8"),
)
"""Colours of the commonest confusions, the largest first; further ones have those of legends."""

OTHERS = "other errors"
"""Name of the confusions that have no class of their own."""


@dataclass(frozen=True, eq=False)
class ErrorLegend:
    """What is right has its class's colour, pale; each confusion has a loud one of its own."""

    legend: Legend
    """The classes of the error map; their values are their indices."""

    table: NDArray[np.uint8]
    """(65536,) value by ``256 * reference + map``; `IGNORE` where not both are known."""

    @classmethod
    def of(cls, legend: Legend, confusion: ConfusionMatrix) -> Self:
        """The classes that maps need, the commonest confusion first.

        Args:
            legend: Of the maps and their references.
            confusion: Of all maps that are to have the same colours.

        Raises:
            LegendError: If what is right takes all values.
        """
        wrong = _by_size(confusion)
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


def _by_size(confusion: ConfusionMatrix) -> list[tuple[int, int]]:
    """Reference and map of the confusions that there are, the largest first."""
    wrong = confusion.counts * (1 - np.eye(len(confusion.counts), dtype=np.int64))
    order = np.argsort(-wrong, axis=None, kind="stable")[: np.count_nonzero(wrong)]
    rows, cols = np.unravel_index(order, wrong.shape)
    return list(zip(rows.tolist(), cols.tolist(), strict=True))


def _colors(legend: Legend, count: int) -> list[Color]:
    """A colour for each class, no two the same."""
    pale = [
        (*(round(part + PALE * (255 - part)) for part in each.color),) for each in legend.classes
    ]
    loud = [LOUD[n] if n < len(LOUD) else default_color(n) for n in range(count - len(pale))]
    taken: dict[Color, None] = {}  # in order
    for color in [*pale, *map(parse_color, loud)]:
        red, green, blue = color
        while (red, green, blue) in taken:
            blue = (blue + 1) % 256
        taken[red, green, blue] = None
    return list(taken)


KIND = "error map"


class ErrorMapTally:
    """Writes the error map block by block."""

    halo = 0

    def __init__(self, dataset: Any, errors: ErrorLegend) -> None:
        self._dataset = dataset
        self._errors = errors

    def look(self, block: Block) -> tuple[Window, NDArray[np.uint8]]:
        """The block's part of the error map."""
        return block.window, self._errors.values(block.reference, block.mapped)

    def add(self, looked: tuple[Window, NDArray[np.uint8]]) -> None:
        """Write it."""
        window, values = looked
        self._dataset.write(values, 1, window=rasterio_window(window))

    def result(self) -> dict[str, Any]:
        """Nothing is counted."""
        return {}


@contextmanager
def error_map(
    path: Path, grid: Grid, errors: ErrorLegend, confusion: ConfusionMatrix, *, overwrite: bool
) -> Iterator[ErrorMapTally]:
    """A tally that writes an error map, which is there once the block ends well.

    It is a cloud-optimised GeoTIFF with a colour table and the names of its classes, which are
    in ``.aux.xml`` and ``.qml`` beside it, too.

    Args:
        path: To write.
        grid: Of the map.
        errors: Its classes.
        confusion: Of the map.
        overwrite: Whether to replace an existing file.

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
            yield ErrorMapTally(dataset, errors)
        copy_as_cog(raw, whole, kind)
        write_sidecars(whole, errors.legend, errors.pixels(confusion))
        made = dict(zip(sidecars(path), sidecars(whole), strict=True)) | {path: whole}
        put_in_place(made, folder, overwrite=overwrite)


SIDE = 256
"""Of the squares, in pixels."""


@dataclass(frozen=True, eq=False)
class WorstWindow:
    """A square in which a map is often wrong."""

    pair: Pair
    """The map and its reference."""

    grid: Grid
    """Of the map."""

    window: Window
    """Where on it."""

    confusion: ConfusionMatrix
    """Of its pixels."""

    @property
    def errors(self) -> int:
        """Pixels that are wrong."""
        return self.confusion.total - int(self.confusion.counts.trace())


class WorstTally:
    """Finds the squares of a map with the most wrong pixels."""

    halo = 0

    def __init__(self, pair: Pair, grid: Grid, classes: int, *, most: int, side: int) -> None:
        """Prepare.

        Args:
            pair: The map and its reference.
            grid: Of the map.
            classes: How many there are.
            most: Squares wanted.
            side: Of a square, in pixels.
        """
        self._pair = pair
        self._grid = grid
        self._classes = classes
        self._most = most
        self._squares = Squares(side=side, height=grid.height, width=grid.width)
        self._tallied: list[Tallied] = []

    def look(self, block: Block) -> Tallied:
        """Pairs of classes in the block's parts of squares."""
        pairs = block.reference.astype(np.int64) * self._classes + block.mapped
        return self._squares.tally(
            pairs, block.window, counts=block.known, how_many=self._classes**2
        )

    def add(self, looked: Tallied) -> None:
        """Keep for later."""
        self._tallied.append(looked)

    def result(self) -> dict[str, Any]:
        """Nothing for the comparison."""
        return {}

    @property
    def worst(self) -> list[WorstWindow]:
        """The worst squares, most errors first; squares without an error are none of them."""
        table = self._squares.matrix(self._tallied, self._classes**2)
        right = table[:, :: self._classes + 1].sum(axis=1)
        wrong = np.asarray(table.sum(axis=1) - right)
        order = np.argsort(-wrong, kind="stable")[: self._most]
        shape = (self._classes, self._classes)
        return [
            WorstWindow(
                self._pair,
                self._grid,
                self._squares.window(number),
                ConfusionMatrix(table[[number]].toarray().reshape(shape)),
            )
            for number in order.tolist()
            if wrong[number]
        ]


def ranked(windows: Iterable[WorstWindow], most: int) -> list[WorstWindow]:
    """The worst of all maps, most errors first."""
    return sorted(windows, key=lambda each: -each.errors)[:most]


def worst_rows(windows: Sequence[WorstWindow], names: Sequence[str]) -> list[dict[str, Any]]:
    """A row of a table for each window.

    Args:
        windows: The worst first.
        names: Of the classes.
    """
    return [
        {
            "rank": rank,
            "map": each.pair.name,
            "errors": each.errors,
            "pixels": each.confusion.total,
            "share_wrong": each.errors / each.confusion.total,
            "mostly": _mostly(each.confusion, names),
            "row_off": each.window.row_off,
            "col_off": each.window.col_off,
            "height": each.window.height,
            "width": each.window.width,
            **dict(zip(BOUNDS, each.grid.part(each.window).bounds, strict=True)),
        }
        for rank, each in enumerate(windows, 1)
    ]


BOUNDS = ("x_min", "y_min", "x_max", "y_max")
"""Columns of the corners, in the CRS of the map."""


def _mostly(confusion: ConfusionMatrix, names: Sequence[str]) -> str:
    """The commonest confusion in words."""
    wrong = confusion.counts * (1 - np.eye(len(names), dtype=np.int64))
    row, col = divmod(int(wrong.argmax()), len(names))
    return f"{names[row]} mapped as {names[col]}"


@dataclass(frozen=True, kw_only=True)
class ErrorOptions:
    """What is wanted of a map's errors."""

    error_map: Path | None = None
    """Raster to write."""

    worst: int = 0
    """How many windows are ranked."""

    side: int = SIDE
    """Of these windows, in pixels."""

    overwrite: bool = False
    """Whether an existing raster is replaced."""


def survey_errors(
    pair: Pair,
    comparison: Comparison,
    legend: Legend,
    errors: ErrorLegend,
    wanted: ErrorOptions,
    *,
    options: ReferenceOptions | None = None,
    aoi: Path | None = None,
    ground: Any = None,
    workers: int = 1,
    watch: Watch = lambda blocks, _: blocks,
) -> list[WorstWindow]:
    """Go over a map and its reference again and look where they differ.

    Args:
        pair: The files.
        comparison: What `compare` has counted of them.
        legend: Their classes.
        errors: The classes of error maps.
        wanted: What is to be found.
        options: How the reference is read.
        aoi: Polygons; ground outside does not count.
        ground: GeoSeries; ground outside does not count.
        workers: Threads.
        watch: Shows progress over the blocks.

    Returns:
        The worst windows of the map, most errors first.

    Raises:
        OutputError: If the error map cannot be written.
        GeosegError: What is wrong with the files.
    """
    with (
        open_pair(pair, legend, options=options, aoi=aoi, ground=ground) as (mapped, truth),
        ExitStack() as stack,
    ):
        classes, grid = len(legend), mapped.grid
        worst = WorstTally(pair, grid, classes, most=wanted.worst, side=wanted.side)
        tallies: list[Tally] = [worst] if wanted.worst else []
        if wanted.error_map is not None:
            writer = error_map(
                wanted.error_map, grid, errors, comparison.confusion, overwrite=wanted.overwrite
            )
            tallies.append(stack.enter_context(writer))
        pass_by(mapped, truth, tallies, workers=workers, watch=watch)
    return worst.worst if wanted.worst else []
