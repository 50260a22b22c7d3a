"""Classes and colours of an error map."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from geoseg.core.colors import Color, default_color, parse_color
from geoseg.core.confusion import ConfusionMatrix
from geoseg.core.legend import MAX_CLASSES, Legend, LegendClass
from geoseg.core.scores import IGNORE
from geoseg.errors import LegendError

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
