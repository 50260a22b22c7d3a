"""``geoseg predict``: model bundles and orthophotos become class maps."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from geoseg.commands import arguments as shared
from geoseg.commands.arguments import with_options
from geoseg.commands.console import Console
from geoseg.commands.predict_batch import PredictBatch, find_models, predict_set
from geoseg.model.ensemble import RuntimeOptions
from geoseg.prediction.map_writer import LAYERS, LayerOptions
from geoseg.prediction.plan import PredictOptions
from geoseg.prediction.scores import DISAGREEMENT
from geoseg.raster.staging import StageOptions

FOR_PATCH_SETS = (
    *("model", "orthos", "output", "test_time_augmentation", "batch_size", "runtime"),
    *("precision", "device", "split", "overwrite"),
    *("json", "quiet", "verbose", "progress", "config"),
)
"""Parameters that mean something where the input is a patch set."""


@with_options
def predict(
    ctx: typer.Context,
    model: Annotated[Path, typer.Argument(help="Model bundle, or the run of `geoseg train`.")],
    orthos: Annotated[
        list[Path],
        typer.Argument(
            help="Orthophotos (files, URLs, folders, quoted globs, @lists), or one patch set. "
            "Models that come first are averaged with MODEL."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Class map (.tif), or a folder of class maps."),
    ],
    *,
    options: PredictOptions,
    running: RuntimeOptions,
    layers: LayerOptions,
    windows: Annotated[
        Path | None,
        typer.Option(
            help="Folder to keep every window's scores in, for `geoseg mosaic`.",
            rich_help_panel=LAYERS,
        ),
    ] = None,
    index: Annotated[
        Path | None,
        typer.Option(
            metavar="NAME.gti.gpkg|NAME.json",
            help="Index of all maps: a tile index, which GDAL reads as one raster, or a STAC "
            "collection.",
            rich_help_panel=LAYERS,
        ),
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="With --resume: try again what had failed.")
    ] = False,
    split: Annotated[
        Literal["train", "val", "test"] | None, typer.Option(help="Of a patch set, only these.")
    ] = None,
    asset: shared.Asset = None,
    cluster: shared.Cluster = None,
    copies: StageOptions,
    overwrite: shared.Overwrite = False,
    dry_run: shared.DryRun = False,
    json: shared.Json = False,
    quiet: shared.Quiet = False,
    verbose: shared.Verbose = False,
) -> None:
    """Predict class maps of orthophotos, or of the patches of a patch set."""
    from geoseg.model.ensemble import LoadedModels
    from geoseg.patches.patch_set import PatchSet, is_patch_set
    from geoseg.raster.lists import find_rasters
    from geoseg.raster.paths import GdalName
    from geoseg.raster.upload import object_of

    if not dry_run:
        ctx.with_resource(copies.begin())
    _refuse_contradictions(options, windows, index, retry_failed=retry_failed)
    disagreement = layers.confidence == DISAGREEMENT
    if disagreement and windows is not None:
        raise typer.BadParameter(f"--confidence {DISAGREEMENT} does not go with --windows")
    if cluster and any(each is not None for each in (windows, options.part, copies.stage)):
        raise typer.BadParameter("--cluster goes with none of --windows, --part and --stage")
    if index is not None and (isinstance(index, GdalName) or object_of(output)):
        raise typer.BadParameter("--index is of maps on disk, and lies there, not in a bucket")
    bundles, orthos = find_models(model, orthos)
    of_a_set = len(orthos) == 1 and is_patch_set(orthos[0])
    every = {each.name for each in ctx.command.params if each.name}
    ignored = every - {*FOR_PATCH_SETS} if of_a_set else {"split"}
    shared.refuse_given(ctx, ignored, f"is not for {'patch sets' if of_a_set else 'orthophotos'}")
    console = Console(quiet=quiet, verbose=verbose)
    shared.tell_part(console, options.part)
    models = LoadedModels(bundles, replace(running, squares=disagreement))
    if of_a_set:
        predict_set(
            PatchSet.open(orthos[0]),
            models,
            output,
            console,
            split=split,
            batch_size=options.batch_size,
            overwrite=overwrite,
            json=json,
        )
        return
    batch = PredictBatch(
        find_rasters(orthos, asset),
        models,
        options,
        layers,
        output,
        windows=windows,
        overwrite=overwrite,
        retry_failed=retry_failed,
        console=console,
        cluster=cluster,
        index=index,
    )
    if dry_run:
        batch.tell_plans(json=json)
    else:
        batch.run(json=json)


def _refuse_contradictions(
    options: PredictOptions, windows: Path | None, index: Path | None, *, retry_failed: bool
) -> None:
    size, stride, overlap = options.patch_size, options.stride, options.overlap
    shared.refuse_wide_stride(stride, size)
    if overlap is not None and stride is not None:
        raise typer.BadParameter("--overlap and --stride exclude each other")
    if overlap is not None and size and overlap >= size:
        raise typer.BadParameter(f"--overlap {overlap} is not less than the window, {size}")
    if windows is not None and (options.resume or options.part is not None):
        raise typer.BadParameter("--windows goes with neither --resume nor --part")
    if index is not None and options.part is not None:
        raise typer.BadParameter("--index is of whole maps; join the parts first")
    if retry_failed and not options.resume:
        raise typer.BadParameter("--retry-failed goes with --resume")
    if options.aoi_layer is not None and options.aoi is None:
        raise typer.BadParameter("--aoi-layer goes with --aoi")
