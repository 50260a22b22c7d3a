"""``geoseg postprocess``: a class map without specks, holes and classes that are not wanted."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from geoseg.commands import arguments as shared
from geoseg.commands.arguments import with_options
from geoseg.commands.console import Console, echo, print_json
from geoseg.commands.legend import OwnLegend, legend_of
from geoseg.postprocess.options import NEAREST, PostprocessOptions
from geoseg.raster.staging import StageOptions


@with_options
def postprocess(
    ctx: typer.Context,
    class_map: Annotated[Path, typer.Argument(metavar="MAP", help="Class map.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Class map to write (GeoTIFF).")],
    *,
    legend: OwnLegend = None,
    options: PostprocessOptions,
    copies: StageOptions,
    overwrite: shared.Overwrite = False,
    json: shared.Json = False,
    quiet: shared.Quiet = False,
) -> None:
    """Clean a class map: fill, majority, rules, holes, small regions, in this order."""
    from geoseg.postprocess.postprocess import postprocess_map
    from geoseg.prediction.map_writer import MapOutputs
    from geoseg.raster.guard import Output

    ctx.with_resource(copies.begin())
    _refuse_contradictions(options)
    shared.refuse_other_formats("--output", output)
    outputs = MapOutputs(class_map=output, overwrite=overwrite)
    own = [Output(path) for path in outputs.files[::-1]]
    shared.reserve(ctx, own, [class_map, legend], overwrite=overwrite)
    with Console(quiet=quiet).steps() as steps:
        report = postprocess_map(
            class_map, legend_of(legend, class_map), outputs, options=options, tell=steps.tell
        )
    if json:
        print_json(
            {
                "path": str(report.path),
                "pixels": report.pixels,
                "class_pixels": report.class_pixels,
                "changed_pixels": report.changed,
            }
        )
        return
    for name, count in report.changed.items():
        echo(f"{name}: {count} px changed")
    echo(f"{output}: {report.pixels} px, {report.shares}")


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
