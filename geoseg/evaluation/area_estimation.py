"""Accuracy and area of a class map, estimated from a sample of points or polygons."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import EmptyError, InputError, LegendError, VectorError
from geoseg.evaluation.class_map import ClassMap, MapOptions
from geoseg.evaluation.compare import Watch
from geoseg.evaluation.metrics import merged_classes, share_of
from geoseg.evaluation.report import matrix_rows, merged_rows, write_record, write_tables
from geoseg.evaluation.sampling import MAP_VALUE, REFERENCE, look_up, majorities
from geoseg.evaluation.text import merged_lines
from geoseg.labels.confusion import Floats, divide, rows_of
from geoseg.labels.legend import IGNORE, Legend
from geoseg.patches.training_ground import TrainedGround
from geoseg.raster.atomic import staged
from geoseg.raster.folders import EVALUATION, KIND
from geoseg.raster.polygons import Plots, Points, read_sample
from geoseg.text import as_text, is_null

Z_95 = 1.959963984540054
"""Half-width of a 95 % interval, in standard errors."""


@dataclass(frozen=True, eq=False)
class AreaEstimates:
    """Estimates from points drawn at random within each class of a map: within its strata.

    A count of the sample alone tells nothing of the map, because rare classes are sampled more
    densely. Each point therefore stands for as much of the map as its stratum has of it per
    point. Standard errors are NaN where a stratum that matters has a single point.

    Classes of the map may be merged after the sample was drawn: then a class has several strata.

    Source: Olofsson et al. 2014, Good practices for estimating area and assessing accuracy
    of land change, Remote Sensing of Environment 148:42-57. Their matrices have the map in
    rows; ours have the reference there. For merged classes the same sums over strata: Stehman
    2014, Estimating area and map accuracy for stratified random sampling when the strata are
    different from the map classes, International Journal of Remote Sensing 35:4923-4939.
    """

    counts: NDArray[np.int64]
    """(classes, strata) points by class in the reference (row) and by stratum (column)."""

    mapped: NDArray[np.int64]
    """(strata,) pixels of each stratum in the map."""

    class_of: NDArray[np.int64] | None = None
    """(strata,) class of the map that each stratum belongs to; None: each to its own."""

    def __post_init__(self) -> None:
        if (self._drawn[self.mapped == 0] > 0).any():
            raise ValueError("a class has points but no pixels in the map")
        if (self._drawn[self.mapped > 0] == 0).any():
            raise ValueError("a class of the map has no points")

    @cached_property
    def _drawn(self) -> NDArray[np.int64]:
        """(strata,) points of each stratum."""
        return self.counts.sum(axis=0)

    @cached_property
    def _within(self) -> NDArray[np.bool_]:
        """(classes, strata) whether the map has this class in the stratum."""
        classes, strata = self.counts.shape
        own = np.arange(strata) if self.class_of is None else self.class_of
        return np.arange(classes)[:, None] == own

    @cached_property
    def matrix(self) -> NDArray[np.int64]:
        """(classes, classes) points by class in the reference (row) and in the map (column)."""
        return self.counts @ self._within.T.astype(np.int64)

    @property
    def points(self) -> NDArray[np.int64]:
        """(classes,) points of each class in the map."""
        return self.matrix.sum(axis=0)

    @property
    def pixels(self) -> NDArray[np.int64]:
        """(classes,) pixels of each class in the map."""
        return self._within.astype(np.int64) @ self.mapped

    @property
    def weights(self) -> Floats:
        """(strata,) share of the map that each stratum has in it."""
        return divide(self.mapped, self.mapped.sum())

    @cached_property
    def _shares(self) -> Floats:
        """(classes, strata) of the points of a stratum, the share of each class."""
        return np.nan_to_num(divide(self.counts, self._drawn))

    @cached_property
    def _variances(self) -> Floats:
        """(classes, strata) of these shares; 0 for a stratum not mapped, NaN with one point."""
        per_point = np.where(self.mapped > 0, divide(1, self._drawn - 1), 0)
        return self._shares * (1 - self._shares) * per_point

    @property
    def proportions(self) -> Floats:
        """(classes, classes) estimated shares of the map's area; they sum to 1 (equation 4)."""
        return (self._shares * self.weights) @ self._within.T.astype(np.float64)

    @property
    def area(self) -> Floats:
        """(classes,) estimated share of the map's area that a class truly has (equation 9)."""
        return self.proportions.sum(axis=1)

    @property
    def area_error(self) -> Floats:
        """(classes,) standard error of `area` (equation 10)."""
        return np.sqrt((self.weights**2 * self._variances).sum(axis=1))

    @property
    def users(self) -> Floats:
        """(classes,) user's accuracy; NaN for a class that is not in the map (equation 2)."""
        right = np.where(self._within, self.mapped * self._shares, 0)
        return divide(right.sum(axis=1), self.pixels)

    @property
    def users_error(self) -> Floats:
        """(classes,) standard error of `users` (equation 6)."""
        variances = np.where(self._within, self.mapped**2.0 * self._variances, 0)
        return divide(np.sqrt(variances.sum(axis=1)), self.pixels)

    @property
    def producers(self) -> Floats:
        """(classes,) producer's accuracy; NaN for a class not in the reference (equation 3)."""
        return divide(np.diag(self.proportions), self.area)

    @property
    def producers_error(self) -> Floats:
        """(classes,) standard error of `producers` (equation 7)."""
        producers = self.producers[:, None]
        factor = np.where(self._within, (1 - producers) ** 2, producers**2)
        variance = (factor * self.weights**2 * self._variances).sum(axis=1)
        return np.sqrt(divide(variance, self.area**2))

    @property
    def overall(self) -> float:
        """Overall accuracy (equation 1)."""
        return float(np.trace(self.proportions))

    @property
    def overall_error(self) -> float:
        """Standard error of `overall` (equation 5)."""
        return float(np.sqrt((self.weights**2 * self._variances)[self._within].sum()))


SQUARE_METRES_PER_HECTARE = 10_000

ESTIMATOR = "p_ij = W_i n_ij / n_i: W_i share of map class i by pixels, n by units of the sample"
"""How counts become proportions of the area (Olofsson et al. 2014, equation 4)."""


@dataclass(frozen=True, eq=False)
class SampleEvaluation:
    """Estimates of a map from a sample, and how they were made."""

    class_map: Path
    sample: Path
    legend: Legend
    estimates: AreaEstimates
    pixel_area: float | None
    """Area of a pixel on the ground, in square metres; None if the map has no CRS."""

    without_reference: int
    """Units left out because they have no reference class."""

    without_map: int = 0
    """Units left out because the legend map leaves out their class of the map."""

    units: Literal["points", "polygons"] = "points"
    purity: float = 1.0
    """Mean share of a unit covered by its majority class in the map."""

    trained_share: float | None = None
    """Share of the sampled ground that trained the map's model; None: unknown."""

    knows_all_ground: bool = False
    """Whether all of the training ground is known."""

    def to_dict(self) -> dict[str, Any]:
        """All estimates, with standard errors (``_se``) and half 95 % intervals (``_ci95``)."""
        estimates, names = self.estimates, self.legend.names
        hectares = (self.pixel_area or np.nan) / SQUARE_METRES_PER_HECTARE
        pixels = int(estimates.pixels.sum())
        columns = {
            "name": names,
            "points": estimates.points,
            "mapped_pixels": estimates.pixels,
            "mapped_ha": estimates.pixels * hectares,
            **_with_errors("area_share", estimates.area, estimates.area_error),
            **_with_errors("area_pixels", estimates.area, estimates.area_error, pixels),
            **_with_errors("area_ha", estimates.area, estimates.area_error, pixels * hectares),
            **_with_errors("users_accuracy", estimates.users, estimates.users_error),
            **_with_errors("producers_accuracy", estimates.producers, estimates.producers_error),
        }
        overall = np.float64(estimates.overall), np.float64(estimates.overall_error)
        return {
            KIND: EVALUATION.name,
            "design": "stratified random by map class (Olofsson et al. 2014)",
            "units": self.units,
            "purity": self.purity,
            "estimator": ESTIMATOR,
            "points": int(estimates.points.sum()),
            "without_reference": self.without_reference,
            "without_map": self.without_map,
            "pixels": pixels,
            "pixel_area_m2": self.pixel_area,
            "training_ground": None
            if self.trained_share is None
            else {"share": self.trained_share, "is_complete": self.knows_all_ground},
            **{
                key: float(each) for key, each in _with_errors("overall_accuracy", *overall).items()
            },
            "classes": rows_of(columns),
            "counts": _matrix(names, estimates.matrix),
            "proportions": _matrix(names, estimates.proportions),
            "merged_classes": merged_classes(self.legend),
            "legend": self.legend.to_dict(),
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
    drawn_map: MapOptions | None = None,
    watch: Watch = lambda blocks, _: blocks,
) -> SampleEvaluation:
    """Estimate a map's accuracy and its classes' true area from a sample drawn within its classes.

    A unit of the sample is a point, or a polygon, which counts once, whatever its size, and has
    in the map the class of most of its pixels. If legends are merged, the sample was still drawn
    within the classes of the map itself, and each counts by its own share of the map.

    Args:
        path: The class map that the sample was drawn from.
        sample: Points or polygons with the class that is there in truth.
        legend: The classes; merged, if the sample names others than the map.
        column: Of the sample, with that class by name or by its value in maps (if legends are
            merged: in the reference's legend); ``reference`` if not given. Units without one
            are left out.
        layer: Of the sample; not needed if there is only one.
        aoi: Polygons within which the sample was drawn.
        drawn_map: How a map of polygons is read; None: they are refused.
        watch: Shows progress over the blocks.

    Raises:
        VectorError: If the sample cannot be read or lacks the column.
        LegendError: If the reference names a class that is not in the legend.
        InputError: If units lie where the map has no data, or were drawn from another map,
            or if a class of the map has no units.
        EmptyError: If no unit has a reference.
    """
    own, class_of = legend.of_map, legend.indices_of_map.astype(np.int64)
    with ClassMap(path, own, aoi=aoi, drawn=drawn_map) as class_map:
        drawn = read_sample(sample, class_map.grid, layer=layer)
        truth = _truth(drawn.columns, column or REFERENCE, legend, sample)
        trained = TrainedGround.of_map(path, class_map.grid)
        mapped, seen, trained_pixels = look_up(class_map, drawn, len(own), trained, watch)
        if isinstance(drawn, Plots):
            seen = majorities(class_map, drawn, class_of)
        pixel_area = class_map.grid.pixel_area
    units = _units(drawn)
    _refuse_other_map(drawn, seen.classes, own, sample, path)
    kept = class_of[seen.classes] != IGNORE
    known = kept & (truth != IGNORE)
    if not known.any():
        raise EmptyError(f"{sample}: no {units} with a class in column {column or REFERENCE!r}")
    strata = np.flatnonzero(class_of != IGNORE)  # classes of the map that are not left out
    counts = np.zeros((len(legend), len(own)), np.int64)
    np.add.at(counts, (truth[known], seen.classes[known]), 1)
    bare = (mapped > 0) & (counts.sum(axis=0) == 0)
    if bare[strata].any():
        names = [own.names[number] for number in strata[bare[strata]]]
        raise InputError(f"{sample}: no {units} with a reference lie in {names} of the map")
    return SampleEvaluation(
        class_map=path,
        sample=sample,
        legend=legend,
        estimates=AreaEstimates(counts[:, strata], mapped[strata], class_of[strata]),
        pixel_area=pixel_area,
        without_reference=int((kept & ~known).sum()),
        without_map=int((~kept).sum()),
        units=units,
        purity=float(seen.shares[known].mean()),
        trained_share=None if trained is None else trained_pixels / int(mapped.sum()),
        knows_all_ground=trained is not None and trained.is_complete,
    )


def _units(sample: Points | Plots) -> Literal["points", "polygons"]:
    return "polygons" if isinstance(sample, Plots) else "points"


def _truth(
    columns: Mapping[str, Sequence[Any]], column: str, legend: Legend, sample: Path
) -> NDArray[np.uint8]:
    """(n,) class indices by name or value; `IGNORE` for a unit without one."""
    if column not in columns:
        raise VectorError(f"{sample}: has no column {column!r}; it has {list(columns)}")
    known = _known(legend) | {as_text(each): IGNORE for each in ("", *legend.ignore)}
    texts = ["" if is_null(value) else as_text(value) for value in columns[column]]
    if unknown := sorted(set(texts) - set(known)):
        raise LegendError(
            f"{sample}: column {column!r} holds {unknown}, and the classes are {legend.names}"
        )
    return np.array([known[text] for text in texts], np.uint8)


def _known(legend: Legend) -> dict[str, int]:
    """Class indices by the names and values that a sample may use."""
    classes = list(enumerate(legend.classes))
    names = {each.name: index for index, each in classes}
    if legend.merge is not None:  # values are those of the reference's legend
        return names | {text: index for index, each in classes for text in each.source_attributes}
    values = {str(each.value): index for index, each in classes}
    return values | {name: i for i, each in classes for name in each.attributes} | names


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
    """An estimate, its standard error and half its 95 % interval."""
    return {
        name: values * scale,
        f"{name}_se": errors * scale,
        f"{name}_ci95": errors * scale * Z_95,
    }


def _matrix(names: list[str], cells: Any) -> dict[str, Any]:
    return {"rows": "reference", "columns": "map", "names": names, "counts": cells.tolist()}


TABLE_LEGEND = "estimates +- half their 95 % interval; accuracies in %"

POLYGON_NOTE = (
    "each polygon counts once, whatever its size, as the map's class of most of its pixels "
    "({:.1f} % of them on average): p_ij = W_i n_ij / n_i, W_i by pixels, n by polygons"
)


def write_sample_report(folder: Path, evaluation: SampleEvaluation, *, overwrite: bool) -> None:
    """Write estimates to a folder; ``overwrite`` replaces an earlier report.

    It holds ``evaluation.json``, ``classes.csv``, the points in ``counts.csv``, the error matrix of
    estimated area proportions in ``proportions.csv``, and ``merged_classes.csv`` of a legend map.

    Raises:
        OutputError: If it cannot be written.
    """
    content = evaluation.to_dict()
    with staged(folder, overwrite=overwrite, kind=EVALUATION) as partial:
        partial.mkdir()
        write_record(partial, content)
        tables = {
            "classes": content["classes"],
            "counts": matrix_rows(content["counts"]),
            "proportions": matrix_rows(content["proportions"]),
            "merged_classes": merged_rows(content["merged_classes"] or []),
        }
        write_tables(partial, tables)


def sample_table(evaluation: SampleEvaluation) -> str:
    """Accuracy and area of each class, and overall."""
    record = evaluation.to_dict()
    rows = record["classes"]
    unit, scale = ("ha", "area_ha") if evaluation.pixel_area else ("px", "area_pixels")
    mapped = "mapped_ha" if evaluation.pixel_area else "mapped_pixels"
    width = max(len("class"), *(len(row["name"]) for row in rows))
    titles = ("user's acc.", "producer's acc.", f"mapped {unit}", f"estimated {unit}")
    columns = [14, 16, 14, 26]
    head = " ".join(f"{title:>{size}}" for title, size in zip(titles, columns, strict=True))
    lines = [f"{'class':<{width}} {evaluation.units:>8} {head}"]
    for row in rows:
        cells = (
            _with_interval(row, "users_accuracy", 100),
            _with_interval(row, "producers_accuracy", 100),
            f"{row[mapped]:,.{_digits(unit, row[mapped])}f}",
            _with_interval(row, scale, digits=_digits(unit, row[scale])),
        )
        told = " ".join(f"{cell:>{size}}" for cell, size in zip(cells, columns, strict=True))
        lines.append(f"{row['name']:<{width}} {row['points']:>8} {told}")
    overall = (
        f"overall accuracy {_with_interval(record, 'overall_accuracy', 100)} from "
        f"{record['points']} {evaluation.units}; {record['without_reference']} without a reference "
        f"left out"
    )
    lines += ["", overall]
    if evaluation.trained_share:
        least = "" if evaluation.knows_all_ground else "at least "
        share = f"{least}{share_of(evaluation.trained_share)}"
        honest = "honest: a sample of other ground (--aoi)"
        lines.append(f"{share} of this ground trained the model; {honest}")
    if evaluation.without_map:
        lines.append(f"{evaluation.without_map} in classes of the map that are left out")
    lines += merged_lines(record["merged_classes"] or [])
    if evaluation.units == "polygons":
        lines.append(POLYGON_NOTE.format(100 * evaluation.purity))
    return "\n".join([*lines, TABLE_LEGEND])


def _with_interval(row: Mapping[str, Any], name: str, scale: float = 1, digits: int = 1) -> str:
    """A value and half its interval, or a dash if it is undefined."""
    value, half = (scale * row[key] for key in (name, f"{name}_ci95"))
    told = "?" if math.isnan(half) else f"{half:,.{digits}f}"
    return "-" if math.isnan(value) else f"{value:,.{digits}f} +- {told}"


def _digits(unit: str, value: float) -> int:
    """Decimals of an area: two for small ones in hectares."""
    return 0 if unit == "px" or value >= 1000 else 2  # noqa: PLR2004
