"""What a user decides about an evaluation: the only place of its defaults."""

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypedDict

from geoseg.errors import LegendError
from geoseg.evaluation.comparison import Bootstrap, Measures, RegionSource
from geoseg.evaluation.counters import parse_source
from geoseg.evaluation.error_map import WINDOW_SIDE
from geoseg.labels.legend import Legend
from geoseg.labels.reference import ReferenceOptions
from geoseg.options import CALL, aoi_option, option, seed_option
from geoseg.patches.patch_set import PatchSet
from geoseg.patches.record import Split
from geoseg.postprocess.components import (
    CONNECTIVITY,
    CONNECTIVITY_HELP,
    Connectivity,
    parse_connectivity,
)
from geoseg.raster.reader import INPUT
from geoseg.raster.units import Length
from geoseg.text import short_list

METRICS, INTERVALS, ERRORS = "Metrics", "Confidence intervals", "Errors"
"""Groups of the options."""

MOST_THREADS = 4
"""More by default would only take memory: a third of the work is done by one at a time."""


class Reading(TypedDict):
    """How maps and references are read: keywords of all that does so."""

    options: ReferenceOptions
    """How references name classes."""

    aoi: Path | None
    """Polygons of the area that counts."""

    ground: Any
    """GeoSeries of the area that counts; None: all of it."""


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """How class maps are compared with references, and what is measured."""

    aoi: Path | None = aoi_option(INPUT)
    patches: Path | None = option(
        None, group=INPUT, help="Patch set: only the ground of one of its splits counts."
    )
    split: Split = option("val", group=INPUT, help="Which split of --patches.")
    reference: ReferenceOptions = field(default_factory=ReferenceOptions)
    boundary: Length | None = option(
        None,
        group=METRICS,
        metavar="2px|1.5m",
        parse=Length.parse,
        help="Boundary IoU and F1: how far apart borders may be.",
    )
    erode: Length | None = option(
        None,
        group=METRICS,
        metavar="3px|1m",
        parse=Length.parse,
        help="Metrics also without pixels this near to a border of the reference.",
    )
    objects: tuple[str, ...] = option(
        (),
        group=METRICS,
        metavar="CLASS",
        help="Match this class's objects too; may be repeated.",
    )
    reference_objects: Literal["components", "polygons"] = option(
        "components",
        group=METRICS,
        help="What an object of the reference is: connected pixels, or a polygon of its file, so "
        "that those that touch stay apart.",
    )
    connectivity: Connectivity = option(
        CONNECTIVITY,
        group=METRICS,
        metavar="4|8",
        parse=parse_connectivity,
        help=CONNECTIVITY_HELP,
    )
    by: RegionSource | None = option(
        None,
        group=METRICS,
        metavar="FILE[:COLUMN]",
        parse=parse_source,
        help="Polygons of regions, and the column of their names: metrics of each region.",
    )
    intervals: float | None = option(
        None,
        min=50,
        max=99.9,
        group=INTERVALS,
        metavar="PERCENT",
        help="Bounds of every share at this level, such as 95, by drawing blocks of ground; "
        "counts and worst windows have none, --sample its own standard errors.",
    )
    block: Length | None = option(
        None,
        group=INTERVALS,
        metavar="256px|50m",
        parse=Length.parse,
        shown=str(Bootstrap.block),
        help="Side of the blocks of --intervals; what lies nearer together may be right or wrong "
        "together.",
    )
    bootstrap: int = option(
        Bootstrap.resamples,
        min=100,
        max=100_000,
        group=INTERVALS,
        help="How often blocks are drawn for --intervals.",
    )
    seed: int = seed_option(INTERVALS)
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
        return self.workers or min(os.cpu_count() or 1, MOST_THREADS)

    def measures(self, legend: Legend) -> Measures:
        """What is measured.

        Raises:
            LegendError: If a class of `objects` is not in the legend.
        """
        bootstrap = None
        if self.intervals is not None:
            own = {} if self.block is None else {"block": self.block}
            bootstrap = Bootstrap(
                level=self.intervals / 100, resamples=self.bootstrap, seed=self.seed, **own
            )
        return Measures(
            boundary=self.boundary,
            erode=self.erode,
            objects=class_indices(self.objects, legend),
            polygons=self.reference_objects == "polygons",
            connectivity=self.connectivity,
            by=self.by,
            bootstrap=bootstrap,
        )

    def reading(self) -> Reading:
        """How maps and references are read.

        Raises:
            PatchSetError: If the patch set is missing or damaged.
        """
        ground = None
        if self.patches is not None:
            ground = PatchSet.open(self.patches).footprints(self.split)
        return {"options": self.reference, "aoi": self.aoi, "ground": ground}

    @property
    def record(self) -> dict[str, str | bool | float | None]:
        """How the files are read, as a report says."""
        files = {
            "labelled_areas": self.reference.labelled_areas,
            "aoi": self.aoi,
            "patches": self.patches,
        }
        return (
            asdict(self.reference)
            | {name: str(path) if path else None for name, path in files.items()}
            | {"split": self.split if self.patches else None}
        )


def class_indices(names: tuple[str, ...], legend: Legend) -> tuple[int, ...]:
    """Indices of classes by their names.

    Raises:
        LegendError: If one is not in the legend.
    """
    for name in names:
        if name not in legend.names:
            raise LegendError(
                f"no class {name!r} in the legend; its classes are {short_list(legend.names)}"
            )
    return tuple(dict.fromkeys(legend.names.index(name) for name in names))
