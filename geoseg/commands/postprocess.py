"""``geoseg postprocess``: a class map without specks, holes and classes that are not wanted."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from geoseg.commands import options
from geoseg.commands.arguments import parser
from geoseg.commands.console import Talk, echo, print_json
from geoseg.commands.legends import OwnLegend, legend_of
from geoseg.raster.units import Distance

T = TypeVar("T")


def postprocess(
    ctx: typer.Context,
    class_map: Annotated[Path, typer.Argument(metavar="MAP", help="Class map.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Class map to write (GeoTIFF).")],
    *,
    legend: OwnLegend = None,
    fill: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLASS[=nearest|OTHER]",
            help="Replace a class by that of the nearest pixel, or by another (which comes first); "
            "may be repeated.",
        ),
    ] = None,
    max_distance: Annotated[
        Any,
        typer.Option(
            parser=parser(Distance.parse),
            metavar="20px|5m",
            help="How far away the nearest may be for --fill [default: anywhere].",
            show_default=False,
        ),
    ] = None,
    majority: Annotated[
        Any,
        typer.Option(
            parser=parser(Distance.parse),
            metavar="5px|2m",
            help="Smooth: the commonest class of a square of this side; where several are, "
            "nothing changes.",
            show_default=False,
        ),
    ] = None,
    rule: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'CLASS<AREA:OTHER'",
            help="Regions of CLASS smaller (>: larger) than AREA become OTHER, such as "
            "'car<2m2:road'; may be repeated, the first that holds counts.",
        ),
    ] = None,
    fill_holes: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[CLASS=]AREA",
            help="Holes in CLASS smaller than AREA become CLASS; may be repeated.",
        ),
    ] = None,
    min_area: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[CLASS=]AREA",
            help="Smaller regions take the class with which they share the longest border: 40px "
            "or 5m2, for one class building=10m2; may be repeated.",
        ),
    ] = None,
    connectivity: options.ConnectivityName = "4",
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Clean a class map: --fill, --majority, --rule, --fill-holes, --min-area, in this order."""
    from geoseg.commands.options import reserve
    from geoseg.postprocess.options import NEAREST, ClassArea, Fill, PostprocessOptions, Rule
    from geoseg.postprocess.postprocess import postprocess_map
    from geoseg.prediction.map_writer import MapOutputs
    from geoseg.raster.guard import Output

    if not (fill or majority or rule or fill_holes or min_area):
        raise typer.BadParameter(
            "nothing to do: give --fill, --majority, --rule, --fill-holes or --min-area"
        )
    areas = ClassArea.parse
    fills = _parsed("--fill", fill, Fill.parse)
    if max_distance and not any(each.by == NEAREST for each in fills):
        raise typer.BadParameter("is of --fill CLASS=nearest", param_hint="--max-distance")
    choices = PostprocessOptions(
        fill=fills,
        max_distance=max_distance,
        majority=majority,
        rules=_parsed("--rule", rule, Rule.parse),
        fill_holes=_parsed("--fill-holes", fill_holes, areas),
        min_area=_parsed("--min-area", min_area, areas),
        connectivity=8 if connectivity == "8" else 4,
    )
    _refuse_twice("--fill", (each.replaced for each in fills))
    _refuse_twice("--fill-holes", (each.name for each in choices.fill_holes))
    _refuse_twice("--min-area", (each.name for each in choices.min_area))
    outputs = MapOutputs(class_map=output, overwrite=overwrite)
    own = [Output(path) for path in outputs.files[::-1]]
    reserve(ctx, own, [class_map, legend], overwrite=overwrite)
    with Talk(quiet=quiet).steps() as tell:
        report = postprocess_map(
            class_map, legend_of(legend, class_map), outputs, options=choices, tell=tell
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


def _parsed(option: str, words: Sequence[str] | None, parse: Callable[[str], T]) -> tuple[T, ...]:
    try:
        return tuple(parse(word) for word in words or ())
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _refuse_twice(option: str, names: Iterable[str | None]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            what = name or "what holds for all classes"
            raise typer.BadParameter(f"{what} is given twice", param_hint=option)
