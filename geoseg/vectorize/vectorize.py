"""A class map becomes a file of polygons: ``write(stitch(trace(read(map))))``."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from glob import escape
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

import geoseg
from geoseg.errors import EmptyError, LegendError
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.tags import read_tags
from geoseg.postprocess.options import PostprocessOptions
from geoseg.postprocess.postprocess import KEPT_TAGS, Dividing, postprocess_map
from geoseg.prediction.map_writer import MapOutputs
from geoseg.raster.atomic import (
    put_in_place,
    refuse_existing,
    resume_dir,
    scratch,
    writing,
)
from geoseg.raster.folders import PART
from geoseg.raster.grid import Grid
from geoseg.raster.reader import RasterReader
from geoseg.raster.storage import block_cache, file_state, is_older
from geoseg.raster.threads import map_in_order
from geoseg.text import short_list
from geoseg.vectorize.cells import CELL_PX, CellSource, cell_windows
from geoseg.vectorize.layers import (
    PolygonLayer,
    layer_name,
    regularised_file,
    store_batches,
    stored_batches,
    write_polygons,
    write_style,
)
from geoseg.vectorize.options import VectorizeOptions
from geoseg.vectorize.parts import is_done, piece, read_parts, write_part
from geoseg.vectorize.regularize import regularized_features
from geoseg.vectorize.stitch import Features, Regions

SIEVED = "sieved.tif"

ASIDE = "regularised.arrows"
"""Polygons that wait for being written."""

RASTERS = {"scores": "score", "confidence": "confidence"}
"""Column of the means, by option."""

Watch = Callable[[Iterable[Any], int], Iterable[Any]]
"""Shows progress: passes items on and knows how many there are."""


@dataclass(frozen=True)
class VectorizeReport:
    """What was written."""

    path: Path

    regions: dict[str, int]
    """Regions of each class that was written."""

    areas: dict[str, float]
    """Ground of each, in square metres; in pixels for a map without a CRS."""

    pixels: dict[str, int]
    """Pixels of each."""

    divided: int
    """Regions that stay divided at lines of the lattice."""

    area_unit: str
    """``m2``, or ``px`` for a map without a CRS."""

    regularised: int | None = None
    """Polygons that were given right angles; None: not asked for."""

    kept: int | None = None
    """Polygons of the same layer that stay simplified."""

    notes: tuple[str, ...] = ()
    """Remarks on what was read."""

    def _repr_html_(self) -> str:
        """Regions and areas of the classes, for notebooks."""
        from geoseg.labels.style import card, map_legend

        unit = {"m2": "m²"}.get(self.area_unit, self.area_unit)
        rows = [
            {"class": name, "regions": f"{count:,}", "area": f"{self.areas[name]:,.1f} {unit}"}
            for name, count in self.regions.items()
        ]
        return card(self.path.name, rows=rows, legend=map_legend(self.path))


def outputs_of(path: Path, options: VectorizeOptions) -> list[Path]:
    """The files that `vectorize` writes, but for their styles; the main one last."""
    other = options.regularize and options.part is None and regularised_file(path) != path
    return [*([regularised_file(path)] if other else []), path]


@dataclass(frozen=True)
class Tracing:
    """The cells of a map, each of which becomes a file in a folder."""

    path: Path
    legend: Legend
    options: VectorizeOptions
    grid: Grid
    folder: Path

    def run(self, numbers: Iterable[int], watch: Watch = lambda items, _: items) -> tuple[str, ...]:
        """Trace cells that are not there yet.

        Args:
            numbers: The cells.
            watch: Shows progress.

        Returns:
            Remarks on what was read.
        """
        options, windows = self.options, cell_windows(self.grid)
        missing = [each for each in numbers if not piece(self.folder, each).exists()]
        cache = block_cache(2 * CELL_PX * self.grid.width)  # cells read beyond their frame
        with (
            CellSource(
                self.path,
                self.legend,
                aoi=options.aoi,
                scores=options.scores,
                confidence=options.confidence,
                split=_index_of(options.split_touching, "--split-touching", self.legend),
                tolerance=options.simplify.in_pixels(self.grid) if options.simplify else 0.0,
                smooth=options.smooth,
            ) as cells,
            cache,
            ThreadPoolExecutor(options.workers) as pool,
        ):

            def make(number: int) -> None:
                place = piece(self.folder, number)
                partial = place.with_suffix(f".{uuid4().hex}")  # another process may make it, too
                cell = cells.cell(windows[number])
                with writing(place):
                    cell.save(partial)
                    partial.replace(place)

            todo = watch(missing, len(missing))
            for _ in map_in_order(pool, make, todo, ahead=options.workers + 1):
                pass
            return tuple(cells.notes)


def vectorize(
    path: Path,
    legend: Legend,
    output: Path,
    options: VectorizeOptions,
    *,
    overwrite: bool = False,
    watch: Watch = lambda items, _: items,
    trace: Callable[[Tracing, range], tuple[str, ...]] | None = None,
    dividing: Dividing = lambda _: map,
) -> VectorizeReport | None:
    """Turn a class map into polygons.

    Args:
        path: The class map.
        legend: Its classes.
        output: File to write; its ending decides the format. Of a part: a folder.
        options: How.
        overwrite: Whether an existing output may be replaced.
        watch: Shows progress over the cells.
        trace: Traces cells, instead of `Tracing.run`.
        dividing: As `postprocess_map` takes it, for ``min_area``.

    Returns:
        The report; of a part None.

    Raises:
        EmptyError: If no pixel is of a class that is wanted.
        GeosegError: If a file cannot be read, does not fit the map, or cannot be written.
    """
    _wanted(legend, options.classes, "--classes")
    _wanted(legend, options.regularize, "--regularize")
    _index_of(options.split_touching, "--split-touching", legend)
    with RasterReader(path, palette_index=True) as reader:
        grid = reader.grid
    job = _Job(output, grid, legend, _tags(path, legend, options), options)
    inputs = [path, *_inputs(options)]
    if options.resume and (done := job.found(inputs)):
        return done
    about = _about(path, legend, options)
    files = outputs_of(output, options)
    if options.part is not None:
        if options.resume and is_done(output, about) and not is_older(output, inputs):
            return None
        refuse_existing(output, overwrite=overwrite, kind=PART)
    with resume_dir(
        output,
        hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest(),
        guarded=files if options.part is None else [],
        resume=options.resume,
        overwrite=overwrite,
    ) as folder:
        windows = cell_windows(grid)
        numbers = _share(len(windows), options.part)
        sieved = _sieved(path, legend, options, folder, dividing)
        tracing = Tracing(sieved, legend, options, grid, folder)
        notes = trace(tracing, numbers) if trace else tracing.run(numbers, watch)
        if options.part is not None:
            record = {"tags": job.tags, "grid": grid.to_dict(), "about": about}
            write_part(output, folder, record, numbers, overwrite=overwrite)
            return None
        places = [piece(folder, number) for number in range(len(windows))]
        return job.write(places, folder, notes, overwrite=overwrite)


def join(parts: Sequence[Path], output: Path, *, overwrite: bool = False) -> VectorizeReport:
    """Put the parts of a map together.

    Args:
        parts: All folders that ``vectorize --part`` has written.
        output: File to write.
        overwrite: Whether an existing output may be replaced.

    Raises:
        InputError: If a part is missing, there twice, or of another map.
        GeosegError: If one cannot be read, or the output cannot be written.
    """
    first, places = read_parts(parts)
    grid = Grid.from_dict(first["grid"])
    about = first["about"]
    options = VectorizeOptions(
        classes=tuple(about["classes"]),
        max_vertices=about["max_vertices"],
        split_touching=about["split_touching"],
        regularize=tuple(about["regularize"]),
        scores=Path() if about["scores"] else None,
        confidence=Path() if about["confidence"] else None,
    )
    legend = Legend.from_dict(about["legend"])
    job = _Job(output, grid, legend, first["tags"], options)
    refuse_existing(*outputs_of(output, options), overwrite=overwrite)
    with scratch(output) as folder:
        return job.write(places, folder, (), overwrite=overwrite)


@dataclass(frozen=True)
class _Job:
    """What is needed to put cells together."""

    output: Path
    grid: Grid
    legend: Legend
    tags: dict[str, Any]
    options: VectorizeOptions

    def found(self, made_from: Sequence[Path]) -> VectorizeReport | None:
        """The report of polygons that are there already and were made of the same.

        Args:
            made_from: Files that must not be newer.
        """
        path = self.output
        files = outputs_of(path, self.options)
        if self.options.part is not None or not all(each.is_file() for each in files):
            return None
        if is_older(path, made_from):
            return None
        tags = read_tags(path)
        if tags.get("provenance") != self.tags["provenance"] or "report" not in tags:
            return None
        return VectorizeReport(
            path=path, **tags["report"] | {"notes": tuple(tags["report"]["notes"])}
        )

    def write(
        self, places: Sequence[Path], folder: Path, notes: tuple[str, ...], *, overwrite: bool
    ) -> VectorizeReport:
        """Stitch all cells and write the file.

        Args:
            places: Files of the cells, in reading order.
            folder: Working folder.
            notes: Remarks on what was read.
            overwrite: Whether an existing output may be replaced.

        Raises:
            EmptyError: If no pixel is of a class that is wanted.
            OutputError: If the file cannot be written.
        """
        wanted = _wanted(self.legend, self.options.classes, "--classes")
        regions = Regions(
            cell_windows(self.grid),
            places,
            self.options.max_vertices,
            split=_index_of(self.options.split_touching, "--split-touching", self.legend),
        )
        report = self._report(regions, wanted, notes)
        if not regions.pixels[wanted].any():
            seen = f"is {' or '.join(self.options.classes)}" if self.options.classes else "has data"
            raise EmptyError(f"{self.output}: is not written, as no pixel of the map {seen}")
        files = {each: folder / each.name for each in outputs_of(self.output, self.options)}
        for made in files.values():
            for leftover in folder.glob(f"{escape(made.name)}*"):
                leftover.unlink()
        aside = folder / ASIDE
        if self.options.regularize:
            report = self._regularise(regions, aside, report)
        layer = self._layer(report)
        features = (regions.features(number, wanted) for number in range(regions.cells))
        write_polygons(files[self.output], layer, layer.batches(features))
        if self.options.regularize:
            other = self._layer(report, regularised=True)
            write_polygons(files[regularised_file(self.output)], other, stored_batches(aside))
        for each in files:
            write_style(each, self.legend)
        put_in_place(files, folder, overwrite=overwrite)
        return report

    def _layer(self, report: VectorizeReport, *, regularised: bool = False) -> PolygonLayer:
        """The layer of all polygons, or of those with right angles."""
        content = {k: v for k, v in asdict(report).items() if k != "path" and v is not None}
        name = self.legend.name or self.output.stem
        return PolygonLayer(
            name=layer_name(f"{name} regularised" if regularised else name),
            grid=self.grid,
            legend=self.legend,
            rasters=tuple(
                column for name, column in RASTERS.items() if getattr(self.options, name)
            ),
            tags=self.tags | {"report": content},
            regularised=regularised,
        )

    def _regularise(
        self, regions: Regions, aside: Path, report: VectorizeReport
    ) -> VectorizeReport:
        """Put polygons with right angles aside, and count them in the report."""
        counts = np.zeros(2, np.int64)

        def counted() -> Iterator[Features]:
            wanted = _wanted(self.legend, self.options.regularize, "--regularize")
            for features in regularized_features(regions, self.grid, wanted):
                counts[:] += np.bincount(features.regularised, minlength=2)
                yield features

        layer = self._layer(report, regularised=True)
        store_batches(aside, layer, layer.batches(counted()))
        return replace(report, regularised=int(counts[1]), kept=int(counts[0]))

    def _report(
        self, regions: Regions, wanted: NDArray[np.bool_], notes: tuple[str, ...]
    ) -> VectorizeReport:
        def by_class(values: NDArray[Any]) -> dict[str, Any]:
            named = zip(self.legend.names, values.tolist(), strict=False)
            return {name: value for (name, value), own in zip(named, wanted, strict=False) if own}

        return VectorizeReport(
            path=self.output,
            regions=by_class(regions.counts),
            areas=by_class(regions.areas),
            pixels=by_class(regions.pixels),
            divided=regions.divided(wanted),
            area_unit="px" if self.grid.crs is None else "m2",
            notes=notes,
        )


def _share(count: int, part: tuple[int, int] | None) -> range:
    """Numbers of the cells of a part, as many as in the others or one less."""
    index, parts = part or (1, 1)
    return range(count * (index - 1) // parts, count * index // parts)


def _wanted(legend: Legend, names: Sequence[str], option: str) -> NDArray[np.bool_]:
    """(256,) which class indices an option names; all if none.

    Raises:
        LegendError: If a class is not in the legend.
    """
    wanted = np.zeros(IGNORE + 1, np.bool_)
    for name in names or legend.names:
        wanted[_index_of(name, option, legend)] = True
    return wanted


def _index_of(name: str | None, option: str, legend: Legend) -> int | None:
    """Index of the class that an option names.

    Raises:
        LegendError: If it is not in the legend.
    """
    if name is None:
        return None
    if name not in legend.names:
        raise LegendError(
            f"{option} {name}: is not in the map's legend; it has {short_list(legend.names)}"
        )
    return legend.names.index(name)


def _sieved(
    path: Path, legend: Legend, options: VectorizeOptions, folder: Path, dividing: Dividing
) -> Path:
    """The map without small regions, in the working folder."""
    if not options.min_area:
        return path
    sieved = folder / SIEVED
    if not sieved.exists():
        outputs = MapOutputs(class_map=sieved, sidecars=False)
        sieve = PostprocessOptions(min_area=options.min_area)
        postprocess_map(path, legend, outputs, options=sieve, dividing=dividing)
    return sieved


def _inputs(options: VectorizeOptions) -> list[Path]:
    """The files that are read besides the map."""
    return [each for each in (options.aoi, options.scores, options.confidence) if each]


def _about(path: Path, legend: Legend, options: VectorizeOptions) -> dict[str, Any]:
    """All that decides the polygons of a map."""
    return {
        "geoseg": geoseg.__version__,
        "map": file_state(path),
        "legend": legend.to_dict(),
        "aoi": options.aoi and file_state(options.aoi),
        "scores": options.scores and file_state(options.scores),
        "confidence": options.confidence and file_state(options.confidence),
        "part": options.part,
        **options.to_record(),
    }


def _tags(path: Path, legend: Legend, options: VectorizeOptions) -> dict[str, Any]:
    """What the polygons say of themselves: what the map does, and what was done."""
    old = read_tags(path)
    tags = {name: old[name] for name in KEPT_TAGS if name in old}
    provenance = dict(tags.get("provenance", {}))
    provenance["vectorizing"] = {
        "geoseg": geoseg.__version__,
        "map": path.name,
        "aoi": options.aoi and options.aoi.name,
        "scores": options.scores and options.scores.name,
        "confidence": options.confidence and options.confidence.name,
        **options.to_record(),
    }
    return tags | {"kind": "polygons", "provenance": provenance, "legend": legend.to_dict()}
