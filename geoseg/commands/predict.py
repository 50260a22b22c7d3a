"""``geoseg predict``: a model bundle and orthophotos become class maps."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from geoseg.commands import options
from geoseg.commands.batch import Batch
from geoseg.commands.talk import Talk, in_bytes, print_json

if TYPE_CHECKING:
    from geoseg.chains import PredictPlan
    from geoseg.mosaicking import MapOutputs, MapReport


def predict(
    model: Annotated[Path, typer.Argument(help="Model bundle: RUN/model of `geoseg train`.")],
    orthos: Annotated[
        list[Path],
        typer.Argument(help="Orthophotos (files, folders, quoted globs), or one patch set."),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Class map (.tif), or a folder of class maps."),
    ],
    *,
    patch_size: Annotated[
        int | None, typer.Option(min=1, help="Side of a window [default: the training patch's].")
    ] = None,
    stride: Annotated[
        int | None, typer.Option(min=1, help="Step between windows [default: 3/4 of a window].")
    ] = None,
    overlap: Annotated[
        int | None, typer.Option(min=0, help="Overlap of windows, instead of --stride.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Windows scored at a time.")] = 4,
    device: options.Device = "auto",
    scores: Annotated[
        bool, typer.Option("--scores", help="Write class scores beside the map as well.")
    ] = False,
    score_type: options.ScoreType = "uint8",
    confidence: Annotated[
        Literal["score", "margin", "entropy"] | None,
        typer.Option(help="Write a confidence raster beside the map as well."),
    ] = None,
    windows: Annotated[
        Path | None,
        typer.Option(help="Folder to keep every window's scores in, for `geoseg mosaic`."),
    ] = None,
    bands: options.Bands = None,
    nodata: options.Nodata = None,
    resample: Annotated[bool, typer.Option("--resample", help="Work at the model's GSD.")] = False,
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
    from geoseg import chains
    from geoseg.io.patches import PatchSet, is_patch_set
    from geoseg.io.paths import find_rasters, unique_names
    from geoseg.io.raster import ReadOptions
    from geoseg.model.bundle import ModelBundle
    from geoseg.mosaicking import MapOutputs

    talk = Talk(quiet=quiet, verbose=verbose)
    bundle = ModelBundle.load(model)
    size = patch_size or bundle.patch_size
    choices = chains.PredictOptions(
        patch_size=patch_size,
        stride=_stride(size, stride, overlap),
        batch_size=batch_size,
        resample=resample,
        read=ReadOptions(bands=bands, nodata=nodata),
    )
    if len(orthos) == 1 and is_patch_set(orthos[0]):
        from geoseg.model.torch_runtime import TorchSegmenter

        patch_set = PatchSet.open(orthos[0])
        reports = chains.predict_patches(
            patch_set,
            bundle,
            TorchSegmenter(bundle, device=device, network_size=patch_set.record.size),
            output,
            split=split,
            batch_size=batch_size,
            overwrite=overwrite,
            watch=talk.watch("predict"),
        )
        _tell_patches(reports, output, json=json)
        return
    paths = find_rasters(orthos)
    if dry_run:
        _tell_plans(paths, [chains.plan_map(p, bundle, choices) for p in paths], json=json)
        return
    targets = _targets(paths, unique_names(paths), output)
    all_outputs = [
        MapOutputs(
            class_map=target,
            scores=_beside(target, "scores") if scores else None,
            score_type=score_type,
            confidence=_beside(target, "confidence") if confidence else None,
            confidence_kind=confidence or "margin",
            overwrite=overwrite,
        )
        for target in targets
    ]
    for outputs in all_outputs:
        outputs.refuse_existing()
    from geoseg.model.torch_runtime import TorchSegmenter

    segmenter = TorchSegmenter(bundle, device=device, network_size=size)
    talk.detail(f"{bundle.arch}/{bundle.encoder} on {segmenter.device}")

    def work(job: "tuple[Path, MapOutputs]") -> "MapReport":
        path, outputs = job
        own = windows and (windows if len(paths) == 1 else windows / outputs.class_map.stem)
        return chains.predict_map(
            path,
            bundle,
            segmenter,
            outputs,
            options=choices,
            windows=own,
            watch=talk.watch(path.name),
        )

    batch = Batch(talk)
    _tell_maps(batch.run(zip(paths, all_outputs, strict=True), work), json=json)
    batch.finish()


def _stride(size: int, stride: int | None, overlap: int | None) -> int | None:
    if overlap is None:
        options.refuse_wide_stride(stride, size)
        return stride
    if stride is not None:
        raise typer.BadParameter("--overlap and --stride exclude each other")
    if overlap >= size:
        raise typer.BadParameter(f"--overlap {overlap} is not less than the window, {size}")
    return size - overlap


def _targets(paths: list[Path], names: list[str], output: Path) -> list[Path]:
    """The class map of each orthophoto."""
    is_file = output.suffix.lower() in (".tif", ".tiff")
    if is_file and len(paths) > 1:
        raise typer.BadParameter(f"--output {output}: name a folder for {len(paths)} orthophotos")
    return [output] if is_file else [output / f"{name}.tif" for name in names]


def _beside(target: Path, what: str) -> Path:
    return target.with_name(f"{target.stem}_{what}.tif")


def _tell_plans(paths: list[Path], plans: "list[PredictPlan]", *, json: bool) -> None:
    if json:
        print_json({str(path): asdict(plan) for path, plan in zip(paths, plans, strict=True)})
        return
    for path, plan in zip(paths, plans, strict=True):
        typer.echo(
            f"{path}: {plan.windows} windows of {plan.size} px at stride {plan.stride}, "
            f"{in_bytes(plan.output_bytes)} of map, about {in_bytes(plan.memory)} of memory "
            f"besides the network"
        )


def _tell_maps(reports: "list[MapReport]", *, json: bool) -> None:
    if json:
        print_json([asdict(report) | {"path": str(report.path)} for report in reports])
        return
    for report in reports:
        typer.echo(
            f"{report.path}: {report.pixels} px, {report.valid_share:.1%} valid; {report.shares}"
        )


def _tell_patches(reports: "list[MapReport]", output: Path, *, json: bool) -> None:
    if json:
        print_json([asdict(report) | {"path": str(report.path)} for report in reports])
        return
    typer.echo(f"{output}: {len(reports)} patches")
