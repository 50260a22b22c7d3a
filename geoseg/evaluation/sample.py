"""A class map against a sample of points: accuracy and area of the map as estimates."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.core.area_estimates import Z_95, AreaEstimates
from geoseg.core.confusion import ConfusionMatrix
from geoseg.core.legend import Legend, as_text
from geoseg.core.scores import IGNORE
from geoseg.errors import EmptyError, InputError, LegendError, VectorError
from geoseg.evaluation.class_map import ClassMap
from geoseg.evaluation.compare import Watch
from geoseg.evaluation.sampling import MAP_VALUE, REFERENCE
from geoseg.io.points import Points, read_points

SQUARE_METRES = 10_000
"""In a hectare."""


@dataclass(frozen=True, eq=False)
class SampleEvaluation:
    """What a sample says of a map."""

    class_map: Path
    """The map."""

    sample: Path
    """The points."""

    legend: Legend
    """The classes."""

    estimates: AreaEstimates
    """Accuracy and area."""

    pixel_area: float | None
    """Ground that a pixel covers, in square metres; None if the map has no CRS."""

    without_reference: int
    """Points that nobody has given a class, left out."""

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
    """Estimate a map's accuracy and its classes' true area from points drawn within its classes.

    Args:
        path: The class map that the points were drawn from.
        sample: Points with the class that is there in truth.
        legend: The classes.
        column: Of the points, with that class by name or by its value in maps; ``reference``
            if not given. Points without one are left out.
        layer: Of the sample; not needed if there is only one.
        aoi: Polygons within which the points were drawn.
        watch: Shows progress over the blocks.

    Raises:
        VectorError: If the sample cannot be read or lacks the column.
        LegendError: If the reference names a class that is not in the legend.
        InputError: If points lie where the map has no data, or were drawn from another map,
            or if a class of the map has no points.
        EmptyError: If no point has a reference.
    """
    with ClassMap(path, legend, aoi=aoi) as class_map:
        points = read_points(sample, class_map.grid, layer=layer)
        truth = _truth(points, column or REFERENCE, legend, sample)
        mapped, found = _look_up(class_map, points, len(legend), watch)
        pixel_area = class_map.grid.pixel_area
    _refuse_other_map(points, found, legend, sample, path)
    known = truth != IGNORE
    if not known.any():
        raise EmptyError(f"{sample}: no point has a class in column {column or REFERENCE!r}")
    counted = ConfusionMatrix.count(truth, found, valid=known, classes=len(legend)).counts
    bare = (mapped > 0) & (counted.sum(axis=0) == 0)
    if bare.any():
        names = [name for name, is_bare in zip(legend.names, bare, strict=True) if is_bare]
        raise InputError(f"{sample}: no point with a reference lies in {names} of the map")
    return SampleEvaluation(
        path, sample, legend, AreaEstimates(counted, mapped), pixel_area, int((~known).sum())
    )


def _truth(points: Points, column: str, legend: Legend, sample: Path) -> NDArray[np.uint8]:
    """(n,) class indices by name or map value; `IGNORE` for a point without one."""
    if column not in points.columns:
        raise VectorError(f"{sample}: has no column {column!r}; it has {list(points.columns)}")
    classes = list(enumerate(legend.classes))
    known = {str(each.value): index for index, each in classes}
    known |= {name: index for index, each in classes for name in each.attributes}
    known |= {each.name: index for index, each in classes}
    known |= {as_text(each): IGNORE for each in ("", *legend.ignore)}
    texts = ["" if value is None else as_text(value) for value in points.columns[column]]
    if unknown := sorted(set(texts) - set(known)):
        raise LegendError(
            f"{sample}: column {column!r} holds {unknown}, and the classes are {legend.names}"
        )
    return np.array([known[text] for text in texts], np.uint8)


def _look_up(
    class_map: ClassMap, points: Points, classes: int, watch: Watch
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Pixels of each class in the map, and its class at each point."""
    mapped = np.zeros(classes, np.int64)
    found = np.full(len(points.rows), IGNORE, np.uint8)
    blocks = class_map.blocks()
    for block in watch(blocks, len(blocks)):
        labels = class_map.read_counted(block)
        mapped += np.bincount(labels[labels != IGNORE], minlength=classes)
        rows, cols = points.rows - block.row_off, points.cols - block.col_off
        here = (rows >= 0) & (rows < block.height) & (cols >= 0) & (cols < block.width)
        found[here] = labels[rows[here], cols[here]]
    return mapped, found


def _refuse_other_map(
    points: Points, found: NDArray[np.uint8], legend: Legend, sample: Path, path: Path
) -> None:
    if outside := int((found == IGNORE).sum()):
        raise InputError(
            f"{sample}: {outside} of {len(found)} points lie where {path} has no data or the "
            f"ground does not count; was the sample drawn from another map?"
        )
    said: Sequence[Any] = points.columns.get(MAP_VALUE, ())
    values = [legend.classes[index].value for index in found]
    others = sum(as_text(one) != as_text(other) for one, other in zip(said, values, strict=False))
    if others:
        raise InputError(
            f"{sample}: {others} of {len(found)} points were drawn from another class than "
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
