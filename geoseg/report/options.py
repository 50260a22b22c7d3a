"""What a user decides about pages and previews: the only place of its defaults."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from geoseg.labels.reference import REFERENCE, ReferenceOptions
from geoseg.options import CALL, nested, option, parse_bands, threads_option
from geoseg.raster.reader import INPUT


@dataclass(frozen=True, kw_only=True)
class BandOptions:
    """Which bands of orthophotos are shown; all but one and three are refused."""

    bands: tuple[int, ...] | None = option(
        None,
        group=INPUT,
        names=("--bands", "-b"),
        metavar="3,2,1",
        parse=parse_bands,
        shown="by their names, else the first three",
        help="Bands of orthophotos to show as red, green, blue, from 1; one: in grey.",
    )
    band_names: str | None = option(
        None, group=INPUT, metavar="nir,red,green", help="The same, by the files' names."
    )


@dataclass(frozen=True, kw_only=True)
class PageOptions:
    """What a page shows besides its inputs, and how maps and references are read."""

    orthos: tuple[Path, ...] = option(
        (),
        group=INPUT,
        names=("--ortho",),
        help="Orthophoto to show with the maps on it; repeat for more.",
    )
    bands: BandOptions = field(default_factory=BandOptions)
    references: tuple[Path, ...] = option(
        (),
        group=REFERENCE,
        names=("--reference", "-r"),
        help="Reference of the maps: one for each, or one for all.",
    )
    without_reference: bool = option(
        False,
        group=REFERENCE,
        names=("--no-reference",),
        help="Leave out the references that evaluations tell of.",
    )
    reference: ReferenceOptions = nested(ReferenceOptions, without=("resample",))
    aoi: Path | None = option(
        None, group=REFERENCE, help="Polygons; references are not shown outside of them."
    )
    workers: int | None = threads_option(CALL)

    @property
    def threads(self) -> int:
        """How many threads read and encode."""
        return self.workers or os.cpu_count() or 1


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """How a page is written."""

    title: str | None = option(None, group=CALL, help="Title of the page.")
    size: int = option(
        2048,
        min=64,
        max=16384,
        group=CALL,
        names=("--max-size",),
        help="Longest side of images, about, in pixels.",
    )
    threads: int = 2
    """Threads that read and encode."""


@dataclass(frozen=True, kw_only=True)
class PreviewOptions:
    """How rasters are drawn side by side."""

    size: int = option(
        800, min=64, max=4096, group=CALL, help="Longest side of each picture, in pixels."
    )
