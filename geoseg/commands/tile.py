"""``geoseg tile``: orthophotos and reference maps become a patch set."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from geoseg.commands import arguments as shared
from geoseg.commands.arguments import with_options
from geoseg.commands.batch import each_on
from geoseg.commands.console import Console, echo, print_json, width_of_terminal
from geoseg.patches.record import TileOptions
from geoseg.raster.staging import StageOptions
from geoseg.text import format_table, in_bytes

if TYPE_CHECKING:
    from geoseg.labels.legend import Legend
    from geoseg.patches.record import Source
    from geoseg.patches.tile import TileReport


@with_options
def tile(
    ctx: typer.Context,
    orthos: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Orthophotos: files, URLs, folders, quoted globs or @lists.", show_default=False
        ),
    ] = None,
    reference: Annotated[
        list[Path] | None,
        typer.Option(
            "--reference",
            "-r",
            help="Reference maps: rasters of values or colours, or polygons. Repeat, or name a "
            "folder or glob; one for all orthophotos will do.",
        ),
    ] = None,
    *,
    legend: shared.LegendName = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of patches to write.")],
    pairs: Annotated[
        Path | None,
        typer.Option(help="CSV with ortho,reference[,split] instead of the two lists."),
    ] = None,
    pair: Annotated[
        Literal["order", "name"], typer.Option(help="How the two lists belong together.")
    ] = "order",
    options: TileOptions,
    index_only: Annotated[
        bool,
        typer.Option(
            "--index-only", help="Write no pixels: training reads them from the orthophotos."
        ),
    ] = False,
    asset: shared.Asset = None,
    reference_asset: shared.ReferenceAsset = None,
    copies: StageOptions,
    cluster: shared.Cluster = None,
    overwrite: shared.Overwrite = False,
    dry_run: shared.DryRun = False,
    json: shared.Json = False,
    quiet: shared.Quiet = False,
    verbose: shared.Verbose = False,
) -> None:
    """Cut orthophotos and reference maps into patches for training."""
    from geoseg.commands.legend import legend_of
    from geoseg.patches.tile import tile
    from geoseg.raster.folders import PATCH_SET
    from geoseg.raster.guard import Output
    from geoseg.raster.upload import object_of

    shared.refuse_copies(cluster, copies.stage)
    if not dry_run:
        ctx.with_resource(copies.begin())
    shared.refuse_wide_stride(options.stride, options.patch_size)
    if options.val + options.test >= 1:
        raise typer.BadParameter("--val and --test together leave nothing for training")
    if index_only:
        options = replace(options, storage="index")
    console = Console(quiet=quiet, verbose=verbose)
    if pairs is not None:
        shared.refuse_given(ctx, ("asset", "reference_asset"), "is not for --pairs")
    assets = (asset, reference_asset or asset)
    sources = _sources(orthos, reference, pairs, pair, assets, console.info)
    classes = legend_of(legend, *(each.reference for each in sources))
    named = [
        pairs,
        legend,
        options.aoi,
        options.corrections,
        options.reference.labelled_areas,
        options.read.stacked,
        *([each.ortho, each.reference] for each in sources),
    ]
    if index_only and object_of(output) is not None:
        raise typer.BadParameter(
            "an index names orthophotos by their place from its folder, which is on this machine",
            param_hint="--index-only",
        )
    outputs = [Output(output, PATCH_SET)]
    if dry_run:
        shared.check(outputs, named, overwrite=overwrite)
        _tell_plan(sources, classes, options, json=json)
        return
    shared.reserve(ctx, outputs, named, overwrite=overwrite)
    with each_on(cluster, console, attrgetter("ortho")) as each, console.steps() as steps:
        report = tile(
            sources,
            classes,
            output,
            options=options,
            overwrite=overwrite,
            progress=steps.tell,
            each=each,
        )
    _tell_report(report, output, console, json=json)


def _sources(
    orthos: list[Path] | None,
    references: list[Path] | None,
    pairs: Path | None,
    pair: str,
    assets: tuple[str | None, str | None],
    tell: Callable[[str], None],
) -> "list[Source]":
    from geoseg.labels.tags import CLASS_MAP
    from geoseg.patches.tile import pair_by_name, pair_by_order, pairs_from_csv
    from geoseg.raster.lists import find_rasters, find_references

    if pairs is not None:
        if orthos or references:
            raise typer.BadParameter(
                "takes the place of ORTHOS and --reference", param_hint="--pairs"
            )
        return pairs_from_csv(pairs)
    if not orthos or not references:
        raise typer.BadParameter("ORTHOS and --reference are needed, or --pairs")
    join = pair_by_name if pair == "name" else pair_by_order
    truth = find_references(references, assets[1], kinds=(CLASS_MAP,), tell=tell)
    return join(find_rasters(orthos, assets[0]), truth)


def _tell_plan(
    sources: "list[Source]", classes: "Legend", choices: "TileOptions", *, json: bool
) -> None:
    from geoseg.patches.tile import plan as plan_tiling

    plan = plan_tiling(sources, classes, choices)
    if json:
        print_json(asdict(plan))
    else:
        pixels = "no pixels" if choices.storage == "index" else in_bytes(plan.pixel_bytes)
        echo(
            f"{plan.sources} orthophotos, {plan.windows} windows of {choices.patch_size} px at "
            f"stride {choices.step}: {pixels} before compression, about {in_bytes(plan.memory)} "
            f"of memory"
        )
    _refuse_failures(plan.failures)


def _tell_report(report: "TileReport", output: Path, console: Console, *, json: bool) -> None:
    for warning in report.warnings:
        console.warn(warning)
    for hint in report.hints:
        console.info(f"hint: {hint}")
    if json:
        classes = report.classes.to_dict() if report.classes else {}
        print_json(asdict(report) | {"classes": classes})
    else:
        counts = ", ".join(f"{number} {name}" for name, number in report.patches.items())
        echo(f"{output}: {sum(report.patches.values())} patches ({counts})")
        for meaning, number in report.meanings.items():
            which = f" (of {number} references)" if len(report.meanings) > 1 else ""
            echo(f"  labels{which}: {meaning}")
        rows = report.classes.rows() if report.classes else []
        for line in format_table(rows, width_of_terminal()) if rows else ():
            echo(f"  {line}")
        for reason, number in report.dropped.items():
            echo(f"  {number} windows dropped: {reason}")
    if report.split_block:
        console.debug(f"spatial blocks of {report.split_block} px")
    _refuse_failures(report.failures)


def _refuse_failures(failures: Mapping[str, str]) -> None:
    """End with the orthophotos that have a fault."""
    from geoseg.errors import BatchError

    if failures:
        raise BatchError(
            f"{len(failures)} of the orthophotos left out: {'; '.join(failures.values())}"
        )
