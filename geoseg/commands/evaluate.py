"""``geoseg evaluate``: class maps against reference maps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from geoseg.commands import arguments as options
from geoseg.commands import arguments as shared
from geoseg.commands.arguments import with_options
from geoseg.commands.console import Talk, echo, print_json, width_of_terminal
from geoseg.commands.legend import (
    LegendMapFile,
    OwnLegend,
    ReferenceLegend,
    legend_of,
    merged_legend,
)
from geoseg.commands.predict_batch import Batch
from geoseg.errors import NoPolygonError
from geoseg.evaluation.options import EvaluateOptions
from geoseg.raster.paths import TIFF_SUFFIXES
from geoseg.text import subject

if TYPE_CHECKING:
    from geoseg.evaluation.comparison import EvaluationCounts, Pair, Reading
    from geoseg.evaluation.evaluation import Evaluation
    from geoseg.labels.legend import Legend


@dataclass(frozen=True)
class Errors:
    """What the user wants to see."""

    pairs: Sequence["Pair"]
    """The maps."""

    options: "EvaluateOptions"
    """What is wanted."""

    orthos: Mapping["Pair", Path]
    """Orthophotos of maps."""

    with_report: bool
    """Whether a report folder is written, which holds pictures."""

    overwrite: bool
    """Whether existing outputs are replaced."""

    def outputs(self) -> list[Path]:
        """The files that will be written, once what is wanted is seen to be possible.

        Raises:
            BadParameter: If it is not.
        """
        from geoseg.labels.style import sidecars

        if self.orthos and not (self.options.worst and self.with_report):
            raise typer.BadParameter("is for --worst with --output", param_hint="--ortho")
        paths = list(self._maps().values())
        options.refuse_other_formats("--error-map", *paths)
        return [file for path in paths for file in (path, *sidecars(path))]

    def survey(
        self, report: "Evaluation", reading: "Reading", talk: Talk
    ) -> tuple["Evaluation", list[Any]]:
        """Write error maps and look for the worst windows.

        Returns:
            The evaluation with these windows, and pictures of them.
        """
        from geoseg.evaluation.error_map import ErrorLegend, ErrorOptions, ranked, survey_errors
        from geoseg.evaluation.report import read_panels

        if not (self.options.error_map or self.options.worst):
            return report, []
        errors = ErrorLegend.of(report.legend, report.pooled.confusion)
        maps, found = self._maps(), []
        for pair, counts in report.counts.items():
            path = maps.get(pair)
            wanted = ErrorOptions(
                error_map=path,
                worst=self.options.worst,
                side=self.options.window,
                overwrite=self.overwrite,
            )
            found += survey_errors(
                pair,
                counts,
                report.legend,
                errors,
                wanted,
                reading=reading,
                workers=self.options.threads,
                watch=talk.watch(f"errors of {pair.name}"),
            )
            if path is not None:
                talk.say(f"errors of {pair.name}: {path}")
        windows = ranked(found, self.options.worst)
        panels = []
        if self.with_report:
            panels = read_panels(
                windows, report.legend, errors, orthos=self.orthos, reading=reading
            )
        return replace(report, error_windows=windows), panels

    def _maps(self) -> dict["Pair", Path]:
        """The error map of each map."""
        if self.options.error_map is None:
            return {}
        if len(self.pairs) == 1:
            return {self.pairs[0]: self.options.error_map}
        if self.options.error_map.suffix.lower() in TIFF_SUFFIXES:
            raise typer.BadParameter(
                f"{self.options.error_map}: name a folder for the errors of several maps",
                param_hint="--error-map",
            )
        return {pair: self.options.error_map / f"{pair.name}_errors.tif" for pair in self.pairs}


def match_orthos(
    pairs: Sequence["Pair"], named: Sequence[Path], *, by_name: bool
) -> dict["Pair", Path]:
    """The orthophoto of each map, of those that the user names; one serves all.

    Raises:
        InputError: If they do not match.
    """
    from geoseg.raster.paths import find_rasters, match_by_name, match_by_order

    paths = find_rasters(named)
    maps = [pair.class_map for pair in pairs]
    if not paths:
        return {}
    if by_name and len(paths) > 1:
        return dict(zip(pairs, match_by_name(maps, paths, kind="orthophoto"), strict=True))
    return dict(zip(pairs, match_by_order(maps, paths, kind="orthophoto"), strict=True))


@with_options
def evaluate(
    ctx: typer.Context,
    maps: Annotated[list[Path], typer.Argument(help="Class maps: files, folders or quoted globs.")],
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
    overwrite: shared.Overwrite = False,
    json: shared.Json = False,
    quiet: shared.Quiet = False,
    verbose: shared.Verbose = False,
) -> None:
    """Compute metrics of class maps against reference maps, or a sample of points."""
    from geoseg.evaluation.compare import pair_maps
    from geoseg.raster.folders import EVALUATION
    from geoseg.raster.guard import Output
    from geoseg.raster.paths import find_rasters, find_references

    if (reference is None) == (sample is None):
        raise typer.BadParameter("one of --reference and --sample is needed")
    paths = find_rasters(maps)
    classes = legend_of(legend, paths[0])
    talk = Talk(quiet=quiet, verbose=verbose)
    outputs = [] if output is None else [Output(output, EVALUATION)]
    areas = options.reference.labelled_areas
    named = [
        *(paths, legend, legend_map, reference_legend, options.aoi, areas, options.patches, sample),
    ]
    if sample is not None:
        _refuse_for_sample(options, paths, score_map)
        shared.reserve(ctx, outputs, named, overwrite=overwrite)
        classes = merged_legend(classes, legend_map, reference_legend)
        estimates, table = _evaluate_sample(
            paths[0], sample, classes, options, output, talk, overwrite=overwrite
        )
        _tell(estimates, table, json=json)
        return
    if options.measures.block is not None and options.measures.intervals is None:
        raise typer.BadParameter("is for --intervals", param_hint="--block")
    references = find_references(reference or [])
    rasters = find_rasters(score_map or [])
    pairs = pair_maps(paths, references, by=pair, scores=rasters)
    coding = options.reference.coding
    classes = merged_legend(classes, legend_map, reference_legend, references[0], coding=coding)
    options.measures.object_classes(classes)  # refuses unknown classes before anything is read
    orthos = match_orthos(pairs, options.orthos, by_name=pair == "name")
    errors = Errors(pairs, options, orthos, with_report=output is not None, overwrite=overwrite)
    regions = options.measures.by.path if options.measures.by else None
    named += [references, rasters, regions, [*orthos.values()]]
    shared.reserve(ctx, [*outputs, *map(Output, errors.outputs())], named, overwrite=overwrite)
    _evaluate_maps(classes, options, errors, output, talk, json=json)


def _evaluate_maps(
    legend: "Legend",
    options: EvaluateOptions,
    errors: Errors,
    output: Path | None,
    talk: Talk,
    *,
    json: bool,
) -> None:
    """Compare all maps, and write and print what comes of it."""
    from geoseg.evaluation.evaluation import Evaluation, hints_of, warnings_of
    from geoseg.evaluation.report import write_report
    from geoseg.evaluation.text import table_of

    reading, batch = options.reading(), Batch(talk)
    done = _compare_all(errors.pairs, batch, talk, legend, options, reading)
    if not done:
        batch.finish()
    report = Evaluation(dict(done), legend, options.measures, reading=options.record)
    for warning in warnings_of(report):
        talk.warn(warning)
    if unknown := report.pooled.unknown_ground:
        talk.detail(
            f"{unknown} of {len(done)} map(s) do not say, or not in full, which ground trained "
            f"their model"
        )
    for hint in hints_of(report, options.reference):
        talk.say(f"hint: {hint}")
    report, panels = errors.survey(report, reading, talk)
    if output is not None:
        write_report(output, report, overwrite=errors.overwrite, panels=panels)
    _tell(report, partial(table_of, width=width_of_terminal()), json=json)
    batch.finish()


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
    talk: Talk,
    *,
    overwrite: bool,
) -> tuple[Any, Callable[[Any], str]]:
    """Accuracy and areas of a map by a sample of points, and what makes a table of them."""
    from geoseg.evaluation.area_estimation import evaluate_sample
    from geoseg.evaluation.sample_report import sample_table, write_sample_report

    estimates = evaluate_sample(
        path,
        sample,
        legend,
        column=options.reference.attribute,
        layer=options.reference.layer,
        aoi=options.aoi,
        watch=talk.watch(path.name),
    )
    if output is not None:
        write_sample_report(output, estimates, overwrite=overwrite)
    return estimates, sample_table


def _compare_all(
    pairs: Sequence["Pair"],
    batch: Batch,
    talk: Talk,
    legend: "Legend",
    options: EvaluateOptions,
    reading: "Reading",
) -> list[tuple["Pair", "EvaluationCounts"]]:
    """Hold maps against their references.

    A map on which no polygon lies is all background if there are polygons on another one. One
    that lies outside of the AOI or of the split is left out if another one does not.

    Returns:
        Pairs with their comparisons.
    """
    from geoseg.evaluation.compare import compare

    blank: list[str] = []
    outside: list[str] = []

    def work(pair: "Pair") -> tuple["Pair", "EvaluationCounts"] | None:
        counts = compare(
            pair,
            legend,
            reading,
            measures=options.measures,
            workers=options.threads,
            watch=talk.watch(pair.name),
        )
        return pair, counts

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

    found = batch.run(pairs, work, once_more=without_polygons)
    if blank:
        fate = reading.options.blank_ground(legend)
        talk.warn(f"{subject(blank, 'maps')} without a polygon: {fate}")
    if outside:
        talk.say(f"{subject(outside, 'maps')} outside of the ground that counts: left out")
    return [each for each in found if each is not None]


def _tell(report: Any, table: Callable[[Any], str], *, json: bool) -> None:
    """The figures on stdout."""
    if json:
        print_json(report.to_dict())
    else:
        echo(table(report))
