"""``geoseg sample-points``: points to check a class map by."""

from pathlib import Path
from typing import Annotated

import typer

from geoseg.commands import arguments as shared
from geoseg.commands.arguments import with_options
from geoseg.commands.console import Console, echo, print_json
from geoseg.commands.legend import OwnLegend, legend_of
from geoseg.evaluation.sampling import SamplingOptions


@with_options
def sample_points(
    class_map: Annotated[Path, typer.Argument(metavar="MAP", help="Class map to sample.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Points to write (GeoPackage by default).")
    ],
    legend: OwnLegend = None,
    *,
    options: SamplingOptions,
    overwrite: shared.Overwrite = False,
    json: shared.Json = False,
    quiet: shared.Quiet = False,
) -> None:
    """Draw a random sample within each class of a map, for `evaluate --sample`."""
    from geoseg.evaluation.sampling import sample_points
    from geoseg.raster.guard import Output
    from geoseg.raster.polygons import layer_files

    shared.check(
        map(Output, layer_files(output)), [class_map, legend, options.aoi], overwrite=overwrite
    )
    classes = legend_of(legend, class_map)
    drawn = sample_points(
        class_map,
        classes,
        output,
        options=options,
        overwrite=overwrite,
        watch=Console(quiet=quiet).progress(class_map.name),
    )
    by_class = dict(zip(classes.names, drawn.points.tolist(), strict=True))
    if json:
        print_json({"output": str(output), "points": sum(by_class.values()), "classes": by_class})
        return
    told = ", ".join(f"{name} {count}" for name, count in by_class.items())
    echo(f"{output}: {sum(by_class.values())} points ({told}); fill in column 'reference'")
