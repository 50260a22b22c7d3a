"""`geoseg report`: one HTML file that holds everything."""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

import geoseg
from geoseg.labels.reference import REFERENCE, ReferenceOptions
from geoseg.labels.style import BandOptions
from geoseg.options import CALL, nested, option, threads_option
from geoseg.raster.atomic import refuse_existing, staged
from geoseg.raster.reader import INPUT
from geoseg.report.inputs import Named, ShowOptions, sort_inputs
from geoseg.report.scenes import Scene, count_classes, opened_scenes, pyramid
from geoseg.report.sections import Section, bundle_section, evaluation_section, run_section
from geoseg.report.tables import as_text, words

ASSETS = files("geoseg.report") / "assets"
"""Template, style and script, and Leaflet with its licence."""

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'unsafe-inline'"
"""Sources that a page alone may load: itself."""


def render_page(
    *,
    title: str,
    scenes: Sequence[Scene],
    areas: Sequence[Sequence[Mapping[str, Any]] | None],
    sections: Sequence[Section] = (),
    notes: Sequence[str] = (),
    tiles: Mapping[str, Any],
    policy: str = POLICY,
) -> str:
    """The page as HTML.

    Args:
        title: Title of the page.
        scenes: Scenes to show as maps.
        areas: `Scene.area_table` of each scene; None: the page asks for it.
        sections: Sections of metrics.
        notes: Sentences above all.
        tiles: Source of tiles for the script: ``{"data": {"0/map/0/0/0": data URI}}`` or
            ``{"server": ""}``.
        policy: Sources that the browser may load.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {"as_text": as_text, "words": words}
    template = environment.from_string(_asset("report.html.j2"))
    described = [scene.for_page() for scene in scenes]
    for number, (scene, area) in enumerate(zip(described, areas, strict=True)):
        scene |= {"number": number, "areas": area}
    return template.render(
        title=title,
        version=geoseg.__version__,
        policy=policy,
        scenes=described,
        records=[{"map": scene.name, "made of": scene.provenance} for scene in scenes],
        sections=sections,
        notes=notes,
        style=Markup(_asset("leaflet/leaflet.css") + _asset("report.css")),  # noqa: S704 our own
        scripts=[Markup(_script("leaflet/leaflet.js")), Markup(_script("report.js"))],  # noqa: S704
        data=_json_for_script({"scenes": described, "tiles": tiles}),
    )


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _script(name: str) -> str:
    """A script without the comment that makes debuggers ask for another file."""
    lines = _asset(name).splitlines()
    return "\n".join(line for line in lines if not line.startswith("//# sourceMappingURL"))


def _json_for_script(content: Any) -> Markup:
    """JSON that cannot end the element it stands in, whatever names are in it."""
    text = json.dumps(content, separators=(",", ":"))
    for mark in "<>&":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return Markup(text)  # noqa: S704 escaped above


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


Watch = Callable[[Iterable[Any], int], Iterable[Any]]


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was written."""

    output: Path
    """The page."""

    maps: int
    """Scenes shown as maps."""

    sections: int
    """Evaluations, trainings and models."""

    bytes: int
    """Size of the page."""

    notes: tuple[str, ...]
    """What is missing or reduced."""

    def to_dict(self) -> dict[str, Any]:
        """The report for JSON."""
        return vars(self) | {"output": str(self.output), "notes": list(self.notes)}


def write_report(
    inputs: Sequence[Path],
    output: Path,
    show: ShowOptions,
    options: ReportOptions,
    *,
    overwrite: bool,
    watch: Watch,
) -> Report:
    """Write a page of maps, evaluations, trainings and models.

    Args:
        inputs: Rasters, and folders that geoseg wrote.
        output: HTML file to write.
        show: What else is shown, and how maps and references are read.
        options: How the page is written.
        overwrite: Whether to replace an existing report.
        watch: Shows progress over layers.

    Raises:
        GeosegError: If an input cannot be read or understood, or the page not written.
    """
    refuse_existing(output, overwrite=overwrite)
    named = sort_inputs(inputs, show)
    sections = sections_of(named)
    with opened_scenes(named.scenes, size=options.size, exact=True) as scenes:
        areas = [
            scene.area_table(count_classes(scene, threads=options.threads)) for scene in scenes
        ]
        notes = [*named.missing, *_shrunk_notes(scenes)]
        layers = [
            (f"{number}/{role}", scene, layer)
            for number, scene in enumerate(scenes)
            for role, layer in scene.layers.items()
        ]
        tiles = {
            f"{name}/{tile.name}": tile.data_uri
            for name, scene, layer in watch(layers, len(layers))
            for tile in pyramid(layer, scene.frame, threads=options.threads)
        }
        page = render_page(
            title=options.title or title_of(named),
            scenes=scenes,
            areas=areas,
            sections=sections,
            notes=notes,
            tiles={"data": tiles},
        )
        with staged(output, overwrite=overwrite) as partial:
            partial.write_text(page, encoding="utf-8", newline="\n")
    return Report(
        output=output,
        maps=len(named.scenes),
        sections=len(sections),
        bytes=output.stat().st_size,
        notes=tuple(notes),
    )


def sections_of(named: Named) -> list[Section]:
    """The sections of metrics of the inputs.

    Raises:
        InputError: If a folder cannot be read.
    """
    return [
        *(evaluation_section(folder) for folder in named.evaluations),
        *(run_section(folder) for folder in named.runs),
        *(bundle_section(folder) for folder in named.bundles),
    ]


def title_of(named: Named) -> str:
    """A title from the names of the inputs."""
    folders = [*named.evaluations, *named.runs, *named.bundles]
    names = [folder.resolve().name for folder in folders] or [scene.name for scene in named.scenes]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")  # noqa: PLR2004


def _shrunk_notes(scenes: Sequence[Scene]) -> list[str]:
    return [
        f"{scene.name} is shown at 1/{scene.frame.shrink} of its {scene.frame.grid.width} x "
        f"{scene.frame.grid.height} pixels; metrics are of all of them. --max-size shows more, "
        f"geoseg view all."
        for scene in scenes
        if scene.frame.shrink > 1
    ]
