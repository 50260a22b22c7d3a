"""``geoseg evaluate``: class maps against reference maps."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from geoseg.commands import options
from geoseg.commands.batch import Batch
from geoseg.commands.legends import OwnLegend, class_indices, legend_of
from geoseg.commands.parsing import parse_distance
from geoseg.commands.talk import Talk, print_json


def evaluate(
    maps: Annotated[list[Path], typer.Argument(help="Class maps: files, folders or quoted globs.")],
    reference: Annotated[
        list[Path] | None,
        typer.Option("--reference", "-r", help="Reference maps; one for all maps will do."),
    ] = None,
    legend: OwnLegend = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Report folder to write.")
    ] = None,
    *,
    pair: Annotated[
        Literal["order", "name"], typer.Option(help="How maps and references belong together.")
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
    coding: Annotated[
        Literal["auto", "values", "colors", "map"],
        typer.Option(help="How a raster reference names classes."),
    ] = "auto",
    sample: Annotated[
        Path | None,
        typer.Option(
            help="Instead of --reference: points of `geoseg sample-points`, their class in column "
            "'reference' (or --attribute). Accuracy and area with standard errors."
        ),
    ] = None,
    resample: options.ResampleReference = False,
    boundary: Annotated[
        Any,
        typer.Option(
            parser=parse_distance,
            metavar="2px|1.5m",
            help="Boundary IoU and F1: how far apart borders may be.",
            show_default=False,
        ),
    ] = None,
    erode: Annotated[
        Any,
        typer.Option(
            parser=parse_distance,
            metavar="3px|1m",
            help="Figures also without pixels this near to a border of the reference.",
            show_default=False,
        ),
    ] = None,
    objects: Annotated[
        list[str] | None,
        typer.Option(metavar="CLASS", help="Match this class's objects too; may be repeated."),
    ] = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Compute per-class figures of class maps against reference maps, or a sample of points."""
    from geoseg import evaluation
    from geoseg.io.outputs import refuse_existing
    from geoseg.io.patches import PatchSet
    from geoseg.io.paths import find_rasters, find_references
    from geoseg.io.reference import ReferenceOptions

    if (reference is None) == (sample is None):
        raise typer.BadParameter("one of --reference and --sample is needed")
    if output is not None:
        refuse_existing(output, overwrite=overwrite)
    paths = find_rasters(maps)
    classes = legend_of(legend, paths[0])
    talk = Talk(quiet=quiet)
    if sample is not None:
        if len(paths) > 1 or patches or boundary or erode or objects:
            raise typer.BadParameter(
                "it is of one map, and without --patches, --boundary, --erode, --objects",
                param_hint="--sample",
            )
        watch = talk.watch(paths[0].name)
        estimates = evaluation.evaluate_sample(
            paths[0], sample, classes, column=attribute, layer=layer, aoi=aoi, watch=watch
        )
        if output is not None:
            evaluation.write_sample_report(output, estimates, overwrite=overwrite)
        _tell(estimates, evaluation.sample_table, json=json)
        return
    pairs = evaluation.pair_maps(paths, find_references(reference or []), by=pair)
    ground = PatchSet.open(patches).footprints(split) if patches else None
    choices = ReferenceOptions(attribute=attribute, layer=layer, coding=coding, resample=resample)
    numbers = class_indices(objects or [], classes)
    measures = evaluation.Measures(boundary=boundary, erode=erode, objects=numbers)
    compare = partial(
        evaluation.compare, options=choices, measures=measures, aoi=aoi, ground=ground
    )
    batch = Batch(talk)
    done = batch.run(
        pairs, lambda each: (each, compare(each, classes, watch=talk.watch(each.name)))
    )
    if not done:
        batch.finish()
    report = evaluation.Evaluation(dict(done), classes, measures)
    if output is not None:
        evaluation.write_report(output, report, overwrite=overwrite)
    _tell(report, evaluation.table_of, json=json)
    batch.finish()


def _tell(report: Any, table: Callable[[Any], str], *, json: bool) -> None:
    """The figures on stdout."""
    if json:
        print_json(report.to_dict())
    else:
        typer.echo(table(report))
