"""What a user decides about an evaluation: the only place of its defaults."""

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from geoseg.evaluation.comparison import Measures, Reading
from geoseg.evaluation.error_map import WINDOW_SIDE
from geoseg.labels.reference import ReferenceOptions
from geoseg.options import CALL, aoi_option, option
from geoseg.patches.patch_set import PatchSet
from geoseg.patches.record import Split
from geoseg.raster.reader import INPUT

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
        return self.workers or min(os.cpu_count() or 1, MOST_THREADS)

    def reading(self) -> Reading:
        """How maps and references are read.

        Raises:
            PatchSetError: If the patch set is missing or damaged.
        """
        ground = None
        if self.patches is not None:
            ground = PatchSet.open(self.patches).footprints(self.split)
        return Reading(options=self.reference, aoi=self.aoi, ground=ground)

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
