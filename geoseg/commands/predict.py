"""``geoseg predict``: model bundles and orthophotos become class maps."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from geoseg.commands import options
from geoseg.commands.arguments import parser
from geoseg.commands.console import Talk
from geoseg.commands.map_jobs import MapJobs, Wishes, find_models, predict_set
from geoseg.options import parse_bounds, parse_count, parse_part, parse_size

SMALLEST = 32
"""Side of the smallest window, in pixels: encoders halve it five times."""

FOR_PATCH_SETS = (
    *("model", "orthos", "output", "test_time_augmentation", "batch_size", "runtime"),
    *("precision", "device", "split", "overwrite", "json", "quiet", "verbose"),
)
"""Parameters that mean something where the input is a patch set."""


def predict(
    ctx: typer.Context,
    model: Annotated[Path, typer.Argument(help="Model bundle, or the run of `geoseg train`.")],
    orthos: Annotated[
        list[Path],
        typer.Argument(
            help="Orthophotos (files, folders, quoted globs), or one patch set. Models that "
            "come first are averaged with MODEL."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Class map (.tif), or a folder of class maps."),
    ],
    *,
    patch_size: Annotated[
        int | None,
        typer.Option(min=SMALLEST, help="Side of a window [default: 512 to 1024, what suits]."),
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Step between windows, at most [default: 7/8 of a window].",
        ),
    ] = None,
    overlap: Annotated[
        int | None, typer.Option(min=0, help="Overlap of windows, instead of --stride.")
    ] = None,
    taper: Annotated[
        Literal["hann", "ramp", "flat"], typer.Option(help="How windows fade into each other.")
    ] = "hann",
    test_time_augmentation: Annotated[
        Literal["flips", "d4"] | None,
        typer.Option(help="Average over mirrored (4 views), or turned and mirrored windows (8)."),
    ] = None,
    batch_size: Annotated[
        Any,
        typer.Option(
            parser=parser(parse_count, "auto"), metavar="N|auto", help="Windows scored at a time."
        ),
    ] = "auto",
    runtime: Annotated[
        Literal["auto", "torch", "openvino", "onnxruntime"],
        typer.Option(help="What runs the network."),
    ] = "auto",
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16", "int8"],
        typer.Option(help="Of the network's arithmetic; int8 after `geoseg quantize`."),
    ] = "auto",
    device: options.Device = "auto",
    memory: Annotated[
        Any,
        typer.Option(
            parser=parser(parse_size),
            metavar="2GB",
            help="For reading and blending, besides the network [default: a quarter of what is "
            "free, at most 2 GB].",
            show_default=False,
        ),
    ] = None,
    scores: options.Scores = False,
    score_type: options.ScoreType = "uint8",
    confidence: options.Confidence = None,
    windows: Annotated[
        Path | None,
        typer.Option(help="Folder to keep every window's scores in, for `geoseg mosaic`."),
    ] = None,
    bands: options.Bands = None,
    nodata: options.Nodata = None,
    stacked: options.Stacked = None,
    resample: Annotated[bool, typer.Option("--resample", help="Work at the model's GSD.")] = False,
    aoi: options.Aoi = None,
    aoi_layer: Annotated[str | None, typer.Option(help="Layer of the AOI, of several.")] = None,
    bounds: Annotated[
        Any,
        typer.Option(
            parser=parser(parse_bounds),
            metavar="XMIN,YMIN,XMAX,YMAX",
            help="Map only this part, in units of the orthophoto's CRS.",
            show_default=False,
        ),
    ] = None,
    part: Annotated[
        Any,
        typer.Option(
            parser=parser(parse_part),
            metavar="I/N",
            help="Only the I-th of N parts of each map, for `geoseg mosaic --parts`.",
            show_default=False,
        ),
    ] = None,
    on_error: Annotated[
        Literal["stop", "nodata"],
        typer.Option(help="What to do where an orthophoto cannot be read: exit code 1 it is."),
    ] = "stop",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with what was interrupted; skip what is done.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="With --resume: try again what had failed.")
    ] = False,
    split: Annotated[
        Literal["train", "val", "test"] | None, typer.Option(help="Of a patch set, only these.")
    ] = None,
    overwrite: options.Overwrite = False,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Predict class maps of orthophotos, or of the patches of a patch set."""
    from geoseg.model.ensemble import LoadedModels
    from geoseg.patches.patch_set import PatchSet, is_patch_set
    from geoseg.prediction.plan import PredictOptions
    from geoseg.raster.paths import find_rasters
    from geoseg.raster.reader import ReadOptions

    _refuse_wide_steps(patch_size, stride, overlap)
    if windows is not None and (resume or part is not None):
        raise typer.BadParameter("--windows goes with neither --resume nor --part")
    if retry_failed and not resume:
        raise typer.BadParameter("--retry-failed goes with --resume")
    if aoi_layer is not None and aoi is None:
        raise typer.BadParameter("--aoi-layer goes with --aoi")
    bundles, orthos = find_models(model, orthos)
    of_a_set = len(orthos) == 1 and is_patch_set(orthos[0])
    every = {each.name for each in ctx.command.params if each.name}
    ignored = every - {*FOR_PATCH_SETS} if of_a_set else {"split"}
    options.refuse_given(ctx, ignored, f"is not for {'patch sets' if of_a_set else 'orthophotos'}")
    talk = Talk(quiet=quiet, verbose=verbose)
    batch_size = None if batch_size == "auto" else batch_size
    models = LoadedModels(
        bundles,
        augmentation=test_time_augmentation,
        runtime=runtime,
        precision=precision,
        device=device,
    )
    if of_a_set:
        given = {"split": split, "batch_size": batch_size, "overwrite": overwrite}
        predict_set(PatchSet.open(orthos[0]), models, output, talk, json=json, **given)
        return
    choices = PredictOptions(
        patch_size=patch_size,
        stride=stride,
        overlap=overlap,
        taper=taper,
        batch_size=batch_size,
        resample=resample,
        read=ReadOptions(bands=bands, nodata=nodata, stacked=tuple(stacked or ())),
        aoi=aoi,
        aoi_layer=aoi_layer,
        bounds=bounds,
        part=part,
        memory=memory,
        on_error=on_error,
        resume=resume,
    )
    wishes = Wishes(
        output=output,
        scores=scores,
        score_type=score_type,
        confidence=confidence,
        windows=windows,
        overwrite=overwrite,
        retry_failed=retry_failed,
    )
    jobs = MapJobs(find_rasters(orthos), models, choices, wishes, talk)
    if dry_run:
        jobs.tell_plans(json=json)
    else:
        jobs.run(json=json)


def _refuse_wide_steps(size: int | None, stride: int | None, overlap: int | None) -> None:
    options.refuse_wide_stride(stride, size)
    if overlap is None:
        return
    if stride is not None:
        raise typer.BadParameter("--overlap and --stride exclude each other")
    if size and overlap >= size:
        raise typer.BadParameter(f"--overlap {overlap} is not less than the window, {size}")
