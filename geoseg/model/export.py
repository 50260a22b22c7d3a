"""The export step: a bundle in, one ONNX file out that Deepness (QGIS) and GeoDeep open.

Both divide pixels by 255, take mean and standard deviation from the file or ask for them, and
expect class probabilities. So the graph multiplies by 255 and holds the bundle's own normalisation.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import BundleError, GeosegError, InputError
from geoseg.model.bundle import ModelBundle, bundle_folders
from geoseg.model.onnx_file import INPUT_KEY, LEGEND_KEY, PROOF_KEY, SEGMENTOR
from geoseg.model.quantize import Measure, Progress, check_fit, compare
from geoseg.model.segmenter import PIXEL_DIVISOR, Segmenter
from geoseg.options import CALL, option
from geoseg.patches.patch_set import PatchSet
from geoseg.raster.atomic import staged

TILES_OVERLAP_PERCENT = 12
"""Suggested overlap of tiles, in percent of their side: an eighth, as `geoseg predict` has it."""

MIN_AGREEMENT = 0.99
"""Share of the validation pixels that must keep their class."""


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Options of an export."""

    patch_size: int | None = option(
        None,
        min=32,
        group=CALL,
        shown="that of the training",
        help="Side of a tile, in pixels, which is fixed in the file.",
    )
    patches: Path | None = option(
        None,
        group=CALL,
        shown="that of the training",
        help="Patch set with validation patches to prove the file on.",
    )
    force: bool = option(
        False, group=CALL, help="Export even what other programs may feed wrongly."
    )


@dataclass(frozen=True, kw_only=True)
class ExportProof:
    """Validation of an exported network."""

    agreement: float
    """Share of the validation pixels with the same class from ONNX Runtime as from torch."""

    validation_patches: int


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """Result of an export."""

    path: Path
    bundle: ModelBundle
    tile_size: int
    """Side of a tile, in pixels."""

    proof: ExportProof | None
    """None: it was not measured."""

    notes: tuple[str, ...] = ()
    """What the user should know."""


def one_bundle(model: Path) -> ModelBundle:
    """The bundle of a model or run.

    Raises:
        BundleError: If there are several.
    """
    folders = bundle_folders(model)
    if len(folders) > 1:
        raise BundleError(
            f"{model}: holds {len(folders)} models, whose scores `geoseg predict` averages; an "
            f"ONNX file holds one network: name one of them, such as {folders[0]}"
        )
    return ModelBundle.load(folders[0])


def export(
    bundle: ModelBundle,
    path: Path,
    *,
    options: ExportOptions,
    overwrite: bool = False,
    measure: Measure | None = None,
    progress: Progress = lambda *_: None,
) -> ExportReport:
    """Write the network of a bundle as an ONNX file, and prove it on validation patches.

    Args:
        bundle: The bundle.
        path: File to write.
        options: Options of the export.
        overwrite: Whether an existing file is replaced.
        measure: Comparison on whole ground, for tiles of another size than the patches.
        progress: Receives progress.

    Raises:
        BundleError: If other programs would feed it wrongly, it cannot be exported, the patches do
            not fit, the classes differ, or a package is missing.
    """
    from geoseg.model.conversion import exchange_program, import_onnxruntime

    import_onnxruntime()
    bundle.require_torch(f"that file is {bundle.folder}/{bundle.weights_name}")
    notes = _doubts(bundle)
    if notes and not options.force:
        raise BundleError(f"{bundle.folder}: {'; '.join(notes)}; --force exports it all the same")
    size = options.patch_size or bundle.patch_size
    bundle.check_size(size)
    patch_set, unproved = _validation(bundle, options)
    program, note = exchange_program(bundle, size)
    notes += [note] if note else []
    if bundle.gsd is None:
        notes.append("the GSD is unknown: the resolution is for its users to set")
    metadata = _metadata(bundle, size)
    with staged(path, overwrite=overwrite) as partial:
        _save(program, partial, metadata)
        proof = None
        if patch_set is not None:
            how: dict[str, Any] = {"measure": measure, "progress": progress}
            proof, unproved = _prove(bundle, partial, size, patch_set, **how)
        notes += [unproved] if unproved else []
        if proof is not None:
            _check_agreement(proof, bundle, force=options.force)
        metadata[PROOF_KEY] = {
            "weights_sha256": bundle.weights_sha256,
            "agreement": None if proof is None else proof.agreement,
            "validation_patches": 0 if proof is None else proof.validation_patches,
        }
        _save(program, partial, metadata)
    return ExportReport(path=path, bundle=bundle, tile_size=size, proof=proof, notes=tuple(notes))


def _doubts(bundle: ModelBundle) -> list[str]:
    """What other programs would feed a model wrongly."""
    doubts = []
    if bundle.bands != 3:  # noqa: PLR2004 red, green and blue
        doubts.append(
            f"takes {bundle.bands} bands: Deepness asks its user which band is which, GeoDeep "
            f"always hands over three and fails"
        )
    if bundle.dtype != "uint8":
        doubts.append(
            f"was trained on {bundle.dtype}: Deepness divides such pixels by 255 too, which the "
            f"file undoes, but GeoDeep by their type's largest value, and maps them wrongly"
        )
    return doubts


def _metadata(bundle: ModelBundle, size: int) -> dict[str, Any]:
    """What Deepness and GeoDeep read, and geoseg's own entries."""
    metadata: dict[str, Any] = {
        "model_type": SEGMENTOR,
        "class_names": {str(index): name for index, name in enumerate(bundle.legend.names)},
        "tile_size": size,
        "tiles_overlap": TILES_OVERLAP_PERCENT,
        "standardization_mean": [0.0] * bundle.bands,
        "standardization_std": [1.0] * bundle.bands,
        "seg_thresh": 0.0,  # a threshold would make unsure pixels class 0
        "seg_small_segment": 0,
        LEGEND_KEY: bundle.legend.to_dict(),
        INPUT_KEY: {
            "band_names": bundle.band_names,
            "dtype": bundle.dtype,
            "value_range": bundle.value_range,
            "arch": bundle.arch,
            "encoder": bundle.encoder,
        },
    }
    if bundle.gsd is not None:
        # three digits: 0.25006 m on the ground are pixels of 0.25 m, which are not to be resampled
        metadata["resolution"] = float(f"{100 * bundle.gsd:.3g}")
    return metadata


def _save(program: Any, path: Path, metadata: dict[str, Any]) -> None:
    program.model.metadata_props.update(
        {key: json.dumps(value, ensure_ascii=False) for key, value in metadata.items()}
    )
    program.save(path, external_data=False)


def as_other_programs(runtime: Segmenter) -> Segmenter:
    """A segmenter of pixels from one of pixels that were divided by 255."""

    def scored(images: NDArray[np.float32], /) -> NDArray[np.float32]:
        return runtime(images / np.float32(PIXEL_DIVISOR))

    return scored


def _validation(bundle: ModelBundle, options: ExportOptions) -> tuple[PatchSet | None, str | None]:
    """The patch set to prove a file on, or a note why there is none."""
    named = options.patches or bundle.training.get("patches")
    advice = "--patches names a patch set to prove it on"
    if named is None:
        return None, f"not proved: the model does not say what it was trained on; {advice}"
    try:
        patch_set = PatchSet.open(Path(named))
        check_fit(bundle, patch_set)
    except GeosegError as error:
        if options.patches is not None:
            raise
        return None, f"not proved ({error}); {advice}"
    return patch_set, None


def _prove(
    bundle: ModelBundle,
    path: Path,
    size: int,
    patch_set: PatchSet,
    *,
    measure: Measure | None,
    progress: Progress,
) -> tuple[ExportProof | None, str | None]:
    """Compare an ONNX file with torch, or a note why that was not possible."""
    from geoseg.model.conversion import OnnxRuntime
    from geoseg.model.torch_runtime import TorchSegmenter

    torch = TorchSegmenter(bundle, device="cpu", precision="fp32", network_size=size)
    onnx = as_other_programs(OnnxRuntime(path))
    if size == patch_set.record.size:
        found = compare(torch, onnx, patch_set, progress)
    elif measure is None:
        return None, f"not proved: the patches are of {patch_set.record.size} px, the tiles {size}"
    else:
        try:
            found = measure(torch, onnx, bundle, patch_set, size)
        except InputError as error:
            return None, f"not proved with tiles of {size} px: {error}"
    agreement = found.record(size).agreement
    return ExportProof(agreement=agreement, validation_patches=found.patches), None


def _check_agreement(proof: ExportProof, bundle: ModelBundle, *, force: bool) -> None:
    """Refuse, by BundleError, a file whose classes differ."""
    if proof.agreement < MIN_AGREEMENT and not force:
        raise BundleError(
            f"{bundle.folder}: ONNX Runtime gives only {proof.agreement:.1%} of the validation "
            f"pixels the class that torch gives (at least {MIN_AGREEMENT:.0%}); it is not kept; "
            f"--force keeps it"
        )
