"""``geoseg evaluate``: class maps against reference maps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from geoseg.commands import arguments as shared
from geoseg.commands.arguments import with_options
from geoseg.commands.batch import Batch, on_cluster
from geoseg.commands.console import Console, echo, print_json, width_of_terminal
from geoseg.commands.legend import (
    LegendMapFile,
    OwnLegend,
    ReferenceLegend,
    legend_of,
    merged_legend,
)
from geoseg.errors import NoPolygonError
from geoseg.evaluation.evaluation import EvaluateOptions
from geoseg.raster.paths import TIFF_SUFFIXES
from geoseg.raster.staging import StageOptions
from geoseg.raster.vector import is_vector
from geoseg.text import subject

if TYPE_CHECKING:
    from geoseg.evaluation.comparison import EvaluationCounts, Pair, Reading
    from geoseg.evaluation.evaluation import Evaluation
    from geoseg.labels.legend import Legend


@with_options
def evaluate(
    ctx: typer.Context,
    maps: Annotated[
        list[Path],
        typer.Argument(
            help="Class maps: rasters or polygons; files, URLs, folders, quoted globs or @lists."
        ),
    ],
    reference: Annotated[
        list[Path] | None,
        typer.Option(
            "--reference",
            "-r",
            help="Reference maps: files, folders or globs; repeat for more. One map has them all, "
            "and each fills what those before it leave unlabelled.",
        ),
    ] = None,
    legend: OwnLegend = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Report folder to write.")
    ] = None,
    *,
    pair: Annotated[
        Literal["order", "name", "all"],
        typer.Option(help="How maps and references belong together; all: each map has them all."),
    ] = "order",
    sample: Annotated[
        Path | None,
        typer.Option(
            help="Instead of --reference: points of `geoseg sample-points`, or polygons, their "
            "class in column 'reference' (or --attribute). Accuracy and area, standard errors."
        ),
    ] = None,
    score_map: Annotated[
        list[Path] | None,
        typer.Option(
            help="Scores of `geoseg predict --scores`, of each map: calibration, metrics over "
            "thresholds, average precision of objects."
        ),
    ] = None,
    legend_map: LegendMapFile = None,
    reference_legend: ReferenceLegend = None,
    options: EvaluateOptions,
    asset: shared.Asset = None,
    reference_asset: shared.ReferenceAsset = None,
    copies: StageOptions,
    cluster: shared.Cluster = None,
    overwrite: shared.Overwrite = False,
    json: shared.Json = False,
    quiet: shared.Quiet = False,
    verbose: shared.Verbose = False,
) -> None:
    """Compute metrics of class maps against reference maps, or a sample of points."""
    from geoseg.evaluation.evaluation import pair_maps
    from geoseg.labels.tags import CLASS_MAP, SCORES
    from geoseg.raster.folders import EVALUATION
    from geoseg.raster.guard import Output
    from geoseg.raster.lists import find_maps, find_rasters, find_references

    shared.refuse_copies(cluster, copies.stage)
    ctx.with_resource(copies.begin())
    if (reference is None) == (sample is None):
        raise typer.BadParameter("one of --reference and --sample is needed")
    console = Console(quiet=quiet, verbose=verbose)
    meant: dict[str, Any] = {"kinds": (CLASS_MAP,), "tell": console.info}
    paths = find_maps(maps, asset, **meant)
    if options.map.are_given and not any(map(is_vector, paths)):
        raise typer.BadParameter(
            "are for maps of polygons", param_hint="--grid, --map-attribute, --map-layer"
        )
    classes = legend_of(legend, paths[0])
    outputs = [] if output is None else [Output(output, EVALUATION)]
    areas = options.reference.labelled_areas
    named = [
        *(paths, legend, legend_map, reference_legend, options.aoi, areas, options.patches, sample),
        options.map.grid,
    ]
    if sample is not None:
        _refuse_for_sample(options, paths, score_map)
        shared.reserve(ctx, outputs, named, overwrite=overwrite)
        classes = merged_legend(classes, legend_map, reference_legend)
        how: dict[str, Any] = {"overwrite": overwrite, "json": json}
        _evaluate_sample(paths[0], sample, classes, options, output, console, **how)
        return
    if options.measures.block is not None and options.measures.intervals is None:
        raise typer.BadParameter("is for --intervals", param_hint="--block")
    references = find_references(reference or [], reference_asset or asset, **meant)
    rasters = find_rasters(score_map or [], asset, kinds=(SCORES,), tell=console.info)
    pairs = pair_maps(paths, references, by=pair, scores=rasters)
    coding = options.reference.coding
    classes = merged_legend(classes, legend_map, reference_legend, references[0], coding=coding)
    options.measures.object_classes(classes)  # refuses unknown classes before anything is read
    orthos = _match_orthos(pairs, find_rasters(options.orthos, asset), by_name=pair == "name")
    if orthos and not (options.worst and output):
        raise typer.BadParameter("is for --worst with --output", param_hint="--ortho")
    error_maps = _error_maps(pairs, options.error_map)
    regions = options.measures.by.path if options.measures.by else None
    named += [references, rasters, regions, [*orthos.values()]]
    outputs += map(Output, _files(error_maps))
    shared.reserve(ctx, outputs, named, overwrite=overwrite)
    job = _Job(classes, options, console, output, orthos, error_maps, overwrite, cluster)
    job.run(pairs, json=json)


def _refuse_for_sample(
    options: EvaluateOptions, paths: Sequence[Path], score_map: Sequence[Path] | None
) -> None:
    reference, measures = options.reference, options.measures
    others = (
        *(options.patches, measures.boundary, measures.erode, measures.objects, score_map),
        *(reference.labelled_areas, reference.only_polygons, measures.intervals, measures.by),
        *(options.error_map, options.worst),
    )
    if len(paths) > 1 or any(others):
        raise typer.BadParameter(
            "it is of one map, and without --patches, --boundary, --erode, --objects, "
            "--score-map, --labelled-areas, --intervals, --by, --error-map, --worst",
            param_hint="--sample",
        )


def _evaluate_sample(
    path: Path,
    sample: Path,
    legend: "Legend",
    options: EvaluateOptions,
    output: Path | None,
    console: Console,
    *,
    overwrite: bool,
    json: bool,
) -> None:
    """Accuracy and areas of a map by a sample of points."""
    from geoseg.evaluation.area_estimation import evaluate_sample, sample_table, write_sample_report

    estimates = evaluate_sample(
        path,
        sample,
        legend,
        column=options.reference.attribute,
        layer=options.reference.layer,
        aoi=options.aoi,
        drawn_map=options.map,
        watch=console.progress(path.name),
    )
    if output is not None:
        write_sample_report(output, estimates, overwrite=overwrite)
    if json:
        print_json(estimates.to_dict())
    else:
        echo(sample_table(estimates))


def _match_orthos(
    pairs: Sequence["Pair"], paths: Sequence[Path], *, by_name: bool
) -> dict["Pair", Path]:
    """The orthophoto of each map; one serves all."""
    from geoseg.raster.lists import match_by_name, match_by_order

    if not paths:
        return {}
    match = match_by_name if by_name and len(paths) > 1 else match_by_order
    own = match([pair.class_map for pair in pairs], paths, kind="orthophoto")
    return dict(zip(pairs, own, strict=True))


def _error_maps(pairs: Sequence["Pair"], named: Path | None) -> dict["Pair", Path]:
    """The error map of each map: the file that the user names, or of several a file in a folder."""
    if named is None:
        return {}
    maps = {pair: named / f"{pair.name}_errors.tif" for pair in pairs}
    if len(pairs) == 1:
        maps = {pairs[0]: named}
    elif named.suffix.lower() in TIFF_SUFFIXES:
        raise typer.BadParameter(
            f"{named}: name a folder for the errors of several maps", param_hint="--error-map"
        )
    shared.refuse_other_formats("--error-map", *maps.values())
    return maps


def _files(maps: Mapping["Pair", Path]) -> list[Path]:
    """Maps with their side files."""
    from geoseg.labels.style import sidecars

    return [file for path in maps.values() for file in (path, *sidecars(path))]


@dataclass(frozen=True)
class _Job:
    """An evaluation of maps, and what comes of it."""

    legend: "Legend"
    options: EvaluateOptions
    console: Console
    output: Path | None
    orthos: Mapping["Pair", Path]
    error_maps: Mapping["Pair", Path]
    overwrite: bool
    cluster: str | None = None

    def run(self, pairs: Sequence["Pair"], *, json: bool) -> None:
        """Compare all maps, and write and print what comes of it."""
        from geoseg.evaluation.evaluation import Evaluation, hints_of, warnings_of
        from geoseg.evaluation.report import write_report
        from geoseg.evaluation.text import table_of

        options, batch = self.options, Batch(self.console)
        reading = options.reading()
        counts = self._compare_all(pairs, batch, reading)
        if not counts:
            batch.finish()
        report = Evaluation(counts, self.legend, options.measures, reading=options.record)
        for warning in warnings_of(report):
            self.console.warn(warning)
        if unknown := report.pooled.unknown_ground:
            self.console.debug(
                f"{unknown} of {len(counts)} map(s) do not say, or not in full, which ground "
                f"trained their model"
            )
        for hint in hints_of(report, options.reference):
            self.console.info(f"hint: {hint}")
        panels: list[Any] = []
        if options.error_map or options.worst:
            report, panels = self._survey_errors(report, reading)
        if self.output is not None:
            write_report(self.output, report, overwrite=self.overwrite, panels=panels)
        if json:
            print_json(report.to_dict())
        else:
            echo(table_of(report, width=width_of_terminal()))
        batch.finish()

    def _compare_all(
        self, pairs: Sequence["Pair"], batch: Batch, reading: "Reading"
    ) -> dict["Pair", "EvaluationCounts"]:
        """Hold maps against their references.

        A map on which no polygon lies is all background if there are polygons on another one. One
        that lies outside of the AOI or of the split is left out if another one does not.
        """
        from geoseg.evaluation.compare import compare

        console = self.console
        how: dict[str, Any] = {
            "measures": self.options.measures,
            "workers": self.options.threads,
        }
        blank: list[str] = []
        outside: list[str] = []

        def work(pair: "Pair") -> tuple["Pair", "EvaluationCounts"] | None:
            watch = console.progress(pair.name)
            return pair, compare(pair, self.legend, reading, watch=watch, **how)

        def without_polygons(pair: "Pair", error: NoPolygonError, others: Sequence[Any]) -> Any:
            if others and error.paths <= {reading.aoi}:  # patches have no path
                outside.append(pair.class_map.name)
                return None
            proven = {path for other, _ in others for path in other.references}
            if not others or not error.may_be_right(proven):
                raise error
            found = work(replace(pair, may_be_elsewhere=True))
            blank.append(pair.class_map.name)
            return found

        alone = partial(compare, legend=self.legend, reading=reading, **how)
        together = on_cluster(
            self.cluster,
            console,
            "evaluate",
            alone,
            raster=attrgetter("class_map"),
            taken=lambda pair, counts: (pair, counts),
        )
        found = batch.run(pairs, work, once_more=without_polygons, together=together)
        if blank:
            fate = reading.options.blank_ground(self.legend)
            console.warn(f"{subject(blank, 'maps')} without a polygon: {fate}")
        if outside:
            console.info(f"{subject(outside, 'maps')} outside of the ground that counts: left out")
        return dict(each for each in found if each is not None)

    def _survey_errors(
        self, report: "Evaluation", reading: "Reading"
    ) -> tuple["Evaluation", list[Any]]:
        """Write error maps and look for the worst windows; the evaluation with images of them."""
        from geoseg.evaluation.error_map import ErrorLegend, ranked, survey_errors
        from geoseg.evaluation.report import read_panels

        options, console, found = self.options, self.console, []
        errors = ErrorLegend.of(report.legend, report.pooled.confusion)
        for pair, counts in report.counts.items():
            path = self.error_maps.get(pair)
            found += survey_errors(
                pair,
                counts,
                report.legend,
                errors,
                path=path,
                worst=options.worst,
                side=options.window,
                overwrite=self.overwrite,
                reading=reading,
                workers=options.threads,
                watch=console.progress(f"errors of {pair.name}"),
            )
            if path is not None:
                console.info(f"errors of {pair.name}: {path}")
        windows = ranked(found, options.worst)
        report = replace(report, error_windows=windows)
        if self.output is None:
            return report, []
        how: dict[str, Any] = {"orthos": self.orthos, "reading": reading}
        return report, read_panels(windows, report.legend, errors, **how)
