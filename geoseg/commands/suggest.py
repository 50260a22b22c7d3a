"""``geoseg suggest``: boxes whose labels would teach a model most."""

from pathlib import Path
from typing import Annotated

import typer

from geoseg.commands import arguments as shared
from geoseg.commands.arguments import with_options
from geoseg.commands.console import Console, echo, print_json
from geoseg.commands.legend import OwnLegend, legend_of
from geoseg.evaluation.suggestion import SuggestOptions


@with_options
def suggest(
    class_map: Annotated[Path, typer.Argument(metavar="MAP", help="Class map of `predict`.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="GeoPackage to write: boxes, and a layer to draw in."),
    ],
    legend: OwnLegend = None,
    *,
    options: SuggestOptions,
    overwrite: shared.Overwrite = False,
    json: shared.Json = False,
    quiet: shared.Quiet = False,
) -> None:
    """Suggest boxes in which labels would teach a model most, ready to be drawn in with QGIS."""
    from geoseg.evaluation.suggestion import confidence_of
    from geoseg.raster.guard import Output
    from geoseg.vectorize import labelling

    named = [class_map, legend, options.aoi, options.ortho, confidence_of(class_map, options)]
    shared.check([Output(output)], named, overwrite=overwrite)
    classes = legend_of(legend, class_map)
    watch = Console(quiet=quiet).progress(class_map.name)
    report = labelling.suggest(
        class_map, classes, output, options, overwrite=overwrite, watch=watch
    )
    errors = [each.expected_error for each in report.boxes]
    if json:
        about = {"output": str(output), "boxes": len(errors), "windows": report.windows}
        about |= {"trained": report.trained, "mean": report.mean, "expected_errors": errors}
        print_json(about)
        return
    own = sum(errors) / len(errors)
    seen = f"; {report.trained} more trained its model" if report.trained else ""
    echo(
        f"{output}: {len(errors)} boxes of {report.windows} windows{seen}; expected error "
        f"{own:.1%}, of all windows {report.mean:.1%}; draw in layer 'labels', and tick 'done' in "
        f"'boxes'"
    )
