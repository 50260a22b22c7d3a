"""What a user names for a page: maps, pictures, evaluations and trainings, sorted and paired."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from geoseg.errors import GeosegError, InputError
from geoseg.labels.legend import Legend
from geoseg.labels.legend_files import read_tags
from geoseg.labels.legend_map import legend_from_dict
from geoseg.labels.pixel_classes import CLASS_MAP
from geoseg.labels.reference import ReferenceOptions
from geoseg.labels.render import BandChoice
from geoseg.raster.grid import Grid
from geoseg.raster.paths import find_rasters, unique_names
from geoseg.raster.reader import RasterReader
from geoseg.raster.records import read_record, understanding
from geoseg.raster.vector import is_vector
from geoseg.report.aligned import Ground, Reading, share_ground
from geoseg.report.runs import BUNDLE, EVALUATION, RUN


class EvaluatedMap(NamedTuple):
    """A map that was evaluated."""

    name: str
    """As the evaluation calls it; empty for that of a sample."""

    class_map: Path
    """The map."""

    references: tuple[Path, ...]
    """The first ones count first."""


class Evaluated(NamedTuple):
    """What of an evaluation can be shown."""

    maps: list[EvaluatedMap]
    """Those that are there."""

    reading: Reading
    """How all of them were read."""

    missing: list[str]
    """What is not there any more."""


def read_evaluated(folder: Path, *, references: bool = True) -> Evaluated:
    """The maps of an evaluation, and how it has read them.

    Args:
        folder: Of the evaluation.
        references: Whether references are wanted, too.

    Raises:
        InputError: If the record cannot be read.
    """
    record = read_record(folder / EVALUATION)
    with understanding(folder / EVALUATION):
        return _evaluated(folder, record, references=references)


def _evaluated(folder: Path, record: Mapping[str, Any], *, references: bool) -> Evaluated:
    missing: list[str] = []

    def found(name: str | None, what: str = "") -> Path | None:
        path = _found(folder, Path(name)) if name else None
        if name and path is None:
            missing.append(f"{name}, of which {folder} tells, is not there{what}")
        return path

    maps = []
    for name, told in _inputs(record).items():
        class_map = found(told.get("map"))
        named = [told.get("reference"), *told.get("further_references", [])] if references else []
        paths = tuple(path for each in named if (path := found(each)))
        if class_map is not None:
            maps.append(EvaluatedMap(name, class_map, paths))
    how = record.get("reading") or {}
    grounds = []
    if references:
        whole = ": the reference is shown on all ground"
        areas = (found(how.get(name), whole) for name in ("aoi", "labelled_areas"))
        grounds += [Ground(path) for path in areas if path]
        if patches := found(how.get("patches"), whole):
            grounds.append(Ground(patches, how.get("split")))
    return Evaluated(maps, _reading(folder, record, grounds), missing)


def _reading(folder: Path, record: Mapping[str, Any], grounds: Sequence[Ground]) -> Reading:
    """What the record says of it; that of a sample says nothing."""
    how, legend = record.get("reading") or {}, record.get("legend")
    known = {each.name for each in fields(ReferenceOptions)} - {"labelled_areas"}
    options = {name: how[name] for name in known if name in how}
    try:
        return Reading(
            legend=None if legend is None else legend_from_dict(legend),
            reference=ReferenceOptions(**options),
            grounds=tuple(grounds),
            by_map_values=True,
        )
    except (GeosegError, KeyError, TypeError) as error:
        raise InputError(f"{folder / EVALUATION}: its legend cannot be read: {error}") from error


def _inputs(record: Mapping[str, Any]) -> dict[str, Any]:
    """Of each map that was evaluated, its files; that of a sample has no name."""
    inputs: dict[str, Any] = record.get("inputs") or {}
    return {"": inputs} if isinstance(inputs.get("map"), str) else inputs


def _found(folder: Path, path: Path) -> Path | None:
    """What was named where the evaluation was made, or lies beside its folder."""
    places = (path, folder.parent / path, folder.parent / path.name)
    return next((place for place in places if place.exists()), None)


@dataclass(frozen=True, kw_only=True)
class ShowOptions:
    """What is to be shown besides the inputs, and how it is to be understood."""

    orthos: tuple[Path, ...] = ()
    """Pictures of the ground; each is shown with the maps that it shares ground with."""

    references: tuple[Path, ...] = ()
    """References of the maps: one for each, or one for all."""

    without_reference: bool = False
    """Whether references that evaluations name are left out."""

    reading: Reading = field(default_factory=Reading)
    """How maps and references are to be understood; evaluations tell it of theirs.

    With a legend any raster of one band is a map.
    """

    bands: BandChoice = field(default_factory=BandChoice)
    """Which bands of orthophotos are shown."""


@dataclass(frozen=True, kw_only=True)
class SceneFiles:
    """Files that show the same ground."""

    name: str = ""
    """What the page calls it."""

    class_map: Path | None = None
    """The map, if there is one."""

    references: tuple[Path, ...] = ()
    """The truth, if it is known; each fills what those before it leave unlabelled."""

    pictures: tuple[Path, ...] = ()
    """Orthophotos and other rasters."""

    reading: Reading = field(default_factory=Reading)
    """How map and reference are to be understood."""

    bands: BandChoice = field(default_factory=BandChoice)
    """Which bands of the pictures are shown."""

    @property
    def first(self) -> Path:
        """The file on whose pixels the others are shown."""
        return self.class_map or self.pictures[0]


@dataclass(frozen=True, kw_only=True)
class Named:
    """What a user named, sorted."""

    scenes: tuple[SceneFiles, ...]
    """To be shown as maps."""

    evaluations: tuple[Path, ...] = ()
    """Folders of `geoseg evaluate`."""

    runs: tuple[Path, ...] = ()
    """Folders of `geoseg train`."""

    bundles: tuple[Path, ...] = ()
    """Folders of models."""

    missing: tuple[str, ...] = ()
    """What is not there any more, or not shown with the rest."""


def sort_inputs(inputs: Sequence[Path], options: ShowOptions) -> Named:
    """Sort what a user named, and put together what shows the same ground.

    Raises:
        InputError: If a path is nothing that can be shown, or the references are as many
            as neither one nor the maps.
        RasterError: If a raster cannot be read.
    """
    folders = {
        record: tuple(path for path in inputs if (path / record).is_file())
        for record in (EVALUATION, RUN, BUNDLE)
    }
    known = {path for group in folders.values() for path in group}
    rasters = _rasters([path for path in inputs if path not in known])
    maps = [path for path in rasters if _is_map(path, options.reading.legend)]
    pictures = [*(path for path in rasters if path not in maps), *options.orthos]
    evaluated, missing = _evaluated_maps(folders[EVALUATION], options)
    known_maps = {scene.first.resolve() for scene in evaluated}
    others = [
        SceneFiles(class_map=path, reading=options.reading)
        for path in maps
        if path.resolve() not in known_maps
    ]
    scenes = _with_references([*evaluated, *others], options.references)
    shown = _with_pictures(scenes, list(dict.fromkeys(pictures)))
    names = unique_names([scene.first for scene in shown])
    return Named(
        scenes=tuple(
            replace(scene, name=scene.name or name, bands=options.bands)
            for scene, name in zip(shown, names, strict=True)
        ),
        evaluations=folders[EVALUATION],
        runs=folders[RUN],
        bundles=folders[BUNDLE],
        missing=(*missing, *_strangers(shown, options.orthos), *_idle(shown, options.reading)),
    )


def _strangers(scenes: Sequence[SceneFiles], orthos: Sequence[Path]) -> list[str]:
    """What is to be said of orthophotos that lie under no map."""
    if not any(scene.class_map for scene in scenes):
        return []
    alone = [scene.first for scene in scenes if scene.class_map is None]
    return [f"{path} shows the ground of none of the maps" for path in orthos if path in alone]


def _idle(scenes: Sequence[SceneFiles], reading: Reading) -> list[str]:
    """What is to be said of files that are for references, if there are none."""
    if any(scene.references for scene in scenes):
        return []
    paths = [each.path for each in (reading.legend_map, *reading.grounds) if each is not None]
    return [f"{path} is of no use: no map is shown with a reference" for path in paths]


def _rasters(paths: Sequence[Path]) -> list[Path]:
    for path in paths:
        if is_vector(path):
            raise InputError(f"{path}: polygons are shown as the reference of a map: --reference")
        if (path / "patches.json").is_file():
            raise InputError(f"{path}: a patch set is no map; `geoseg info` tells of it")
    return find_rasters(paths)


def _is_map(path: Path, legend: Legend | None) -> bool:
    kind = read_tags(path).get("kind")
    if kind is None and legend is not None:
        with RasterReader(path, palette_index=True) as reader:
            return reader.bands == 1
    return bool(kind == CLASS_MAP)


def _evaluated_maps(
    folders: Sequence[Path], options: ShowOptions
) -> tuple[list[SceneFiles], list[str]]:
    """The maps of evaluations with their references, and what is not there."""
    scenes, missing = [], []
    for folder in folders:
        told = read_evaluated(folder, references=not options.without_reference)
        reading = options.reading.or_else(told.reading)
        scenes += [
            SceneFiles(name=name, class_map=path, references=references, reading=reading)
            for name, path, references in told.maps
        ]
        missing += told.missing
    return scenes, missing


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


def _with_pictures(scenes: Sequence[SceneFiles], pictures: Sequence[Path]) -> list[SceneFiles]:
    """Scenes with the pictures of their ground; pictures of other ground are scenes too."""
    grids = {path: _grid(path) for path in [*pictures, *(scene.first for scene in scenes)]}
    shown = list(scenes)
    for path in pictures:
        with_it = [
            number
            for number, scene in enumerate(shown)
            if _belongs(path, scene, grids, several=len(scenes) > 1)
        ]
        for number in with_it:
            shown[number] = replace(shown[number], pictures=(*shown[number].pictures, path))
        if not with_it:
            shown.append(SceneFiles(pictures=(path,)))
    return [_with_source(scene) for scene in shown]


def _belongs(path: Path, scene: SceneFiles, grids: dict[Path, Grid], *, several: bool) -> bool:
    """Whether a picture shows the ground of a scene.

    Without georeference nothing but the size tells: of several maps, it is of that which
    was made of it.
    """
    own, other = grids[path], grids[scene.first]
    if not share_ground(own, other):
        return False
    if own.is_georeferenced or not several or scene.class_map is None:
        return True
    return bool(source_of(scene.class_map) == path.name)


def _with_source(scene: SceneFiles) -> SceneFiles:
    """A map without a picture is shown with the orthophoto beside it that it was made of."""
    if scene.pictures or scene.class_map is None:
        return scene
    beside = scene.class_map.parent / (source_of(scene.class_map) or scene.class_map.name)
    if beside == scene.class_map or not beside.is_file():
        return scene
    if not share_ground(_grid(beside), _grid(scene.class_map)):
        return scene
    return replace(scene, pictures=(beside,))


def source_of(class_map: Path) -> str | None:
    """Name of the orthophoto that a map of geoseg's was made of."""
    source = read_tags(class_map).get("provenance", {}).get("source")
    return Path(source).name if isinstance(source, str) else None


def _grid(path: Path) -> Grid:
    with RasterReader(path) as reader:
        return reader.grid
