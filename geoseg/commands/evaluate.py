"""``geoseg evaluate``: class maps against reference maps."""

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from geoseg.commands import options
from geoseg.commands.arguments import parser
from geoseg.commands.batch import Batch
from geoseg.commands.console import Talk, echo, print_json, width_of_terminal
from geoseg.commands.legends import (
    LegendMapFile,
    OwnLegend,
    ReferenceLegend,
    class_indices,
    legend_of,
    merged_legend,
)
from geoseg.commands.survey import Errors, match_orthos
from geoseg.errors import NoPolygonError
from geoseg.raster.units import Distance
from geoseg.text import subject

FEW_BLOCKS = 30
"""With fewer than this, bounds of figures are not to be trusted much."""

MOST_THREADS = 4
"""More by default would only take memory: a third of the work is done by one at a time."""


def evaluate(  # noqa: PLR0915
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
    aoi: options.Aoi = None,
    patches: Annotated[
        Path | None, typer.Option(help="Patch set: only the ground of one of its splits counts.")
    ] = None,
    split: Annotated[
        Literal["train", "val", "test"], typer.Option(help="Which split of --patches.")
    ] = "val",
    attribute: options.Attribute = None,
    layer: options.Layer = None,
    labelled_areas: options.LabelledAreas = None,
    coding: Annotated[
        Literal["auto", "values", "colors", "map"],
        typer.Option(help="How a raster reference names classes."),
    ] = "auto",
    color_tolerance: options.ColorTolerance = 0,
    sample: Annotated[
        Path | None,
        typer.Option(
            help="Instead of --reference: points of `geoseg sample-points`, or polygons, their "
            "class in column 'reference' (or --attribute). Accuracy and area, standard errors."
        ),
    ] = None,
    resample: options.ResampleReference = False,
    boundary: Annotated[
        Any,
        typer.Option(
            parser=parser(Distance.parse),
            metavar="2px|1.5m",
            help="Boundary IoU and F1: how far apart borders may be.",
            show_default=False,
        ),
    ] = None,
    erode: Annotated[
        Any,
        typer.Option(
            parser=parser(Distance.parse),
            metavar="3px|1m",
            help="Figures also without pixels this near to a border of the reference.",
            show_default=False,
        ),
    ] = None,
    objects: Annotated[
        list[str] | None,
        typer.Option(metavar="CLASS", help="Match this class's objects too; may be repeated."),
    ] = None,
    reference_objects: Annotated[
        Literal["components", "polygons"],
        typer.Option(
            help="What an object of the reference is: connected pixels, or a polygon of its file, "
            "so that those that touch stay apart."
        ),
    ] = "components",
    connectivity: options.ConnectivityName = "4",
    score_map: Annotated[
        list[Path] | None,
        typer.Option(
            help="Scores of `geoseg predict --scores`, of each map: calibration, figures over "
            "thresholds, average precision of objects."
        ),
    ] = None,
    legend_map: LegendMapFile = None,
    reference_legend: ReferenceLegend = None,
    intervals: Annotated[
        float | None,
        typer.Option(
            min=50,
            max=99.9,
            metavar="PERCENT",
            help="Bounds of every share at this level, such as 95, by drawing blocks of ground; "
            "counts and worst windows have none, --sample its own standard errors.",
        ),
    ] = None,
    block: Annotated[
        Any,
        typer.Option(
            parser=parser(Distance.parse),
            metavar="256px|50m",
            help="Side of the blocks of --intervals [default: 256px]; what lies nearer together "
            "may be right or wrong together.",
            show_default=False,
        ),
    ] = None,
    bootstrap: Annotated[
        int, typer.Option(min=100, max=100_000, help="How often blocks are drawn for --intervals.")
    ] = 1000,
    seed: options.Seed = 0,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="FILE[:COLUMN]",
            help="Polygons of regions, and the column of their names: figures of each region.",
        ),
    ] = None,
    error_map: Annotated[
        Path | None,
        typer.Option(
            help="GeoTIFF to write: what is right pale, each confusion in a colour of its own. "
            "A folder for several maps."
        ),
    ] = None,
    worst: Annotated[
        int,
        typer.Option(min=0, max=1000, help="Rank so many windows by their errors; see --output."),
    ] = 0,
    window: Annotated[
        int, typer.Option(min=16, help="Side of the windows of --worst, in pixels.")
    ] = 256,
    ortho: Annotated[
        list[Path] | None,
        typer.Option(help="Orthophotos of the maps, for the pictures of --worst; repeat for more."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Threads [default: one per processor, at most 4]."),
    ] = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Compute per-class figures of class maps against reference maps, or a sample of points."""
    from geoseg.commands.options import reserve
    from geoseg.evaluation.area_estimation import evaluate_sample
    from geoseg.evaluation.compare import pair_maps
    from geoseg.evaluation.comparison import Measures
    from geoseg.evaluation.counters import parse_source
    from geoseg.evaluation.evaluation import Evaluation
    from geoseg.evaluation.report import write_report
    from geoseg.evaluation.sample_report import sample_table, write_sample_report
    from geoseg.evaluation.text import table_of
    from geoseg.labels.reference import ReferenceOptions
    from geoseg.raster.folders import EVALUATION
    from geoseg.raster.guard import Output
    from geoseg.raster.paths import find_rasters, find_references

    if (reference is None) == (sample is None):
        raise typer.BadParameter("one of --reference and --sample is needed")
    paths = find_rasters(maps)
    classes = legend_of(legend, paths[0])
    talk = Talk(quiet=quiet, verbose=verbose)
    outputs = [] if output is None else [Output(output, EVALUATION)]
    named = [paths, legend, legend_map, reference_legend, aoi, labelled_areas, patches, sample]
    if sample is not None:
        others = (patches, boundary, erode, objects, score_map, labelled_areas)
        if len(paths) > 1 or any(others) or intervals or by or error_map or worst:
            raise typer.BadParameter(
                "it is of one map, and without --patches, --boundary, --erode, --objects, "
                "--score-map, --labelled-areas, --intervals, --by, --error-map, --worst",
                param_hint="--sample",
            )
        reserve(ctx, outputs, named, overwrite=overwrite)
        classes = merged_legend(classes, legend_map, reference_legend)
        watch = talk.watch(paths[0].name)
        estimates = evaluate_sample(
            paths[0], sample, classes, column=attribute, layer=layer, aoi=aoi, watch=watch
        )
        if output is not None:
            write_sample_report(output, estimates, overwrite=overwrite)
        _tell(estimates, sample_table, json=json)
        return
    references = find_references(reference or [])
    rasters = find_rasters(score_map or [])
    pairs = pair_maps(paths, references, by=pair, scores=rasters)
    classes = merged_legend(classes, legend_map, reference_legend, references[0], coding=coding)
    ground = _ground(patches, split) if patches else None
    choices = ReferenceOptions(
        attribute=attribute,
        layer=layer,
        coding=coding,
        resample=resample,
        **options.labelled_areas(labelled_areas),
        color_tolerance=color_tolerance,
    )
    numbers = class_indices(objects or [], classes)
    measures = Measures(
        boundary=boundary,
        erode=erode,
        objects=numbers,
        polygons=reference_objects == "polygons",
        connectivity=8 if connectivity == "8" else 4,
        by=parse_source(by) if by else None,
        bootstrap=_bootstrap(intervals, block, bootstrap, seed),
    )
    errors = Errors(
        pairs,
        error_map,
        worst,
        window,
        match_orthos(pairs, ortho or [], by_name=pair == "name"),
        with_report=output is not None,
        overwrite=overwrite,
    )
    named += [
        references,
        rasters,
        measures.by.path if measures.by else None,
        [*errors.orthos.values()],
    ]
    reserve(ctx, [*outputs, *map(Output, errors.outputs())], named, overwrite=overwrite)
    reading: dict[str, Any] = {"options": choices, "aoi": aoi, "ground": ground}
    threads = workers or min(os.cpu_count() or 1, MOST_THREADS)
    batch = Batch(talk)
    done = _compare_all(
        pairs, batch, talk, legend=classes, measures=measures, workers=threads, **reading
    )
    if not done:
        batch.finish()
    report = Evaluation(
        dict(done), classes, measures, reading=_reading(choices, aoi, patches, split)
    )
    _warn(report, choices, talk)
    report, panels = errors.survey(report, reading, talk, workers=threads)
    if output is not None:
        write_report(output, report, overwrite=overwrite, panels=panels)
    _tell(report, partial(table_of, width=width_of_terminal()), json=json)
    batch.finish()


def _compare_all(pairs: Sequence[Any], batch: Batch, talk: Talk, **choices: Any) -> list[Any]:
    """Hold maps against their references.

    A map on which no polygon lies is all background if there are polygons on another one. One
    that lies outside of the AOI or of the split is left out if another one does not.

    Returns:
        Pairs with their comparisons.
    """
    from geoseg.evaluation.compare import compare

    blank: list[str] = []
    outside: list[str] = []

    def work(pair: Any) -> tuple[Any, Any]:
        return pair, compare(pair, watch=talk.watch(pair.name), **choices)

    def without_polygons(pair: Any, error: NoPolygonError, others: Sequence[Any]) -> Any:
        if others and error.paths <= {choices["aoi"]}:  # patches have no path
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
        fate = choices["options"].blank_ground(choices["legend"])
        talk.warn(f"{subject(blank, 'maps')} without a polygon: {fate}")
    if outside:
        talk.say(f"{subject(outside, 'maps')} outside of the ground that counts: left out")
    return [each for each in found if each is not None]


def _ground(patches: Path, split: Literal["train", "val", "test"]) -> Any:
    """Where the patches of a split are, a GeoSeries."""
    from geoseg.patches.patch_set import PatchSet  # with geopandas, which rasters alone do not need

    return PatchSet.open(patches).footprints(split)


def _bootstrap(level: float | None, block: Any, resamples: int, seed: int) -> Any:
    """How confidence intervals are found, if they are wanted."""
    from geoseg.evaluation.comparison import Bootstrap

    if level is None:
        if block is not None:
            raise typer.BadParameter("is for --intervals", param_hint="--block")
        return None
    own = {} if block is None else {"block": block}
    return Bootstrap(level=level / 100, resamples=resamples, seed=seed, **own)


def _reading(
    choices: Any, aoi: Path | None, patches: Path | None, split: str
) -> dict[str, str | bool | None]:
    """How the files were read, for the record."""
    areas = choices.labelled_areas
    return asdict(choices) | {
        "labelled_areas": str(areas) if areas else None,
        "aoi": str(aoi) if aoi else None,
        "patches": str(patches) if patches else None,
        "split": split if patches else None,
    }


def _warn(report: Any, reading: Any, talk: Talk) -> None:
    """What may spoil the figures, and what the user may not have thought of.

    Raises:
        EmptyError: If regions are wanted and there are none.
        InputError: If confidence intervals are wanted and there are no two blocks.
    """
    from geoseg.errors import EmptyError
    from geoseg.evaluation.evaluation import warnings_of

    pooled, measures = report.pooled, report.measures
    for warning in (*warnings_of(report), *dict.fromkeys(pooled.notes)):
        talk.warn(warning)
    if pooled.unknown_ground:
        talk.detail(
            f"{pooled.unknown_ground} of {len(report.counts)} map(s) do not say, or not in "
            f"full, which ground trained their model"
        )
    for hint in _hints(report, reading):
        talk.say(f"hint: {hint}")
    if measures.by and not pooled.regions:
        raise EmptyError(f"{measures.by.path}: no region lies on a map; are the CRS right?")
    if measures.bootstrap is None:
        return
    blocks = report.spatial_blocks
    if blocks < FEW_BLOCKS:
        talk.warn(
            f"only {blocks} blocks of {measures.bootstrap.block}: their bounds are rough, and "
            f"mostly too narrow"
        )


def _hints(report: Any, reading: Any) -> list[str]:
    """What is to be said of the other coding of ISPRS, and of polygons that cover little."""
    from geoseg.labels.pixel_classes import hints_at_other_coding
    from geoseg.patches.class_shares import hint_at_few_polygons
    from geoseg.raster.vector import is_vector

    legend, confusion = report.legend, report.pooled.confusion
    if hints := hints_at_other_coding(report.pooled.meanings, legend):
        return hints
    drawn = any(is_vector(path) for pair in report.counts for path in pair.references)
    told = reading.labelled_areas is not None or reading.only_polygons
    if not drawn or told or legend.background is None:
        return []
    covered = 1 - confusion.support[legend.background_index] / confusion.total
    return hint_at_few_polygons(covered, legend.background)


def _tell(report: Any, table: Callable[[Any], str], *, json: bool) -> None:
    """The figures on stdout."""
    if json:
        print_json(report.to_dict())
    else:
        echo(table(report))
