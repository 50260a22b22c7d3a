"""Inputs of a page: maps, images, evaluations and trainings, sorted and matched."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from geoseg.errors import InputError
from geoseg.evaluation.class_map import MapOptions
from geoseg.labels.legend import Legend
from geoseg.labels.legend_map import legend_from_dict
from geoseg.labels.reference import ReferenceOptions
from geoseg.labels.style import BandOptions
from geoseg.labels.tags import CLASS_MAP, read_tags
from geoseg.raster.grid import Grid
from geoseg.raster.lists import find_rasters
from geoseg.raster.paths import unique_names
from geoseg.raster.reader import RasterReader
from geoseg.raster.records import read_record, understanding
from geoseg.raster.tolerant import share_ground
from geoseg.raster.vector import is_vector
from geoseg.report.layers import Ground, Reading
from geoseg.report.runs import BUNDLE, EVALUATION, RUN


class Header(NamedTuple):
    """What is read of a raster before its pixels."""

    grid: Grid

    bands: int
    """Number of bands; 1 of a palette image."""

    tags: dict[str, Any]

    @property
    def source(self) -> str | None:
        """Name of the orthophoto that a map was made of."""
        source = self.tags.get("provenance", {}).get("source")
        return Path(source).name if isinstance(source, str) else None


class Headers(dict[Path, Header]):
    """Headers of rasters, each read once.

    Raises:
        RasterError: If a raster cannot be read.
    """

    def __missing__(self, path: Path) -> Header:
        tags = read_tags(path)
        with RasterReader(path, palette_index=True) as reader:
            self[path] = Header(reader.grid, reader.bands, tags)
        return self[path]


@dataclass(frozen=True, kw_only=True)
class ShowOptions:
    """What a page shows besides its inputs, and how maps and references are read."""

    orthos: tuple[Path, ...] = ()
    references: tuple[Path, ...] = ()
    without_reference: bool = False

    reading: Reading = field(default_factory=Reading)
    """How maps and references are read; evaluations record it for theirs.

    With a legend any raster of one band is a map.
    """

    bands: BandOptions = field(default_factory=BandOptions)

    asset: str | None = None
    """Asset of STAC items, or column of a CSV, that is meant by inputs; None: the only raster."""


@dataclass(frozen=True, kw_only=True)
class SceneFiles:
    """Files that show the same ground."""

    name: str = ""
    class_map: Path | None = None

    raster: Path | None = None
    """Raster on whose pixels a map of polygons is shown; None: the map is one."""

    references: tuple[Path, ...] = ()
    """References, if known; each fills what those before it leave unlabelled."""

    images: tuple[Path, ...] = ()
    reading: Reading = field(default_factory=Reading)
    bands: BandOptions = field(default_factory=BandOptions)
    headers: Headers = field(default_factory=Headers)

    @property
    def first(self) -> Path:
        """The file on whose pixels the others are shown."""
        return self.class_map or self.images[0]

    @property
    def header(self) -> Header:
        """Header of the first file."""
        if self.raster is None:
            return self.headers[self.first]
        return Header(self.headers[self.raster].grid, 1, read_tags(self.first))


@dataclass(frozen=True, kw_only=True)
class Named:
    """Inputs of a page, sorted."""

    scenes: tuple[SceneFiles, ...]
    evaluations: tuple[Path, ...] = ()
    runs: tuple[Path, ...] = ()
    bundles: tuple[Path, ...] = ()

    missing: tuple[str, ...] = ()
    """Sentences on what no longer exists or is not shown."""


def sort_inputs(inputs: Sequence[Path], options: ShowOptions) -> Named:
    """Sort inputs, and put together what shows the same ground.

    Raises:
        InputError: If a path is nothing that can be shown, or the number of references is
            neither one nor that of the maps.
        RasterError: If a raster cannot be read.
    """
    folders = {
        record: tuple(path for path in inputs if (path / record).is_file())
        for record in (EVALUATION, RUN, BUNDLE)
    }
    known = {path for group in folders.values() for path in group}
    missing: list[str] = []
    named = [path for path in inputs if path not in known]
    rasters = _rasters(named, options.asset, missing.append)
    headers = Headers()
    legend = options.reading.legend
    maps = [path for path in rasters if _is_map(headers[path], legend)]
    images = dict.fromkeys([*(path for path in rasters if path not in maps), *options.orthos])
    scenes = []
    for folder in folders[EVALUATION]:
        found, gone = read_evaluated(folder, references=not options.without_reference)
        missing += gone
        scenes += [
            replace(each, reading=options.reading.or_else(each.reading), headers=headers)
            for each in found
        ]
    evaluated = {scene.first.resolve() for scene in scenes}
    scenes += [
        SceneFiles(class_map=path, reading=options.reading, headers=headers)
        for path in maps
        if path.resolve() not in evaluated
    ]
    scenes = _with_images(_with_references(scenes, options.references), images, headers)
    names = unique_names([scene.first for scene in scenes])
    return Named(
        scenes=tuple(
            replace(scene, name=scene.name or name, bands=options.bands)
            for scene, name in zip(scenes, names, strict=True)
        ),
        evaluations=folders[EVALUATION],
        runs=folders[RUN],
        bundles=folders[BUNDLE],
        missing=(*missing, *_strangers(scenes, options.orthos), *_idle(scenes, options.reading)),
    )


def read_evaluated(folder: Path, *, references: bool = True) -> tuple[list[SceneFiles], list[str]]:
    """The maps of an evaluation that still exist, and sentences on files that do not.

    Raises:
        InputError: If the record cannot be read.
    """
    record = read_record(folder / EVALUATION)
    missing: list[str] = []

    def found(name: str | None, what: str = "") -> Path | None:
        if not name:
            return None
        beside = folder.parent
        for place in (Path(name), beside / name, beside / Path(name).name):
            if place.exists():
                return place
        missing.append(f"{name}, recorded in {folder}, does not exist{what}")
        return None

    with understanding(folder / EVALUATION):
        scenes = []
        how = record.get("reading") or {}
        every = record.get("inputs") or {}
        if isinstance(every.get("map"), str):  # that of a sample has no name
            every = {"": every}
        for name, inputs in every.items():
            if (class_map := found(inputs.get("map"))) is None:
                continue
            named = [inputs.get("reference"), *inputs.get("further_references", [])]
            paths = tuple(path for each in named if references and (path := found(each)))
            raster = None
            if is_vector(class_map):
                rasters = (path for each in (how.get("grid"), *named) if (path := found(each)))
                raster = next((each for each in rasters if not is_vector(each)), None)
            scenes.append(
                SceneFiles(name=name, class_map=class_map, raster=raster, references=paths)
            )
        grounds = _grounds(how, found) if references else []
        reading = _reading(record, grounds)
    kept = [each for each in scenes if each.raster or not is_vector(each.first)]
    missing += [
        f"{each.first} is of polygons, and no raster gives it its pixels"
        for each in scenes
        if each not in kept
    ]
    return [replace(each, reading=reading) for each in kept], list(dict.fromkeys(missing))


def _grounds(
    how: Mapping[str, Any], found: Callable[[str | None, str], Path | None]
) -> list[Ground]:
    """Ground that has counted in an evaluation."""
    whole = ": the reference is shown on all ground"
    areas = (found(how.get(name), whole) for name in ("aoi", "labelled_areas"))
    grounds = [Ground(path) for path in areas if path]
    if patches := found(how.get("patches"), whole):
        grounds.append(Ground(patches, how.get("split")))
    return grounds


def _reading(record: Mapping[str, Any], grounds: Sequence[Ground]) -> Reading:
    """How an evaluation has read its maps, if recorded; that of a sample is not."""
    how, legend = record.get("reading") or {}, record.get("legend")
    known = {each.name for each in fields(ReferenceOptions)} - {"labelled_areas"}
    return Reading(
        legend=None if legend is None else legend_from_dict(legend),
        reference=ReferenceOptions.from_record({n: how[n] for n in known if n in how}),
        map=MapOptions(map_attribute=how.get("map_attribute"), map_layer=how.get("map_layer")),
        grounds=tuple(grounds),
        by_map_values=True,
    )


def _strangers(scenes: Sequence[SceneFiles], orthos: Sequence[Path]) -> list[str]:
    """Sentences on orthophotos that overlap no map."""
    if not any(scene.class_map for scene in scenes):
        return []
    alone = [scene.first for scene in scenes if scene.class_map is None]
    return [f"{path} overlaps none of the maps" for path in orthos if path in alone]


def _idle(scenes: Sequence[SceneFiles], reading: Reading) -> list[str]:
    """Sentences on files that are for references, if there are none."""
    if any(scene.references for scene in scenes):
        return []
    paths = [each.path for each in (reading.legend_map, *reading.grounds) if each is not None]
    return [f"{path} is not used: no map is shown with a reference" for path in paths]


def _rasters(paths: Sequence[Path], asset: str | None, tell: Callable[[str], None]) -> list[Path]:
    for path in paths:
        if (path / "patches.json").is_file():
            raise InputError(f"{path}: a patch set cannot be shown; `geoseg info` describes it")
    found = find_rasters(paths, asset, kinds=(CLASS_MAP,), tell=tell)
    for path in found:
        if is_vector(path):
            raise InputError(f"{path}: polygons are references; name them with --reference")
    return found


def _is_map(header: Header, legend: Legend | None) -> bool:
    kind = header.tags.get("kind")
    return bool(kind == CLASS_MAP or (kind is None and legend is not None and header.bands == 1))


def _with_references(scenes: Sequence[SceneFiles], named: Sequence[Path]) -> list[SceneFiles]:
    """Scenes with the references that a user names for those without."""
    without = [scene for scene in scenes if not scene.references]
    if len(named) > 1 and len(named) != len(without):
        raise InputError(
            f"{len(named)} references for {len(without)} maps without one: name one for each, "
            f"or one for all"
        )
    rest = iter(named if len(named) > 1 else list(named) * len(without))
    return [
        scene if scene.references else replace(scene, references=tuple(islice(rest, 1)))
        for scene in scenes
    ]


def _with_images(
    scenes: Sequence[SceneFiles], images: Iterable[Path], headers: Headers
) -> list[SceneFiles]:
    """Scenes with the images of their ground; images of other ground are scenes too."""
    shown = list(scenes)
    for path in images:
        own = [_belongs(path, scene, headers, several=len(scenes) > 1) for scene in shown]
        shown = [
            replace(scene, images=(*scene.images, path)) if belongs else scene
            for scene, belongs in zip(shown, own, strict=True)
        ]
        if not any(own):
            shown.append(SceneFiles(images=(path,), headers=headers))
    return [_with_source(scene) for scene in shown]


def _belongs(path: Path, scene: SceneFiles, headers: Headers, *, several: bool) -> bool:
    """Whether an image shows the ground of a scene."""
    own = headers[path].grid
    if not share_ground(own, scene.header.grid):
        return False
    # Without a georeference only the size tells: of several maps it belongs to those made of it.
    is_sure = own.is_georeferenced or not several or scene.class_map is None
    return is_sure or scene.header.source == path.name


def _with_source(scene: SceneFiles) -> SceneFiles:
    """A map without an image is shown with the orthophoto beside it that it was made of."""
    path = scene.class_map
    if scene.images or path is None:
        return scene
    beside = path.parent / (scene.header.source or path.name)
    known = beside != path and beside.is_file()
    if known and share_ground(scene.headers[beside].grid, scene.header.grid):
        return replace(scene, images=(beside,))
    return scene
