"""Curves as drawings that a page holds as SVG, in the page's own colours."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

WIDTH, HEIGHT = 420, 240
"""Of the drawing, in its own units."""

LEFT, RIGHT, TOP, BOTTOM = 48, 8, 10, 30
"""Margins around the field of the curves."""

TICKS = 5
"""About so many marks along an axis."""


class Tick(NamedTuple):
    """A mark on an axis."""

    place: float
    """In units of the drawing."""

    label: str
    """Its value."""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Curves over a common axis, ready to be drawn."""

    title: str
    """What is shown."""

    x_label: str
    """What the horizontal axis holds."""

    x_ticks: list[Tick]
    """Along the bottom."""

    y_ticks: list[Tick]
    """Along the left side."""

    lines: dict[str, list[str]]
    """Of each curve its strokes: points as SVG writes them. It is broken where undefined."""


def chart(
    title: str, x_label: str, x: Sequence[float], series: Mapping[str, Sequence[float | None]]
) -> Chart | None:
    """Curves in a field that just holds them; None if nothing is defined.

    Args:
        title: What is shown.
        x_label: What the horizontal axis holds.
        x: (n,) places.
        series: (n,) values of each curve; None where undefined.
    """
    shown = {name: values for name, values in series.items() if any(map(_known, values))}
    values = [value for each in shown.values() for value in each if value is not None]
    values = [value for value in values if math.isfinite(value)]
    if not values:
        return None
    x_range = _range(min(x), max(x))
    y_marks = _marks(*_range(min(values), max(values)))
    y_range = (min(y_marks[0], *values), max(y_marks[-1], *values))

    def col(value: float) -> float:
        return _scaled(value, x_range, LEFT, WIDTH - RIGHT)

    def row(value: float) -> float:
        return _scaled(value, y_range, HEIGHT - BOTTOM, TOP)

    x_marks = [mark for mark in _marks(*x_range) if x_range[0] <= mark <= x_range[1]]
    return Chart(
        title=title,
        x_label=x_label,
        x_ticks=[Tick(col(mark), f"{mark:g}") for mark in x_marks],
        y_ticks=[Tick(row(mark), f"{mark:g}") for mark in y_marks],
        lines={
            name: _strokes(
                (col(place), row(value) if value is not None and math.isfinite(value) else None)
                for place, value in zip(x, values, strict=True)
            )
            for name, values in shown.items()
        },
    )


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _range(low: float, high: float) -> tuple[float, float]:
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _scaled(value: float, limits: tuple[float, float], start: float, stop: float) -> float:
    return round(start + (value - limits[0]) / (limits[1] - limits[0]) * (stop - start), 1)


def _marks(low: float, high: float) -> list[float]:
    """Round numbers that embrace a range.

    >>> _marks(0.13, 0.9)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    raw = (high - low) / TICKS
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * each for each in (1, 2, 5, 10) if unit * each >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * number, 12) for number in range(first, last + 1)]


def _strokes(points: Iterable[tuple[float, float | None]]) -> list[str]:
    strokes: list[list[str]] = [[]]
    for col, row in points:
        if row is None:
            strokes.append([])
        else:
            strokes[-1].append(f"{col:g},{row:g}")
    return [" ".join(stroke) for stroke in strokes if stroke]
