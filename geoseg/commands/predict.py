"""``geoseg predict``: model bundles and orthophotos become class maps."""

from dataclasses import asdict
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from geoseg.commands import options
from geoseg.commands.batch import Batch
from geoseg.commands.parsing import parse_bounds, parse_count, parse_part, parse_size
from geoseg.commands.talk import Talk, in_bytes, print_json

if TYPE_CHECKING:
    from geoseg.chains import PredictPlan
    from geoseg.model.bundle import ModelBundle
    from geoseg.mosaicking import MapOutputs, MapReport

TIFF = (".tif", ".tiff")
FAILURES = "failed.json"
"""In a folder of maps: the orthophotos of which there is none, and why."""


def predict(
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
        typer.Option(min=1, help="Side of a window [default: 512 to 1024, whichever suits]."),
    ] = None,
    stride: Annotated[
        int | None, typer.Option(min=1, help="Step between windows [default: 7/8 of a window].")
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
        typer.Option(parser=parse_count, metavar="N|auto", help="Windows scored at a time."),
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
            parser=parse_size,
            metavar="2GB",
            help="For reading and blending, besides the network [default: a quarter of what is "
            "free, at most 2 GB].",
            show_default=False,
        ),
    ] = None,
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
    stacked: options.Stacked = None,
    resample: Annotated[bool, typer.Option("--resample", help="Work at the model's GSD.")] = False,
    aoi: options.Aoi = None,
    bounds: Annotated[
        Any,
        typer.Option(
            parser=parse_bounds,
            metavar="XMIN,YMIN,XMAX,YMAX",
            help="Map only this part, in units of the orthophoto's CRS.",
            show_default=False,
        ),
    ] = None,
    part: Annotated[
        Any,
        typer.Option(
            parser=parse_part,
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
    from geoseg import chains
    from geoseg.io.patches import PatchSet, is_patch_set
    from geoseg.io.paths import find_rasters, unique_names
    from geoseg.io.raster import ReadOptions
    from geoseg.mosaicking import MapOutputs

    _refuse_wide_steps(patch_size, stride, overlap)
    if windows is not None and (resume or part is not None):
        raise typer.BadParameter("--windows goes with neither --resume nor --part")
    if retry_failed and not resume:
        raise typer.BadParameter("--retry-failed goes with --resume")
    talk = Talk(quiet=quiet, verbose=verbose)
    bundles, orthos = _models(model, orthos)
    batch_size = None if batch_size == "auto" else batch_size
    models = chains.LoadedModels(
        bundles,
        augmentation=test_time_augmentation,
        runtime=runtime,
        precision=precision,
        device=device,
        batch_size=batch_size,
    )
    if len(orthos) == 1 and is_patch_set(orthos[0]):
        reports = chains.predict_patches(
            PatchSet.open(orthos[0]),
            models,
            output,
            split=split,
            batch_size=batch_size,
            overwrite=overwrite,
            watch=talk.watch("predict"),
        )
        _tell_patches(reports, output, json=json)
        return
    choices = chains.PredictOptions(
        patch_size=patch_size,
        stride=stride,
        overlap=overlap,
        taper=taper,
        batch_size=batch_size,
        resample=resample,
        read=ReadOptions(bands=bands, nodata=nodata, stacked=tuple(stacked or ())),
        aoi=aoi,
        bounds=bounds,
        part=part,
        memory=memory,
        on_error=on_error,
        resume=resume,
    )
    paths = find_rasters(orthos)
    if dry_run:
        _tell_plans(paths, [chains.plan_map(p, models.bundle, choices) for p in paths], json=json)
        return
    targets = _targets(paths, unique_names(paths), output, part)
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
    _refuse_inputs(all_outputs, [*paths, *(stacked or ()), *([aoi] if aoi else [])])
    for outputs in [] if resume else all_outputs:
        outputs.refuse_existing()

    def work(job: "tuple[Path, MapOutputs]") -> "MapReport":
        path, outputs = job
        own = windows and (windows if len(paths) == 1 else windows / outputs.class_map.stem)
        return chains.predict_map(
            path, models, outputs, options=choices, windows=own, watch=talk.watch(path.name)
        )

    record = output / FAILURES if output.suffix.lower() not in TIFF else None
    batch = Batch(talk, record=record, resume=resume, retry_failed=retry_failed)
    jobs = zip(paths, all_outputs, strict=True)
    reports = batch.run(jobs, work, name=lambda job: str(job[0]))
    for note in models.notes:
        talk.say(note)
    _tell_maps(reports, json=json)
    batch.finish()


def _models(model: Path, inputs: list[Path]) -> "tuple[list[ModelBundle], list[Path]]":
    """The bundles that are named first, and what comes after them."""
    from geoseg.model.bundle import RECORD, ModelBundle

    def folder_of(path: Path) -> Path:
        return path / "model" if (path / "model" / RECORD).is_file() else path

    more = list(takewhile(lambda path: (folder_of(path) / RECORD).is_file(), inputs))
    bundles = [ModelBundle.load(folder_of(path)) for path in (model, *more)]
    rest = inputs[len(more) :]
    if not rest:
        raise typer.BadParameter("models are named, but no orthophoto")
    return bundles, rest


def _refuse_wide_steps(size: int | None, stride: int | None, overlap: int | None) -> None:
    options.refuse_wide_stride(stride, size)
    if overlap is None:
        return
    if stride is not None:
        raise typer.BadParameter("--overlap and --stride exclude each other")
    if size and overlap >= size:
        raise typer.BadParameter(f"--overlap {overlap} is not less than the window, {size}")


def _targets(
    paths: list[Path], names: list[str], output: Path, part: tuple[int, int] | None
) -> list[Path]:
    """The class map of each orthophoto."""
    is_file = output.suffix.lower() in TIFF
    if is_file and len(paths) > 1:
        raise typer.BadParameter(f"--output {output}: name a folder for {len(paths)} orthophotos")
    targets = [output] if is_file else [output / f"{name}.tif" for name in names]
    if part is None:
        return targets
    index, count = part
    mark = f"part-{index:0{len(str(count))}}-of-{count}"
    return [each.with_name(f"{each.stem}_{mark}.tif") for each in targets]


def _refuse_inputs(all_outputs: "list[MapOutputs]", inputs: list[Path]) -> None:
    """An output that is an input, or another output, would destroy it."""
    places = {path.resolve() for path in inputs}
    for path in (path for outputs in all_outputs for path in outputs.paths):
        if path.resolve() in places:
            raise typer.BadParameter(f"--output: {path} is an input or another output as well")
        places.add(path.resolve())


def _beside(target: Path, what: str) -> Path:
    return target.with_name(f"{target.stem}_{what}.tif")


def _tell_plans(paths: list[Path], plans: "list[PredictPlan]", *, json: bool) -> None:
    if json:
        print_json({str(path): plan.summary for path, plan in zip(paths, plans, strict=True)})
        return
    for path, plan in zip(paths, plans, strict=True):
        bands = f" in {len(plan.bands)} bands of columns" if len(plan.bands) > 1 else ""
        typer.echo(
            f"{path}: {plan.windows} windows of {plan.lattice.size} px at stride "
            f"{plan.lattice.stride}{bands}, {in_bytes(plan.pixels)} of map, about "
            f"{in_bytes(plan.memory)} of memory besides the network"
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
