"""``geoseg tile``: orthophotos and reference maps become a patch set."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from geoseg.commands import options
from geoseg.commands.console import Talk, echo, in_bytes, print_json, width_of_terminal

if TYPE_CHECKING:
    from geoseg.labels.legend import Legend
    from geoseg.patches.options import TileOptions
    from geoseg.patches.record import Source
    from geoseg.patches.tile import TileReport


def tile(
    ctx: typer.Context,
    orthos: Annotated[
        list[Path] | None,
        typer.Argument(help="Orthophotos: files, folders or quoted globs.", show_default=False),
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
    legend: options.LegendName,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of patches to write.")],
    pairs: Annotated[
        Path | None,
        typer.Option(help="CSV with ortho,reference[,split] instead of the two lists."),
    ] = None,
    pair: Annotated[
        Literal["order", "name"], typer.Option(help="How the two lists belong together.")
    ] = "order",
    patch_size: options.PatchSize = 256,
    stride: options.Stride = None,
    edge: Annotated[
        Literal["shift", "pad", "drop"],
        typer.Option(help="Last patches end at the edge, hang over it, or are left out."),
    ] = "shift",
    min_valid: Annotated[
        float, typer.Option(min=0, max=1, help="Least share of pixels with data.")
    ] = 0.0,
    min_labelled: Annotated[
        float, typer.Option(min=0, max=1, help="Least share of pixels with a class.")
    ] = 0.0,
    aoi: options.Aoi = None,
    split: Annotated[
        Literal["block", "random", "none"],
        typer.Option(help="Spatial blocks, windows at random (leaks), or all for training."),
    ] = "block",
    val: Annotated[float, typer.Option(min=0, max=0.9, help="Share for validation.")] = 0.15,
    test: Annotated[float, typer.Option(min=0, max=0.9, help="Share for testing.")] = 0.0,
    split_block: Annotated[
        int | None,
        typer.Option(min=1, help="Side of a spatial block, in pixels [default: 4 or 2 patches]."),
    ] = None,
    seed: options.Seed = 0,
    image_format: Annotated[
        Literal["tif", "png"], typer.Option("--format", help="Kind of patch files.")
    ] = "tif",
    index_only: Annotated[
        bool,
        typer.Option(
            "--index-only", help="Write no pixels: training reads them from the orthophotos."
        ),
    ] = False,
    bands: options.Bands = None,
    nodata: options.Nodata = None,
    stacked: options.Stacked = None,
    attribute: options.Attribute = None,
    layer: options.Layer = None,
    labelled_areas: options.LabelledAreas = None,
    coding: Annotated[
        Literal["auto", "values", "colors"],
        typer.Option(help="Whether a raster reference names classes by values or by colours."),
    ] = "auto",
    color_tolerance: options.ColorTolerance = 0,
    resample: options.ResampleReference = False,
    workers: options.Workers = None,
    overwrite: options.Overwrite = False,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Cut orthophotos and reference maps into patches for training."""
    from geoseg.commands.options import check, reserve
    from geoseg.labels.legend_files import load_legend
    from geoseg.labels.reference import ReferenceOptions
    from geoseg.patches.options import TileOptions
    from geoseg.patches.tile import tile
    from geoseg.raster.folders import PATCH_SET
    from geoseg.raster.guard import Output
    from geoseg.raster.reader import ReadOptions

    options.refuse_wide_stride(stride, patch_size)
    if val + test >= 1:
        raise typer.BadParameter("--val and --test together leave nothing for training")
    choices = TileOptions(
        patch_size=patch_size,
        stride=stride,
        edge=edge,
        min_valid=min_valid,
        min_labelled=min_labelled,
        aoi=aoi,
        split=split,
        val=val,
        test=test,
        split_block=split_block,
        seed=seed,
        storage="index" if index_only else image_format,
        workers=workers,
        read=ReadOptions(bands=bands, nodata=nodata, stacked=tuple(stacked or ())),
        reference=ReferenceOptions(
            attribute=attribute,
            layer=layer,
            coding=coding,
            resample=resample,
            color_tolerance=color_tolerance,
            **options.labelled_areas(labelled_areas),
        ),
    )
    talk = Talk(quiet=quiet, verbose=verbose)
    sources = _sources(orthos, reference, pairs, pair)
    classes = load_legend(legend)
    named = [
        pairs,
        legend,
        aoi,
        labelled_areas,
        stacked,
        *([each.ortho, each.reference] for each in sources),
    ]
    outputs = [Output(output, PATCH_SET)]
    if dry_run:
        check(outputs, named, overwrite=overwrite)
        _tell_plan(sources, classes, choices, json=json)
        return
    reserve(ctx, outputs, named, overwrite=overwrite)
    with talk.steps() as progress:
        report = tile(
            sources,
            classes,
            output,
            options=choices,
            overwrite=overwrite,
            progress=progress,
        )
    _tell_report(report, output, talk, json=json)


def _sources(
    orthos: list[Path] | None, references: list[Path] | None, pairs: Path | None, pair: str
) -> "list[Source]":
    from geoseg.patches.tile import pair_by_name, pair_by_order, pairs_from_csv
    from geoseg.raster.paths import find_rasters, find_references

    if pairs is not None:
        if orthos or references:
            raise typer.BadParameter(
                "takes the place of ORTHOS and --reference", param_hint="--pairs"
            )
        return pairs_from_csv(pairs)
    if not orthos or not references:
        raise typer.BadParameter("ORTHOS and --reference are needed, or --pairs")
    join = pair_by_name if pair == "name" else pair_by_order
    return join(find_rasters(orthos), find_references(references))


def _tell_plan(
    sources: "list[Source]", classes: "Legend", choices: "TileOptions", *, json: bool
) -> None:
    from geoseg.patches.tile import plan as plan_tiling

    plan = plan_tiling(sources, classes, choices)
    if json:
        print_json(asdict(plan))
        _refuse_failures(plan.failures)
        return
    pixels = "no pixels" if choices.storage == "index" else in_bytes(plan.pixel_bytes)
    echo(
        f"{plan.sources} orthophotos, {plan.windows} windows of {choices.patch_size} px at "
        f"stride {choices.step}: {pixels} before compression, about {in_bytes(plan.memory)} "
        f"of memory"
    )
    _refuse_failures(plan.failures)


def _tell_report(report: "TileReport", output: Path, talk: Talk, *, json: bool) -> None:
    for warning in report.warnings:
        talk.warn(warning)
    for hint in report.hints:
        talk.say(f"hint: {hint}")
    if json:
        classes = report.classes.to_dict() if report.classes else {}
        print_json(asdict(report) | {"classes": classes})
    else:
        counts = ", ".join(f"{number} {name}" for name, number in report.patches.items())
        echo(f"{output}: {sum(report.patches.values())} patches ({counts})")
        for meaning, number in report.meanings.items():
            which = f" (of {number} references)" if len(report.meanings) > 1 else ""
            echo(f"  labels{which}: {meaning}")
        for line in report.classes.lines(width_of_terminal()) if report.classes else ():
            echo(f"  {line}")
        for reason, number in report.dropped.items():
            echo(f"  {number} windows dropped: {reason}")
    if report.split_block:
        talk.detail(f"spatial blocks of {report.split_block} px")
    _refuse_failures(report.failures)


def _refuse_failures(failures: Mapping[str, str]) -> None:
    """End with the orthophotos that have a fault."""
    from geoseg.errors import BatchError

    if failures:
        raise BatchError(
            f"{len(failures)} of the orthophotos left out: {'; '.join(failures.values())}"
        )
