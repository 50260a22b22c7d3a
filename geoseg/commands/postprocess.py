"""``geoseg postprocess``: a class map without specks, holes and classes that are not wanted."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geoseg.commands import arguments as shared
from geoseg.commands.arguments import with_options
from geoseg.commands.batch import FAILURES, Batch, on_cluster
from geoseg.commands.console import Console, echo, print_json
from geoseg.commands.legend import OwnLegend, legend_of
from geoseg.postprocess.options import NEAREST, PostprocessOptions
from geoseg.raster.paths import TIFF_SUFFIXES
from geoseg.raster.staging import StageOptions

if TYPE_CHECKING:
    from geoseg.cluster.maps import DividedMap
    from geoseg.postprocess.postprocess import PostprocessReport
    from geoseg.prediction.map_writer import MapOutputs


@with_options
def postprocess(
    ctx: typer.Context,
    maps: Annotated[
        list[Path],
        typer.Argument(metavar="MAP...", help="Class maps: files, folders or quoted globs."),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Class map to write (.tif), or a folder.")
    ],
    *,
    legend: OwnLegend = None,
    options: PostprocessOptions,
    asset: shared.Asset = None,
    copies: StageOptions,
    cluster: shared.Cluster = None,
    overwrite: shared.Overwrite = False,
    json: shared.Json = False,
    quiet: shared.Quiet = False,
) -> None:
    """Clean class maps: fill, majority, rules, holes, small regions, in this order."""
    from geoseg.labels.tags import CLASS_MAP
    from geoseg.prediction.map_writer import MapOutputs
    from geoseg.raster.guard import Output
    from geoseg.raster.lists import find_rasters

    shared.refuse_copies(cluster, copies.stage)
    ctx.with_resource(copies.begin())
    _refuse_contradictions(options)
    console = Console(quiet=quiet)
    paths = find_rasters(maps, asset, kinds=(CLASS_MAP,), tell=console.info)
    wanted = [
        (path, MapOutputs(class_map=target, overwrite=overwrite))
        for path, target in zip(paths, _targets(paths, output), strict=True)
    ]
    own = [Output(path) for _, outputs in wanted for path in outputs.files[::-1]]
    if len(paths) == 1 and not cluster:
        shared.reserve(ctx, own, [paths, legend], overwrite=overwrite)
    else:  # each is locked in its turn, by whoever writes it
        shared.check(own, [paths, legend], overwrite=overwrite)
    batch = Batch(console, record=None if len(paths) == 1 else output / FAILURES)

    def work(job: "tuple[Path, MapOutputs]") -> "PostprocessReport":
        with console.steps() as steps:
            return _clean(job, legend, options, tell=steps.tell)

    def divided(job: "tuple[Path, MapOutputs]", parts: "DividedMap") -> "PostprocessReport":
        with console.steps() as steps:
            return _clean(job, legend, options, tell=steps.tell, dividing=parts.strips)

    together = on_cluster(
        cluster,
        console,
        "postprocess",
        partial(_clean_again, legend=legend, options=options),
        raster=lambda job: job[0],
        taken=lambda _, report: report,
        divided=divided,
    )
    reports = batch.run(wanted, work, name=lambda job: str(job[0]), together=together)
    _tell(reports, several=len(paths) > 1, json=json)
    batch.finish()


def _clean(
    job: "tuple[Path, MapOutputs]", legend: str | None, options: PostprocessOptions, **how: Any
) -> "PostprocessReport":
    from geoseg.postprocess.postprocess import postprocess_map

    path, outputs = job
    return postprocess_map(path, legend_of(legend, path), outputs, options=options, **how)


def _clean_again(
    job: "tuple[Path, MapOutputs]", legend: str | None, options: PostprocessOptions
) -> "PostprocessReport":
    """On a worker, as another one may have been lost before it could say that it was done."""
    path, outputs = job
    return _clean((path, replace(outputs, overwrite=True)), legend, options)


def _targets(paths: Sequence[Path], output: Path) -> list[Path]:
    """The map of each map; of several in a folder."""
    from geoseg.raster.paths import unique_names

    if len(paths) == 1 and not output.is_dir():
        shared.refuse_other_formats("--output", output)
        return [output]
    if output.suffix.lower() in TIFF_SUFFIXES and not output.is_dir():
        raise typer.BadParameter(f"--output {output}: name a folder for {len(paths)} maps")
    return [output / f"{name}.tif" for name in unique_names(paths)]


def _tell(reports: "Sequence[PostprocessReport]", *, several: bool, json: bool) -> None:
    if json:
        told = [
            {
                "path": str(report.path),
                "pixels": report.pixels,
                "class_pixels": report.class_pixels,
                "changed_pixels": report.changed,
            }
            for report in reports
        ]
        print_json(told if several else told[0])
        return
    for report in reports:
        for name, count in report.changed.items():
            echo(
                f"{report.path.name}: {name}: {count} px changed"
                if several
                else f"{name}: {count} px changed"
            )
        echo(f"{report.path}: {report.pixels} px, {report.shares}")


def _refuse_contradictions(options: PostprocessOptions) -> None:
    sized = (options.rules, options.fill_holes, options.min_area)
    if not (options.fill or options.majority or any(sized)):
        raise typer.BadParameter(
            "nothing to do: give --fill, --majority, --rule, --fill-holes or --min-area"
        )
    if options.max_distance and not any(each.by == NEAREST for each in options.fill):
        raise typer.BadParameter("is of --fill CLASS=nearest", param_hint="--max-distance")
    _refuse_twice("--fill", (each.replaced for each in options.fill))
    _refuse_twice("--fill-holes", (each.name for each in options.fill_holes))
    _refuse_twice("--min-area", (each.name for each in options.min_area))


def _refuse_twice(option: str, names: Iterable[str | None]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            what = name or "what holds for all classes"
            raise typer.BadParameter(f"{what} is given twice", param_hint=option)
