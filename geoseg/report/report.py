"""A report: one HTML file, or one with a folder of tiles beside it."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoseg.raster.atomic import refuse_existing, staged
from geoseg.raster.folders import KIND, TILES
from geoseg.report.inputs import Named, ShowOptions, sort_inputs
from geoseg.report.page import POLICY, render_page
from geoseg.report.scenes import Scene, count_classes, opened_scenes
from geoseg.report.sections import Section, bundle_section, evaluation_section, run_section
from geoseg.report.tiles import Tile, pyramid

Watch = Callable[[Iterable[Any], int], Iterable[Any]]

FOLDER_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "script-src 'unsafe-inline' 'self' file:"
)
"""What a page with a folder may load: its tiles, which are scripts that hold a picture.

A page from a disk may load scripts, while pixels of pictures would be kept from it.
"""


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """What a report is to be like."""

    title: str | None = None
    """Of the page; None: the names of what it shows."""

    size: int = 2048
    """Longest side of pictures, about, in pixels; all of it with `tiles`."""

    tiles: bool = False
    """Whether tiles of full resolution lie in a folder beside the page."""

    threads: int = 2
    """That read and encode."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was written."""

    output: Path
    """The page."""

    folder: Path | None
    """Its tiles, if they lie beside it."""

    maps: int
    """Scenes shown as maps."""

    sections: int
    """Evaluations, trainings and models."""

    bytes: int
    """Of the page and its tiles."""

    notes: tuple[str, ...]
    """What is missing."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "output": str(self.output),
            "tiles": None if self.folder is None else str(self.folder),
            "maps": self.maps,
            "sections": self.sections,
            "bytes": self.bytes,
            "notes": list(self.notes),
        }


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
        inputs: What is to be shown: rasters, or folders of geoseg's.
        output: HTML file to write; with tiles ``<stem>_tiles`` lies beside it.
        show: What else is to be shown.
        options: What the page is to be like.
        overwrite: Whether to replace an existing report.
        watch: Shows progress over layers.

    Raises:
        GeosegError: If an input cannot be read or understood, or the page not written.
    """
    folder = folder_of_tiles(output) if options.tiles else None
    refuse_existing(output, overwrite=overwrite)
    if folder is not None:
        refuse_existing(folder, overwrite=overwrite, kind=TILES)
    named = sort_inputs(inputs, show)
    sections = sections_of(named)
    size = None if options.tiles else options.size
    with opened_scenes(named.scenes, size=size, exact=True) as scenes:
        areas = [
            scene.area_table(count_classes(scene, threads=options.threads)) for scene in scenes
        ]
        notes = [*named.missing, *_shrunk_notes(scenes)]
        layers = _layers(scenes, watch)
        tiles = (
            {"data": _embedded(layers, options.threads)}
            if folder is None
            else _written(folder, layers, options.threads, overwrite=overwrite)
        )
        page = render_page(
            title=options.title or title_of(named),
            scenes=scenes,
            areas=areas,
            sections=sections,
            notes=notes,
            tiles=tiles,
            policy=POLICY if folder is None else FOLDER_POLICY,
        )
        with staged(output, overwrite=overwrite) as partial:
            partial.write_text(page, encoding="utf-8", newline="\n")
    return Report(
        output=output,
        folder=folder,
        maps=len(named.scenes),
        sections=len(sections),
        bytes=sum(path.stat().st_size for path in _files(output, folder)),
        notes=tuple(notes),
    )


def folder_of_tiles(output: Path) -> Path:
    """The folder beside a page that holds its tiles."""
    return output.with_name(f"{output.stem}_tiles")


def sections_of(named: Named) -> list[Section]:
    """The sections of figures on what a user named.

    Raises:
        InputError: If a folder cannot be read.
    """
    return [
        *(evaluation_section(folder) for folder in named.evaluations),
        *(run_section(folder) for folder in named.runs),
        *(bundle_section(folder) for folder in named.bundles),
    ]


def title_of(named: Named) -> str:
    """A title from the names of what is shown."""
    folders = [*named.evaluations, *named.runs, *named.bundles]
    names = [folder.resolve().name for folder in folders] or [scene.name for scene in named.scenes]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")  # noqa: PLR2004


def _shrunk_notes(scenes: Sequence[Scene]) -> list[str]:
    return [
        f"{scene.name} is shown at 1/{scene.frame.shrink} of its {scene.frame.grid.width} x "
        f"{scene.frame.grid.height} pixels; figures are of all of them. More with --max-size, "
        f"all with --tiles or geoseg view."
        for scene in scenes
        if scene.frame.shrink > 1
    ]


def _layers(scenes: Sequence[Scene], watch: Watch) -> Iterable[tuple[str, Scene, str]]:
    """Name, scene and role of each layer."""
    layers = [
        (f"{number}/{role}", scene, role)
        for number, scene in enumerate(scenes)
        for role in scene.layers
    ]
    return watch(layers, len(layers))


def _tiles(layers: Iterable[tuple[str, Scene, str]], threads: int) -> Iterator[tuple[str, Tile]]:
    for name, scene, role in layers:
        for tile in pyramid(scene.layers[role], scene.frame, threads=threads):
            yield f"{name}/{tile.name}", tile


def _embedded(layers: Iterable[tuple[str, Scene, str]], threads: int) -> dict[str, str]:
    return {name: tile.data_uri for name, tile in _tiles(layers, threads)}


def _written(
    folder: Path,
    layers: Iterable[tuple[str, Scene, str]],
    threads: int,
    *,
    overwrite: bool,
) -> dict[str, Any]:
    """Write tiles as scripts that give a picture to the page."""
    with staged(folder, overwrite=overwrite, kind=TILES) as partial:
        partial.mkdir()
        record = json.dumps({KIND: TILES.name}) + "\n"
        (partial / TILES.record).write_text(record, encoding="utf-8")
        for name, tile in _tiles(layers, threads):
            path = partial / f"{name}.js"
            path.parent.mkdir(parents=True, exist_ok=True)
            call = f"geosegTile({json.dumps(name)},{json.dumps(tile.data_uri)});\n"
            path.write_text(call, encoding="utf-8", newline="\n")
    return {"folder": folder.name}


def _files(output: Path, folder: Path | None) -> Iterator[Path]:
    yield output
    if folder is not None:
        yield from (path for path in folder.rglob("*") if path.is_file())
