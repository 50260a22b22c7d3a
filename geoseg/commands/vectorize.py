"""``geoseg vectorize``: class maps become polygons."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from geoseg.commands import arguments as shared
from geoseg.commands.arguments import with_options
from geoseg.commands.batch import FAILURES, Batch, on_cluster
from geoseg.commands.console import Console, columns, echo, print_json
from geoseg.commands.legend import OwnLegend, legend_of
from geoseg.options import part_mark
from geoseg.raster.staging import StageOptions
from geoseg.vectorize.options import VectorizeOptions

if TYPE_CHECKING:
    from geoseg.cluster.maps import DividedMap
    from geoseg.vectorize.vectorize import VectorizeReport

FOR_JOINS = ("inputs", "output", "overwrite", "json", "quiet", "progress", "config")
"""Parameters that mean something where parts are joined."""


@with_options
def vectorize(
    ctx: typer.Context,
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="MAP...",
            help="Class maps (files, URLs, folders, quoted globs, @lists), or all folders of "
            "--part to join.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="File of polygons (.gpkg, .parquet, .fgb, .geojson, .geojsonl), or a folder.",
        ),
    ],
    *,
    legend: OwnLegend = None,
    options: VectorizeOptions,
    file_format: Annotated[
        Literal["gpkg", "parquet", "fgb", "geojson", "geojsonl"],
        typer.Option("--format", help="Of the files in a folder."),
    ] = "gpkg",
    asset: shared.Asset = None,
    copies: StageOptions,
    cluster: shared.Cluster = None,
    overwrite: shared.Overwrite = False,
    json: shared.Json = False,
    quiet: shared.Quiet = False,
) -> None:
    """Turn class maps into polygons that share their borders."""
    from geoseg.labels.tags import CLASS_MAP
    from geoseg.raster.folders import PART
    from geoseg.raster.guard import Output
    from geoseg.raster.lists import find_rasters
    from geoseg.raster.upload import send
    from geoseg.vectorize.parts import is_part
    from geoseg.vectorize.vectorize import join, outputs_of

    shared.refuse_copies(cluster, copies.stage)
    ctx.with_resource(copies.begin())
    console = Console(quiet=quiet)
    shared.tell_part(console, options.part)
    if any(map(is_part, inputs)):
        every = {each.name for each in ctx.command.params if each.name}
        shared.refuse_given(
            ctx, every - {*FOR_JOINS}, "is not for parts, which are joined as they are"
        )
        target = _targets([Path("map")], output, options, file_format)[0]
        shared.reserve(ctx, [Output(target)], inputs, overwrite=overwrite)
        _tell([join(inputs, target, overwrite=overwrite)], json=json)
        return
    maps = find_rasters(inputs, asset, kinds=(CLASS_MAP,), tell=console.info)
    targets = _targets(maps, output, options, file_format)
    kind = PART if options.part else None
    own = [Output(file, kind) for target in targets for file in outputs_of(target, options)]
    read = [maps, inputs, legend, options.aoi, options.scores, options.confidence]
    shared.check(own, read, overwrite=overwrite or options.resume)
    batch = Batch(console, record=None if len(maps) == 1 else output / FAILURES)

    def work(job: tuple[Path, Path]) -> Any:
        watch = console.progress(job[0].name)
        return told(job, _trace(job, legend, options, overwrite=overwrite, watch=watch))

    def told(job: tuple[Path, Path], report: Any) -> Any:
        for note in report.notes if report else ():
            console.info(note)
        if options.part is None:
            send(outputs_of(job[1], options))
        return job[1] if options.part else report

    jobs = list(zip(maps, targets, strict=True))

    def divided(job: tuple[Path, Path], parts: "DividedMap") -> "VectorizeReport | None":
        how = {"trace": parts.trace, "dividing": parts.strips}
        return _trace(job, legend, options, overwrite=overwrite, **how)

    together = on_cluster(
        cluster,
        console,
        "vectorize",
        partial(_trace, legend=legend, options=options, overwrite=True),
        raster=lambda job: job[0],
        taken=told,
        divided=divided,
    )
    reports = batch.run(jobs, work, name=lambda job: str(job[0]), together=together)
    if options.part is None:
        _tell(reports, json=json)
    else:
        _tell_parts(reports, options.part, json=json)
    batch.finish()


def _trace(
    job: tuple[Path, Path], legend: str | None, options: VectorizeOptions, **how: Any
) -> "VectorizeReport | None":
    from geoseg.vectorize.vectorize import vectorize

    path, target = job
    return vectorize(path, legend_of(legend, path), target, options, **how)


def _tell_parts(folders: Sequence[Path], part: tuple[int, int], *, json: bool) -> None:
    if json:
        print_json([{"path": str(made), "part": part} for made in folders])
        return
    for made in folders:
        echo(f"{made}: part {part[0]} of {part[1]}")


def _targets(
    maps: Sequence[Path], output: Path, options: VectorizeOptions, file_format: str
) -> list[Path]:
    """The file of each map; of a part the folder."""
    from geoseg.raster.paths import unique_names
    from geoseg.vectorize.layers import FORMATS

    is_file = output.suffix.lower() in FORMATS and not output.is_dir()
    if output.suffix and not is_file and not output.is_dir():
        raise typer.BadParameter(
            f"{output}: polygons are written as {', '.join(FORMATS)}; end the name in one, or "
            f"name a folder",
            param_hint="--output",
        )
    if is_file and len(maps) > 1:
        raise typer.BadParameter(f"--output {output}: name a folder for {len(maps)} maps")
    targets = [output / f"{name}.{file_format}" for name in unique_names(maps)]
    if is_file:
        targets = [output]
    if options.part is None:
        return targets
    mark = part_mark(options.part)
    return [each.with_name(f"{each.stem}_{mark}") for each in targets]


def _tell(reports: Sequence[Any], *, json: bool) -> None:
    if json:
        print_json([asdict(each) | {"path": str(each.path)} for each in reports])
        return
    for each in reports:
        count = sum(each.regions.values())
        echo(f"{each.path}: {count} region{'' if count == 1 else 's'}")
        unit = {"m2": "m²", "px": "px"}[each.area_unit]
        rows = [
            (name, str(count), f"{each.areas[name]:.1f} {unit}")
            for name, count in each.regions.items()
        ]
        echo(columns(rows, indent=2).rstrip())
        if each.regularised is not None:
            echo(f"  {each.regularised} with right angles, {each.kept} stay simplified")
        if each.divided:
            echo(
                f"  divided, as they have more points than --max-vertices: {each.divided}; the "
                f"parts of each have the same `region`"
            )
