"""``geoseg quantize``: an int8 network for a model, and the proof of what it is worth."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from geoseg.commands import arguments as shared
from geoseg.commands.arguments import with_options
from geoseg.commands.console import Console, echo, print_json
from geoseg.model.quantize import QuantizeOptions


@with_options
def quantize(
    ctx: typer.Context,
    model: Annotated[Path, typer.Argument(help="Model folder: RUN/model of `geoseg train`.")],
    patches: Annotated[Path, typer.Argument(help="Patch set that it was trained on.")],
    *,
    options: QuantizeOptions,
    overwrite: shared.Overwrite = False,
    json: shared.Json = False,
    quiet: shared.Quiet = False,
    verbose: shared.Verbose = False,
) -> None:
    """Make an int8 network for `geoseg predict`, faster on CPUs, and measure its loss."""
    from geoseg.model.bundle import INT8
    from geoseg.model.quantize import quantize
    from geoseg.prediction.patches import stitched_comparison, window_sizes
    from geoseg.raster.folders import locked_once

    console = Console(quiet=quiet, verbose=verbose)
    ctx.with_resource(locked_once(model / INT8))
    with console.steps() as steps:
        report = quantize(
            model,
            patches,
            options=replace(options, overwrite=overwrite),
            sizes=window_sizes,
            measure=stitched_comparison,
            progress=steps.tell,
        )
    proof = report.proof
    if proof.forced:
        console.warn(
            "it loses more than it may and is kept by force: `geoseg predict` takes it with "
            "--precision int8 only"
        )
    for note in report.notes:
        console.warn(note)
    for each in () if proof.forced else proof.measured:
        if not each.holds:
            console.warn(
                f"not good enough with windows of {each.size} px ({each.agreement:.1%} of the "
                f"pixels as in fp32, mean IoU {each.miou_fp32:.4f} -> {each.miou_int8:.4f}): "
                f"`geoseg predict` takes it there with --precision int8 only"
            )
    if not proof.any_size:
        console.info(f"this network takes windows of {proof.patch_size} px only in int8")
    console.debug(f"{proof.samples} patches calibrated, {proof.validation_patches} measured")
    if json:
        print_json(asdict(report) | {"folder": str(report.folder)})
        return
    change = 100 * (proof.miou_int8 - proof.miou_fp32)
    validated = ", ".join(map(str, proof.validated_sizes))
    sizes = f"{validated} px" if validated else "no size"
    echo(
        f"{report.folder}: {proof.agreement:.2%} of the pixels as in fp32; mean IoU "
        f"{proof.miou_fp32:.4f} -> {proof.miou_int8:.4f} ({change:+.2f} points); "
        f"{report.speed:.1f} times as fast here; taken for windows of {sizes}"
    )
