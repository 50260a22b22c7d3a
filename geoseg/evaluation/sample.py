"""A class map against a sample of points or polygons: accuracy and area as estimates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoseg.core.area_estimates import Z_95, AreaEstimates
from geoseg.core.confusion import ConfusionMatrix
from geoseg.core.legend import Legend, as_text
from geoseg.core.scores import IGNORE
from geoseg.core.window import blocks
from geoseg.errors import EmptyError, InputError, LegendError, VectorError
from geoseg.evaluation.class_map import ClassMap
from geoseg.evaluation.compare import Watch
from geoseg.evaluation.sampling import MAP_VALUE, REFERENCE
from geoseg.io.plots import Plots
from geoseg.io.points import Points, read_sample

SQUARE_METRES = 10_000
"""In a hectare."""

BLOCK = 2048
"""Side of the parts in which a large plot is read, in pixels."""

NOWHERE = Points(np.empty(0, np.int64), np.empty(0, np.int64), {})
"""No points."""

ESTIMATOR = "p_ij = W_i n_ij / n_i: W_i share of map class i by pixels, n by units of the sample"
"""How counts become proportions of the area (Olofsson et al. 2014, equation 4)."""


@dataclass(frozen=True, eq=False)
class SampleEvaluation:
    """What a sample says of a map."""

    class_map: Path
    """The map."""

    sample: Path
    """The points or polygons."""

    legend: Legend
    """The classes."""

    estimates: AreaEstimates
    """Accuracy and area."""

    pixel_area: float | None
    """Ground that a pixel covers, in square metres; None if the map has no CRS."""

    without_reference: int
    """Units that nobody has given a class, left out."""

    units: Literal["points", "polygons"] = "points"
    """What was drawn."""

    purity: float = 1.0
    """Mean share of a unit that has the class that it counts as in the map."""

    def to_dict(self) -> dict[str, Any]:
        """All figures, with standard errors (``_se``) and half 95 % intervals (``_ci95``)."""
        estimates, names = self.estimates, self.legend.names
        hectares = (self.pixel_area or np.nan) / SQUARE_METRES
        pixels = int(estimates.mapped.sum())
        columns = {
            "name": names,
            "points": estimates.points,
            "mapped_pixels": estimates.mapped,
            "mapped_ha": estimates.mapped * hectares,
            **_with_errors("area_share", estimates.area, estimates.area_error),
            **_with_errors("area_pixels", estimates.area, estimates.area_error, pixels),
            **_with_errors("area_ha", estimates.area, estimates.area_error, pixels * hectares),
            **_with_errors("users_accuracy", estimates.users, estimates.users_error),
            **_with_errors("producers_accuracy", estimates.producers, estimates.producers_error),
        }
        rows = zip(*(np.asarray(column).tolist() for column in columns.values()), strict=True)
        overall = np.float64(estimates.overall), np.float64(estimates.overall_error)
        return {
            "design": "stratified random by map class (Olofsson et al. 2014)",
            "units": self.units,
            "purity": self.purity,
            "estimator": ESTIMATOR,
            "points": int(estimates.points.sum()),
            "without_reference": self.without_reference,
            "pixels": pixels,
            "pixel_area_m2": self.pixel_area,
            **{
                key: float(each) for key, each in _with_errors("overall_accuracy", *overall).items()
            },
            "classes": [dict(zip(columns, row, strict=True)) for row in rows],
            "counts": _matrix(names, estimates.counts),
            "proportions": _matrix(names, estimates.proportions),
            "inputs": {"map": str(self.class_map), "sample": str(self.sample)},
        }


def evaluate_sample(
    path: Path,
    sample: Path,
    legend: Legend,
    *,
    column: str | None = None,
    layer: str | None = None,
    aoi: Path | None = None,
    watch: Watch = lambda blocks, _: blocks,
) -> SampleEvaluation:
    """Estimate a map's accuracy and its classes' true area from a sample drawn within its classes.

    A unit of the sample is a point, or a polygon, which counts once, whatever its size, and has
    in the map the class of most of its pixels.

    Args:
        path: The class map that the sample was drawn from.
        sample: Points or polygons with the class that is there in truth.
        legend: The classes.
        column: Of the sample, with that class by name or by its value in maps; ``reference``
            if not given. Units without one are left out.
        layer: Of the sample; not needed if there is only one.
        aoi: Polygons within which the sample was drawn.
        watch: Shows progress over the blocks.

    Raises:
        VectorError: If the sample cannot be read or lacks the column.
        LegendError: If the reference names a class that is not in the legend.
        InputError: If units lie where the map has no data, or were drawn from another map,
            or if a class of the map has no units.
        EmptyError: If no unit has a reference.
    """
    with ClassMap(path, legend, aoi=aoi) as class_map:
        drawn = read_sample(sample, class_map.grid, layer=layer)
        truth = _truth(drawn.columns, column or REFERENCE, legend, sample)
        mapped, seen = _look_up(class_map, drawn, len(legend), watch)
        if isinstance(drawn, Plots):
            seen = _majorities(class_map, drawn, len(legend))
        pixel_area = class_map.grid.pixel_area
    found, units = seen.classes, _units(drawn)
    _refuse_other_map(drawn, found, legend, sample, path)
    known = truth != IGNORE
    if not known.any():
        raise EmptyError(f"{sample}: no {units} with a class in column {column or REFERENCE!r}")
    counted = ConfusionMatrix.count(truth, found, valid=known, classes=len(legend)).counts
    bare = (mapped > 0) & (counted.sum(axis=0) == 0)
    if bare.any():
        names = [name for name, is_bare in zip(legend.names, bare, strict=True) if is_bare]
        raise InputError(f"{sample}: no {units} with a reference lie in {names} of the map")
    return SampleEvaluation(
        class_map=path,
        sample=sample,
        legend=legend,
        estimates=AreaEstimates(counted, mapped),
        pixel_area=pixel_area,
        without_reference=int((~known).sum()),
        units=units,
        purity=float(seen.shares[known].mean()),
    )


class _Seen(NamedTuple):
    """What the map has at the units of a sample."""

    classes: NDArray[np.uint8]
    """(n,) class indices; `IGNORE` where the map has none."""

    shares: NDArray[np.float64]
    """(n,) share of the unit that has this class."""


def _units(sample: Points | Plots) -> Literal["points", "polygons"]:
    return "polygons" if isinstance(sample, Plots) else "points"


def _truth(
    columns: Mapping[str, Sequence[Any]], column: str, legend: Legend, sample: Path
) -> NDArray[np.uint8]:
    """(n,) class indices by name or map value; `IGNORE` for a unit without one."""
    if column not in columns:
        raise VectorError(f"{sample}: has no column {column!r}; it has {list(columns)}")
    classes = list(enumerate(legend.classes))
    known = {str(each.value): index for index, each in classes}
    known |= {name: index for index, each in classes for name in each.attributes}
    known |= {each.name: index for index, each in classes}
    known |= {as_text(each): IGNORE for each in ("", *legend.ignore)}
    texts = ["" if value is None else as_text(value) for value in columns[column]]
    if unknown := sorted(set(texts) - set(known)):
        raise LegendError(
            f"{sample}: column {column!r} holds {unknown}, and the classes are {legend.names}"
        )
    return np.array([known[text] for text in texts], np.uint8)


def _look_up(
    class_map: ClassMap, sample: Points | Plots, classes: int, watch: Watch
) -> tuple[NDArray[np.int64], _Seen]:
    """Pixels of each class in the map, and its class at each point."""
    mapped = np.zeros(classes, np.int64)
    points = sample if isinstance(sample, Points) else NOWHERE
    found = np.full(len(points.rows), IGNORE, np.uint8)
    blocks = class_map.blocks()
    for block in watch(blocks, len(blocks)):
        labels = class_map.read_counted(block)
        mapped += np.bincount(labels[labels != IGNORE], minlength=classes)
        rows, cols = points.rows - block.row_off, points.cols - block.col_off
        here = (rows >= 0) & (rows < block.height) & (cols >= 0) & (cols < block.width)
        found[here] = labels[rows[here], cols[here]]
    return mapped, _Seen(found, np.ones(len(found)))


def _majorities(class_map: ClassMap, plots: Plots, classes: int) -> _Seen:
    """The class of most pixels of each plot, the first of equals."""
    votes = np.array([_votes(class_map, plots, number, classes) for number in range(len(plots))])
    total = votes.sum(axis=1)
    found = np.where(total > 0, votes.argmax(axis=1), IGNORE).astype(np.uint8)
    return _Seen(found, votes.max(axis=1) / np.maximum(total, 1))


def _votes(class_map: ClassMap, plots: Plots, number: int, classes: int) -> NDArray[np.int64]:
    """(classes,) pixels of a plot; of those that it touches if it covers no pixel's centre."""
    votes = np.zeros(classes, np.int64)
    if (around := plots.window(number)) is None:
        return votes
    parts = [
        part.moved(around.row_off, around.col_off)
        for part in blocks(around.height, around.width, rows=BLOCK, cols=BLOCK)
    ]
    covers = any(plots.read(number, part).any() for part in parts)
    for part in parts:
        labels = class_map.read_counted(part)
        own = plots.read(number, part, touched=not covers) & (labels != IGNORE)
        votes += np.bincount(labels[own], minlength=classes)
    return votes


def _refuse_other_map(
    drawn: Points | Plots, found: NDArray[np.uint8], legend: Legend, sample: Path, path: Path
) -> None:
    count = f"of {len(found)} {_units(drawn)}"
    if outside := int((found == IGNORE).sum()):
        raise InputError(
            f"{sample}: {outside} {count} lie where {path} has no data or the "
            f"ground does not count; was the sample drawn from another map?"
        )
    said = drawn.columns.get(MAP_VALUE, ())
    values = [legend.classes[index].value for index in found]
    others = sum(as_text(one) != as_text(other) for one, other in zip(said, values, strict=False))
    if others:
        raise InputError(
            f"{sample}: {others} {count} were drawn from another class than "
            f"{path} has there (column {MAP_VALUE!r}); estimates hold for the map that was sampled"
        )


def _with_errors(name: str, values: Any, errors: Any, scale: float = 1) -> dict[str, Any]:
    """A figure, its standard error and half its 95 % interval."""
    return {
        name: values * scale,
        f"{name}_se": errors * scale,
        f"{name}_ci95": errors * scale * Z_95,
    }


def _matrix(names: list[str], cells: Any) -> dict[str, Any]:
    return {"rows": "reference", "columns": "map", "names": names, "counts": cells.tolist()}
