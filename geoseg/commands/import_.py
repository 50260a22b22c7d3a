"""``geoseg import``: a model of another program becomes a bundle."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from geoseg.commands import arguments as shared
from geoseg.commands.arguments import with_options
from geoseg.commands.console import Console, echo, print_json
from geoseg.model.imports import ImportOptions
from geoseg.raster.folders import MODEL
from geoseg.raster.guard import Output


@with_options
def import_(
    ctx: typer.Context,
    model: Annotated[
        Path | None, typer.Argument(help="ONNX file, such as those of Deepness and GeoDeep.")
    ] = None,
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Model bundle to write (a folder).")
    ],
    options: ImportOptions,
    from_smp: Annotated[
        Path | None,
        typer.Option(
            help="Instead: weights of segmentation-models-pytorch, a folder of save_pretrained or "
            "a state dict."
        ),
    ] = None,
    legend: shared.LegendName = None,
    overwrite: shared.Overwrite = False,
    json: shared.Json = False,
    quiet: shared.Quiet = False,
    verbose: shared.Verbose = False,
) -> None:
    """Make a model bundle of an ONNX file, or of weights of segmentation-models-pytorch."""
    from geoseg.labels.legend_files import load_legend
    from geoseg.model.onnx_import import import_onnx

    if (model is None) == (from_smp is None):
        raise typer.BadParameter("name an ONNX file, or --from-smp, and not both")
    console = Console(quiet=quiet, verbose=verbose)
    classes = None if legend is None else load_legend(legend)
    named = [model, from_smp, legend]
    shared.reserve(ctx, [Output(output, MODEL)], named, overwrite=overwrite)
    how: dict[str, Any] = {"options": options, "legend": classes, "overwrite": overwrite}
    if from_smp is None:
        report = import_onnx(Path(model or ""), output, **how)
    else:
        from geoseg.model.smp_import import import_smp

        report = import_smp(from_smp, output, **how)
    for note in report.notes:
        console.warn(note)
    bundle = report.bundle
    if json:
        print_json(
            {
                "folder": str(output),
                "classes": bundle.legend.names,
                "bands": bundle.band_names,
                "gsd": bundle.gsd,
                "patch_size": bundle.patch_size,
                "normalisation": asdict(bundle.normalisation),
                "notes": report.notes,
            }
        )
        return
    gsd = f" of {100 * bundle.gsd:.3g} cm" if bundle.gsd else ""
    echo(
        f"{output}: {bundle.arch} ({bundle.encoder}), {len(bundle.legend)} classes, "
        f"{bundle.bands} bands, tiles of {bundle.patch_size} px{gsd}"
    )
