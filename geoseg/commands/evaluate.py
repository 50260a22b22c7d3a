"""``geoseg evaluate``: class maps against reference maps."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from geoseg.commands import options
from geoseg.commands.batch import Batch
from geoseg.commands.talk import Talk, print_json
from geoseg.errors import LegendError

if TYPE_CHECKING:
    from geoseg import evaluation
    from geoseg.core.legend import Legend


def evaluate(
    maps: Annotated[list[Path], typer.Argument(help="Class maps: files, folders or quoted globs.")],
    reference: Annotated[
        list[Path],
        typer.Option("--reference", "-r", help="Reference maps; one for all maps will do."),
    ],
    legend: Annotated[
        str | None,
        typer.Option(
            "--legend", "-l", help="TOML file or preset [default: as geoseg's own maps say]."
        ),
    ] = None,
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
    resample: options.ResampleReference = False,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Compute per-class figures of class maps against reference maps."""
    from geoseg import evaluation
    from geoseg.io.outputs import refuse_existing
    from geoseg.io.patches import PatchSet
    from geoseg.io.paths import find_rasters, find_references
    from geoseg.io.reference import ReferenceOptions

    if output is not None:
        refuse_existing(output, overwrite=overwrite)
    paths = find_rasters(maps)
    pairs = evaluation.pair_maps(paths, find_references(reference), by=pair)
    classes = _legend(legend, paths[0])
    ground = PatchSet.open(patches).footprints(split) if patches else None
    choices = ReferenceOptions(attribute=attribute, layer=layer, coding=coding, resample=resample)
    talk = Talk(quiet=quiet)
    batch = Batch(talk)

    def work(each: "evaluation.Pair") -> "tuple[evaluation.Pair, evaluation.Comparison]":
        watch = talk.watch(each.name)
        return each, evaluation.compare(
            each, classes, options=choices, aoi=aoi, ground=ground, watch=watch
        )

    done = batch.run(pairs, work)
    if not done:
        batch.finish()
    report = evaluation.Evaluation(dict(done), classes)
    if output is not None:
        evaluation.write_report(output, report, overwrite=overwrite)
    if json:
        print_json(report.to_dict())
    else:
        typer.echo(evaluation.table_of(report))
    batch.finish()


def _legend(name: str | None, class_map: Path) -> "Legend":
    """The legend that the user names, or else the one that the class map carries."""
    from geoseg.core.legend import Legend
    from geoseg.io.legends import load_legend
    from geoseg.io.window_scores import read_tags

    if name is not None:
        return load_legend(name)
    record = read_tags(class_map).get("legend")
    if record is None:
        raise LegendError(f"{class_map}: says nothing of its classes; give --legend")
    return Legend.from_dict(record)
