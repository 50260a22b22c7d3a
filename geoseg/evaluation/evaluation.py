"""An evaluation of one or several maps: options, metrics, intervals, reasons to doubt them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from geoseg.errors import EmptyError, InputError
from geoseg.evaluation.bootstrap import MIN_BLOCKS, Counts, intervals
from geoseg.evaluation.class_map import MapOptions
from geoseg.evaluation.comparison import (
    WINDOW_SIDE,
    ErrorWindow,
    EvaluationCounts,
    Measures,
    Pair,
    Reading,
)
from geoseg.evaluation.metrics import (
    dice_of_maps,
    in_percent,
    merged_classes,
    metrics_of,
    region_metrics,
    share_of,
    titles,
    values_of,
    window_rows,
)
from geoseg.labels.confusion import Floats, divide, rows_of
from geoseg.labels.legend import Legend
from geoseg.labels.pixel_classes import doubts_of_codings, hints_at_other_coding
from geoseg.labels.reference import ReferenceOptions
from geoseg.options import CALL, aoi_option, option
from geoseg.patches.patch_set import PatchSet
from geoseg.patches.record import LOW_SHARE, Split, hint_at_few_polygons
from geoseg.raster.folders import EVALUATION, KIND
from geoseg.raster.lists import match_by_name, match_by_order
from geoseg.raster.paths import unique_names
from geoseg.raster.reader import INPUT
from geoseg.raster.threads import core_count
from geoseg.text import quoted_list

FEW_BLOCKS = 30
"""With fewer spatial blocks than this, confidence intervals are not to be trusted much."""


ERRORS = "Errors"
"""Group of the options for error maps and error windows."""

MOST_THREADS = 4
"""More by default would only take memory: a third of the work is done by one at a time."""


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """How class maps are compared with references, and what is measured."""

    aoi: Path | None = aoi_option(INPUT)
    patches: Path | None = option(
        None, group=INPUT, help="Patch set: only the ground of one of its splits counts."
    )
    split: Split = option("val", group=INPUT, help="Which split of --patches.")
    map: MapOptions = field(default_factory=MapOptions)
    reference: ReferenceOptions = field(default_factory=ReferenceOptions)
    measures: Measures = field(default_factory=Measures)
    error_map: Path | None = option(
        None,
        group=ERRORS,
        help="GeoTIFF to write: what is right pale, each confusion in a colour of its own. A "
        "folder for several maps.",
    )
    worst: int = option(
        0,
        min=0,
        max=1000,
        group=ERRORS,
        help="Rank so many windows by their errors; see --output.",
    )
    window: int = option(
        WINDOW_SIDE, min=16, group=ERRORS, help="Side of the windows of --worst, in pixels."
    )
    orthos: tuple[Path, ...] = option(
        (),
        group=ERRORS,
        names=("--ortho",),
        help="Orthophotos of the maps, for the pictures of --worst; repeat for more.",
    )
    workers: int | None = option(
        None,
        min=1,
        group=CALL,
        shown=f"one per processor, at most {MOST_THREADS}",
        help="Threads.",
    )

    @property
    def threads(self) -> int:
        """How many threads compare and rank."""
        return self.workers or min(core_count(), MOST_THREADS)

    def reading(self) -> Reading:
        """How maps and references are read.

        Raises:
            PatchSetError: If the patch set is missing or damaged.
        """
        ground = None
        if self.patches is not None:
            ground = PatchSet.open(self.patches).footprints(self.split)
        return Reading(options=self.reference, map=self.map, aoi=self.aoi, ground=ground)

    @property
    def record(self) -> dict[str, str | bool | float | None]:
        """How the files are read, as a report says."""
        files = {
            "labelled_areas": self.reference.labelled_areas,
            "aoi": self.aoi,
            "patches": self.patches,
            "grid": self.map.grid,
        }
        return (
            self.reference.to_record()
            | asdict(self.map)
            | {name: str(path) if path else None for name, path in files.items()}
            | {"split": self.split if self.patches else None}
        )


@dataclass(frozen=True)
class Evaluation:
    """Counts of one or several maps, and their sum."""

    counts: Mapping[Pair, EvaluationCounts]
    legend: Legend
    measures: Measures = Measures()  # noqa: RUF009 frozen
    error_windows: Sequence[ErrorWindow] = ()
    """Windows with most errors, the most first, if they were asked for."""

    reading: Mapping[str, Any] = field(default_factory=dict)
    """How the files were read, for JSON, so that `geoseg report` can read them again."""

    @cached_property
    def pooled(self) -> EvaluationCounts:
        """All maps together."""
        return sum(self.counts.values(), start=EvaluationCounts.nothing(len(self.legend)))

    @property
    def spatial_blocks(self) -> int:
        """Spatial blocks from which confidence intervals are drawn.

        Raises:
            InputError: If there are fewer than two.
        """
        rows = (self.pooled.by_block or {})["confusion"]
        blocks = int(np.count_nonzero(rows.counted))
        if blocks < MIN_BLOCKS:
            raise InputError(
                f"confidence intervals need several blocks of {self.measures.spatial_block}, and "
                f"all that counts lies in {blocks}; give a smaller --block"
            )
        return blocks

    @cached_property
    def confidence(self) -> dict[str, Any] | None:
        """Bounds of the metrics of all maps together, ``[lower, upper]`` each, if asked for.

        Objects of a class that all lie in one spatial block have none: they are NaN.

        Raises:
            InputError: If there are no two blocks to draw from.
        """
        if (measures := self.measures).intervals is None:
            return None
        blocks, bounds = self.spatial_blocks, self._bounds()
        names, objects = self.legend.names, self.pooled.objects or {}
        per_map = bounds.get("per_map")
        return {
            "level": measures.level,
            "method": "percentiles of a spatial block bootstrap",
            "block": str(measures.spatial_block),
            "blocks": blocks,
            "resamples": measures.bootstrap,
            "seed": measures.seed,
            **_listed(bounds["summary"]),
            "boundary": _listed(bounds.get("boundary", {})) or None,
            "eroded": _listed(bounds.get("eroded", {})) or None,
            "classes": rows_of({"name": names, **bounds["classes"]}),
            "shares_of_reference": bounds["confusion"]["shares"].tolist(),
            "objects": rows_of({"name": [names[i] for i in objects], **bounds.get("objects", {})}),
            "per_map": per_map
            and {
                "mean_dice": per_map["mean_dice"].tolist(),
                "classes": rows_of({"name": names, "dice": per_map["dice"]}),
            },
        }

    def _bounds(self) -> dict[str, dict[str, Floats]]:
        """(..., 2) bounds by group and name."""
        blocks = self.pooled.by_block or {}
        maps = [(each.by_block or {})["confusion"] for each in self.counts.values()]
        stops = np.cumsum([len(each) for each in maps])[:-1]

        def metrics(times: Counts) -> dict[tuple[str, str], Any]:
            drawn = EvaluationCounts(**{name: each.drawn(times) for name, each in blocks.items()})
            found = _all_values(drawn)
            if len(maps) > 1:
                parts = zip(maps, np.split(times, stops), strict=True)
                dice = dice_of_maps([each.drawn(part) for each, part in parts])
                found |= {("per_map", name): dice[name] for name in ("mean_dice", "dice")}
            return found

        groups: dict[str, dict[str, Floats]] = {}
        bounds = intervals(blocks["confusion"].counted, metrics, self.measures)
        for (group, name), each in bounds.items():
            groups.setdefault(group, {})[name] = np.moveaxis(each, 0, -1)
        if objects := blocks.get("objects"):
            places = [np.union1d(own.reference, own.mapped) for own in objects.matches.values()]
            alone = np.array([len(own) for own in places]) < MIN_BLOCKS
            for each in groups["objects"].values():
                each[alone] = np.nan
        return groups

    def _repr_html_(self) -> str:
        """The table of classes and, of a single map, its picture, for notebooks."""
        from geoseg.labels.style import card, map_picture

        confusion, maps = self.pooled.confusion, [pair.class_map for pair in self.counts]
        summary = {"overall accuracy": confusion.overall_accuracy, "mean IoU": confusion.mean_iou}
        columns = {"IoU": confusion.iou, "F1": confusion.f1, "precision": confusion.precision,
                   "recall": confusion.recall}  # fmt: skip
        rows = [
            {"class": name} | {title: in_percent(each[i]) for title, each in columns.items()}
            for i, name in enumerate(self.legend.names)
        ]
        facts = [", ".join(f"{name} {in_percent(value)}" for name, value in summary.items())]
        return card(
            " and ".join(path.name for path in maps) if len(maps) < 3 else f"{len(maps)} maps",  # noqa: PLR2004
            [*facts, *_of_training(self.pooled), f"{confusion.total:,} px counted; in %"],
            rows=rows,
            legend=self.legend,
            picture=map_picture(maps[0]) if len(maps) == 1 else "",
        )

    def to_dict(self) -> dict[str, Any]:
        """All metrics; what is undefined is NaN. Several maps also have each their own."""
        own = {
            pair.name: metrics_of(each, self.legend, self.measures)
            for pair, each in self.counts.items()
        }
        several = len(own) > 1
        return {
            KIND: EVALUATION.name,
            **metrics_of(self.pooled, self.legend, self.measures),
            "per_map": per_map(self) if several else None,
            "maps": own if several else {},
            "confidence": self.confidence,
            "regions": region_metrics(self.pooled, self.legend, self.measures),
            "worst": window_rows(self.error_windows, self.legend.names),
            "notes": list(dict.fromkeys(self.pooled.notes)),
            "merged_classes": merged_classes(self.legend),
            "legend": self.legend.to_dict(),
            "reading": dict(self.reading),
            "inputs": {
                pair.name: {
                    "map": str(pair.class_map),
                    "reference": str(pair.reference),
                    "further_references": [str(path) for path in pair.further],
                    "scores": str(pair.scores) if pair.scores else None,
                }
                for pair in self.counts
            },
        }


def pair_maps(
    maps: Sequence[Path],
    references: Sequence[Path],
    *,
    by: Literal["order", "name", "all"],
    scores: Sequence[Path] = (),
) -> list[Pair]:
    """Class maps with their references.

    Args:
        maps: Class maps.
        references: Rasters or polygons. A single map has them all.
        by: ``order``: the first of the first, and so on. ``name``: that with its name.
            ``all``: each map has all of them.
        scores: Of each map, in the same order, if they are to be judged.

    Raises:
        InputError: If they do not match.
    """
    if scores and len(scores) != len(maps):
        raise InputError(f"{len(maps)} maps and {len(scores)} rasters of scores: give one for each")
    if by == "all" or (by == "order" and len(maps) == 1):
        found = [references] * len(maps)
    else:
        match = match_by_name if by == "name" else match_by_order
        found = [[each] for each in match(maps, references)]
    judged: Sequence[Path | None] = scores or [None] * len(maps)
    return [
        Pair(name, path, own[0], further=tuple(own[1:]), scores=raster)
        for name, path, own, raster in zip(unique_names(maps), maps, found, judged, strict=True)
    ]


def _all_values(counts: EvaluationCounts) -> dict[tuple[str, str], Any]:
    """All values that have confidence intervals, by group and name."""
    confusion, objects = counts.confusion, (counts.objects or {}).values()
    found: dict[tuple[str, str], Any] = {
        (group, name): value
        for group in ("summary", "classes", "boundary", "eroded")
        for name, value in values_of(group, counts).items()
    }
    found["confusion", "shares"] = divide(confusion.counts, confusion.support[:, None])
    of_objects = [values_of("objects", each) for each in objects]
    for name in titles("objects") if of_objects else ():
        found["objects", name] = np.array([each[name] for each in of_objects])
    return found


def _listed(bounds: Mapping[str, Floats]) -> dict[str, list[float]]:
    return {name: each.tolist() for name, each in bounds.items()}


def per_map(evaluation: Evaluation) -> dict[str, Any]:
    """Dice of each map on its own, averaged over maps; see `dice_of_maps`."""
    dice = dice_of_maps([each.confusion for each in evaluation.counts.values()])
    return {
        "mean_dice": dice["mean_dice"],
        "classes": rows_of(
            {"name": evaluation.legend.names, "dice": dice["dice"], "maps": dice["maps"]}
        ),
    }


def warnings_of(evaluation: Evaluation) -> list[str]:
    """Reasons to doubt the metrics: training ground, missing classes, little ground, codings.

    Raises:
        EmptyError: If there are to be regions, and none lies on a map.
        InputError: If there are to be confidence intervals, and there are no two blocks.
    """
    pooled, measures = evaluation.pooled, evaluation.measures
    if measures.by and not pooled.regions:
        raise EmptyError(f"{measures.by.path}: no region lies on a map; are the CRS right?")
    doubts = doubts_of_codings(pooled.meanings, evaluation.legend)
    found = [*_of_training(pooled), *_of_reference(evaluation), *doubts]
    found += dict.fromkeys(pooled.notes)
    if measures.intervals and (blocks := evaluation.spatial_blocks) < FEW_BLOCKS:
        found.append(
            f"only {blocks} blocks of {measures.spatial_block}: their bounds are rough, and mostly "
            f"too narrow"
        )
    return found


def hints_of(evaluation: Evaluation, reference: ReferenceOptions) -> list[str]:
    """What a user may not have thought of: other codings, polygons that cover little."""
    legend, confusion = evaluation.legend, evaluation.pooled.confusion
    if hints := hints_at_other_coding(evaluation.pooled.meanings, legend):
        return hints
    drawn = any(each.fills_gaps for each in evaluation.pooled.meanings)
    told = reference.labelled_areas is not None or reference.only_polygons
    if not drawn or told or legend.background is None:
        return []
    covered = 1 - confusion.support[legend.background_index] / confusion.total
    return hint_at_few_polygons(covered, legend.background)


def _of_training(counts: EvaluationCounts) -> list[str]:
    if counts.trained is None or not counts.trained.total:
        return []
    share = share_of(counts.trained.total / counts.confusion.total)
    least = "at least " if counts.unknown_ground else ""
    honest = "honest: --patches PATCHES --split test (or val)"
    return [f"{least}{share} of this ground trained the model; {honest}"]


def _of_reference(evaluation: Evaluation) -> list[str]:
    counts, names = evaluation.pooled, evaluation.legend.names
    support = counts.confusion.support.tolist()
    absent = [name for name, pixels in zip(names, support, strict=True) if not pixels]
    found = []
    if len(absent) == len(names) - 1 > 0:
        only = next(name for name, pixels in zip(names, support, strict=True) if pixels)
        found.append(f"the reference holds one class only, {only!r}: its metrics say little")
    elif absent:
        them = "it" if len(absent) == 1 else "them"
        found.append(
            f"no pixel of {quoted_list(absent)} in the reference: the means leave {them} out"
        )
    share = counts.confusion.total / counts.mapped if counts.mapped else 1.0
    if share < LOW_SHARE:
        found.append(f"only {100 * share:.2g} % of the map is counted")
    return found
