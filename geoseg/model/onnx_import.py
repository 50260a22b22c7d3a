"""The import of an ONNX file, such as those of Deepness and GeoDeep, which stays what it is."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import BundleError, LegendError
from geoseg.labels.legend import Legend
from geoseg.model.bundle import ONNX, RECORD_ERRORS, Activation, ModelBundle, Normalisation
from geoseg.model.imports import (
    TILE_PX,
    ImportOptions,
    ImportReport,
    legend_of,
    names_of,
    write_bundle,
)
from geoseg.model.onnx_file import INPUT_KEY, LEGEND_KEY, TILE_KEYS, OnnxFile, Trial
from geoseg.model.segmenter import PIXEL_DIVISOR
from geoseg.raster.records import FLOAT32_MAX, Fields


def import_onnx(
    path: Path,
    folder: Path,
    *,
    options: ImportOptions,
    legend: Legend | None = None,
    overwrite: bool = False,
) -> ImportReport:
    """Make a bundle of an ONNX file, such as those of Deepness and GeoDeep.

    Args:
        path: The file.
        folder: Bundle to write.
        options: What the file does not say; they go first.
        legend: The classes; None: as options or the file say.
        overwrite: Whether an existing bundle is replaced.

    Raises:
        BundleError: If it is no such file, does not run, or something is missing.
    """
    file = OnnxFile.read(path)
    bands = file.bands or len(options.bands or ())
    if not bands:
        raise BundleError(f"{path}: does not say how many bands it takes; pass --bands")
    if options.bands and len(options.bands) != bands:
        raise BundleError(f"{path}: takes {bands} bands, --bands names {len(options.bands)}")
    size = _tile_size(file, options)
    options, notes = _filled(file, options)
    normalisation = options.normalisation(bands)
    trial = Trial.of(file, _noise(bands, size, normalisation))
    activation: Activation = (
        options.activation if options.activation != "auto" else trial.activation
    )
    if options.activation == "auto" and activation != "none":
        notes.append(f"its outputs are no probabilities: {activation} makes them (--activation)")
    if legend is None and options.classes is None:
        legend = _own_legend(file)
    names = options.classes or file.class_names
    gsd = options.gsd or (None if (found := file.number("resolution")) is None else found / 100)
    if gsd is None:
        notes.append("its GSD is unknown, orthophotos of any are taken; --gsd names it")
    band_names, dtype, value_range = _own_input(file, bands) or (
        names_of(bands),
        options.dtype,
        (0.0, options.divisor),
    )
    bundle = ModelBundle(
        arch="onnx",
        encoder=path.stem,
        legend=legend_of(path, legend, names, max(trial.channels, 2)),
        bands=bands,
        band_names=options.bands or band_names,
        dtype=dtype,
        value_range=value_range,
        normalisation=normalisation,
        patch_size=size,
        gsd=gsd,
        sizes=() if trial.any_size else (size,),
        onnx=activation,
        training={"imported_from": path.name},
    )

    def write(partial: Path) -> None:
        (partial / ONNX).write_bytes(file.content)

    return ImportReport(
        bundle=write_bundle(bundle, folder, write, overwrite=overwrite), notes=tuple(notes)
    )


def _own_legend(file: OnnxFile) -> Legend | None:
    """The legend of a file that geoseg exported."""
    if (told := file.metadata.get(LEGEND_KEY)) is None:
        return None
    try:
        return Legend.from_dict(told)
    except LegendError as error:
        raise BundleError(f"{file.path}: {LEGEND_KEY} is damaged: {error}") from error


def _own_input(
    file: OnnxFile, bands: int
) -> tuple[tuple[str, ...], str, tuple[float, float]] | None:
    """Names of the bands, pixel type and range of values of a file that geoseg exported."""
    if (told := file.metadata.get(INPUT_KEY)) is None:
        return None
    try:
        own = Fields(told, INPUT_KEY)
        low, high = own.numbers("value_range", 2, -FLOAT32_MAX, FLOAT32_MAX)
        return own.texts("band_names", bands), own.text("dtype"), (low, high)
    except RECORD_ERRORS as error:
        raise BundleError(f"{file.path}: {INPUT_KEY} is damaged: {error}") from error


def _tile_size(file: OnnxFile, options: ImportOptions) -> int:
    """Side of a tile, in pixels."""
    if file.size is not None:
        if options.patch_size not in {None, file.size}:
            raise BundleError(f"{file.path}: takes tiles of {file.size} px and no others")
        return file.size
    return options.patch_size or int(file.number(*TILE_KEYS) or TILE_PX)


def _filled(file: OnnxFile, options: ImportOptions) -> tuple[ImportOptions, list[str]]:
    """Options with the normalisation of the file, and notes on what is not taken from it."""
    notes = []
    mean, std = file.numbers("standardization_mean"), file.numbers("standardization_std")
    if options.mean is None and options.std is None:
        if mean is None or std is None:
            notes.append(
                f"it names no normalisation: pixels are divided by {options.divisor:g}, as "
                f"Deepness and GeoDeep do; --mean and --std name another"
            )
        else:
            options = replace(options, mean=mean, std=std)
    threshold = file.metadata.get("seg_thresh")
    if isinstance(threshold, int | float) and threshold not in {0, 0.5}:
        notes.append(
            f"its threshold of {threshold:g} is not taken: a pixel gets its most probable class"
        )
    return options, notes


def _noise(bands: int, size: int, normalisation: Normalisation) -> NDArray[np.float32]:
    """A (1, bands, size, size) image of all pixel values, normalised."""
    pixels = np.random.default_rng(0).uniform(0, PIXEL_DIVISOR, (1, bands, size, size))
    mean, std = (
        np.reshape(each, (1, -1, 1, 1)) for each in (normalisation.mean, normalisation.std)
    )
    return ((pixels - mean) / std).astype(np.float32)
