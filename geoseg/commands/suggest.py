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
    from geoseg.evaluation.suggestion import confidence_of, suggest_windows
    from geoseg.raster.guard import Output
    from geoseg.raster.reader import RasterReader
    from geoseg.vectorize.labelling import write_labelling

    named = [class_map, legend, options.aoi, options.ortho, confidence_of(class_map, options)]
    shared.check([Output(output)], named, overwrite=overwrite)
    classes = legend_of(legend, class_map)
    watch = Console(quiet=quiet).progress(class_map.name)
    chosen, found = suggest_windows(class_map, classes, options, watch=watch)
    with RasterReader(class_map, palette_index=True) as reader:
        grid = reader.grid
    write_labelling(output, chosen, grid, classes, overwrite=overwrite)
    mean = float(found.doubts.sum() / found.counts.sum())
    errors = [each.expected_error for each in chosen]
    if json:
        about = {"output": str(output), "boxes": len(chosen), "windows": len(found.windows)}
        print_json(about | {"trained": found.trained, "mean": mean, "expected_errors": errors})
        return
    own = sum(errors) / len(errors)
    seen = f"; {found.trained} more trained its model" if found.trained else ""
    echo(
        f"{output}: {len(chosen)} boxes of {len(found.windows)} windows{seen}; expected error "
        f"{own:.1%}, of all windows {mean:.1%}; draw in layer 'labels', and tick 'done' in 'boxes'"
    )
