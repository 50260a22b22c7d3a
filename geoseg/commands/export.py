"""``geoseg export``: a model as one ONNX file for other programs."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from geoseg.commands import arguments as shared
from geoseg.commands.arguments import with_options
from geoseg.commands.console import Console, echo, print_json
from geoseg.model.export import ExportOptions
from geoseg.raster.guard import Output


@with_options
def export(
    ctx: typer.Context,
    model: Annotated[Path, typer.Argument(help="Model bundle, or the run of `geoseg train`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="ONNX file to write.")],
    *,
    mlm: Annotated[
        Path | None, typer.Option(help="Write a STAC item of it too (MLM 1.5), for catalogues.")
    ] = None,
    options: ExportOptions,
    overwrite: shared.Overwrite = False,
    json: shared.Json = False,
    quiet: shared.Quiet = False,
    verbose: shared.Verbose = False,
) -> None:
    """Write a model as one ONNX file for Deepness (QGIS) and GeoDeep, and prove it."""
    from geoseg.model.export import export, one_bundle
    from geoseg.model.mlm import write_onnx_item
    from geoseg.prediction.patches import stitched_comparison

    console = Console(quiet=quiet, verbose=verbose)
    bundle = one_bundle(model)
    written = [Output(output), *([Output(mlm)] if mlm else [])]
    shared.reserve(ctx, written, [model, options.patches], overwrite=overwrite)
    with console.steps() as steps:
        report = export(
            bundle,
            output,
            options=options,
            overwrite=overwrite,
            measure=stitched_comparison,
            progress=steps.tell,
        )
    if mlm is not None:
        write_onnx_item(bundle, mlm, output, size=report.tile_size)
    for note in report.notes:
        console.warn(note)
    proof = report.proof
    if json:
        print_json(
            {
                "path": str(output),
                "tile_size": report.tile_size,
                "proof": None if proof is None else asdict(proof),
                "notes": report.notes,
            }
        )
        return
    proved = (
        "not proved"
        if proof is None
        else f"{proof.agreement:.2%} of the pixels of {proof.validation_patches} validation "
        f"patches as in torch"
    )
    gsd = f" of {100 * bundle.gsd:.3g} cm" if bundle.gsd else ""
    echo(f"{output}: {len(bundle.legend)} classes, tiles of {report.tile_size} px{gsd}; {proved}")
