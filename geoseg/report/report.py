"""`geoseg report`: one HTML file that holds everything."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoseg.raster.atomic import refuse_existing, staged
from geoseg.report.inputs import Named, ShowOptions, sort_inputs
from geoseg.report.options import ReportOptions
from geoseg.report.page import render_page
from geoseg.report.scenes import Scene, count_classes, opened_scenes
from geoseg.report.sections import Section, bundle_section, evaluation_section, run_section
from geoseg.report.tiles import pyramid

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
