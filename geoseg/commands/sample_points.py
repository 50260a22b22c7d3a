"""``geoseg sample-points``: points to check a class map by."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from geoseg.commands import options
from geoseg.commands.console import Talk, echo, print_json
from geoseg.commands.legends import OwnLegend, legend_of


def sample_points(
    class_map: Annotated[Path, typer.Argument(metavar="MAP", help="Class map to sample.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Points to write (GeoPackage by default).")
    ],
    legend: OwnLegend = None,
    *,
    points: Annotated[int, typer.Option(min=1, help="Points all together.")] = 500,
    min_per_class: Annotated[
        int, typer.Option(min=0, help="Points that each class of the map gets at least.")
    ] = 30,
    allocation: Annotated[
        Literal["proportional", "equal"],
        typer.Option(help="By the classes' area, or the same number for each."),
    ] = "proportional",
    seed: options.Seed = 0,
    aoi: options.Aoi = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Draw a random sample within each class of a map, for `evaluate --sample`."""
    from geoseg.commands.options import check
    from geoseg.evaluation.sampling import SamplingOptions, sample_points
    from geoseg.raster.guard import Output
    from geoseg.raster.vector import layer_files

    check(map(Output, layer_files(output)), [class_map, legend, aoi], overwrite=overwrite)
    classes = legend_of(legend, class_map)
    drawn = sample_points(
        class_map,
        classes,
        output,
        options=SamplingOptions(
            points=points, min_per_class=min_per_class, allocation=allocation, seed=seed
        ),
        aoi=aoi,
        overwrite=overwrite,
        watch=Talk(quiet=quiet).watch(class_map.name),
    )
    by_class = dict(zip(classes.names, drawn.points.tolist(), strict=True))
    if json:
        print_json({"output": str(output), "points": sum(by_class.values()), "classes": by_class})
        return
    told = ", ".join(f"{name} {count}" for name, count in by_class.items())
    echo(f"{output}: {sum(by_class.values())} points ({told}); fill in column 'reference'")
