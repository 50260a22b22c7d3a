"""Protocols of segmenters and runtimes, and the shape of their input."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import BundleError
from geoseg.labels.lookup import misplaced_bands
from geoseg.model.bundle import GSD_TOLERANCE, RECORD_ERRORS, ModelBundle
from geoseg.patches.training_ground import TrainingGround
from geoseg.raster.records import FLOAT32_MAX, Fields
from geoseg.text import short_list

if TYPE_CHECKING:
    from geoseg.patches.patch_set import PatchSet

RuntimeName = Literal["torch", "openvino", "onnxruntime"]

Precision = Literal["fp32", "bf16", "fp16", "int8"]
"""Precisions of the arithmetic inside a network; scores are always float32."""


class Segmenter(Protocol):
    """Anything that scores windows: a network, a test double, a rule."""

    def __call__(self, images: NDArray[np.float32], /) -> NDArray[np.float32]:
        """(n, bands, size, size) images in, (n, classes, size, size) scores out.

        Images are in units of the file, NaN where there is no data. Scores are 0..1, sum to 1
        over the classes, are C-contiguous and belong to the caller.
        """


class Runtime(Segmenter, Protocol):
    """A bundle's network, ready to score windows.

    The scores of a window depend neither on the other windows of the batch nor on the thread:
    they are byte-identical in every batch of the same length.
    """

    @property
    def name(self) -> str:
        """Name for messages, such as ``openvino int8``."""

    @property
    def runtime(self) -> RuntimeName:
        """Name of the runtime."""

    @property
    def precision(self) -> Precision:
        """Precision of the arithmetic inside the network."""

    @property
    def versions(self) -> Mapping[str, str]:
        """Versions of the packages that the scores depend on."""

    @property
    def batch_size(self) -> int:
        """Suitable number of windows per call."""

    @property
    def streams(self) -> int:
        """Number of threads that may usefully call it in parallel."""

    @property
    def notes(self) -> Sequence[str]:
        """What the user should know; notes may be added while it runs."""


class Models(Protocol):
    """Models as prediction sees them."""

    bundle: ModelBundle
    """Input and classes of the models."""

    @property
    def bundles(self) -> Sequence[ModelBundle]:
        """Each of the models."""

    @property
    def views(self) -> int:
        """How often a window is scored."""

    @property
    def record(self) -> dict[str, Any]:
        """Provenance of the models, for the record of a map."""

    @property
    def training_ground(self) -> TrainingGround | None:
        """Training ground of all; None if unknown for each."""

    def open(self, window_size: int, network_size: int, batch_size: int | None = None) -> Runtime:
        """A runtime of the models for windows of a size.

        Args:
            window_size: Side of the input windows, in pixels.
            network_size: Side to which they are resampled for the network, in pixels.
            batch_size: Windows per call; None: the runtime's choice.
        """


IR = "model.xml"
"""OpenVINO's file of a network; the weights are in ``model.bin`` beside it."""

PIXEL_DIVISOR = 255.0
"""What Deepness and GeoDeep divide pixels by before a network gets them."""


@dataclass(frozen=True, kw_only=True)
class InputShape:
    """Input of a converted network."""

    window_size: int
    """Side of the input windows, in pixels."""

    network_size: int | None = None
    """Side to which they are resampled for the network; None: as they are."""

    batch_size: int = 1
    """Windows per call."""

    @property
    def network_side(self) -> int:
        """Side of the windows inside the network, in pixels."""
        return self.network_size or self.window_size

    def images(self, bundle: ModelBundle) -> tuple[int, int, int, int]:
        """The shape of a batch of images."""
        return (self.batch_size, bundle.bands, self.window_size, self.window_size)


def fixed_batches(
    images: NDArray[np.float32], size: int
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Split input into batches of one length; the last is padded with zeros.

    Args:
        images: (n, bands, height, width).
        size: Length of a batch.

    Yields:
        Slice of the images, and a C-contiguous (size, bands, height, width) batch.

    >>> [(part, batch.ravel().tolist()) for part, batch in fixed_batches(np.ones((3, 1, 1, 1)), 2)]
    [(slice(0, 2, None), [1.0, 1.0]), (slice(2, 3, None), [1.0, 0.0])]
    """
    for start in range(0, len(images), size):
        part = np.ascontiguousarray(images[start : start + size], np.float32)
        place = slice(start, start + len(part))
        if (lacking := size - len(part)) > 0:
            part = np.pad(part, ((0, lacking), (0, 0), (0, 0), (0, 0)))
        yield place, part


def check_bands(
    bundle: ModelBundle, bands: int, where: Path, advice: str = "choose them with --bands"
) -> None:
    """Check the number of bands of an input at a path against a model.

    Raises:
        BundleError: If the model takes another number; with the advice.
    """
    if bands != bundle.bands:
        raise BundleError(
            f"{where}: has {bands} bands, the model takes {bundle.bands} "
            f"({short_list(bundle.band_names)}); {advice}"
        )


def check_gsd(
    bundle: ModelBundle,
    gsd: float | None,
    where: Path,
    advice: str = "resample to the model's GSD with --resample",
) -> None:
    """Check that the GSD of an input, in metres, is near the model's; unknown ones pass.

    Raises:
        BundleError: If they differ by more than `GSD_TOLERANCE`; with the advice.
    """
    if gsd and bundle.gsd and abs(gsd / bundle.gsd - 1) > GSD_TOLERANCE:
        raise BundleError(
            f"{where}: GSD is {gsd:.3g} m/px, the model was trained at {bundle.gsd:.3g} m/px; "
            f"{advice}"
        )


def check_values(bundle: ModelBundle, sample: NDArray[Any], where: Path) -> None:
    """Check that (n,) valid values of another pixel type lie in the range of the training's.

    Raises:
        BundleError: If most are far outside, or fill only a fraction of the range.
    """
    if sample.dtype.name == bundle.dtype or not sample.size:
        return
    low, high = bundle.value_range
    reach = float(np.percentile(sample, 98)) - low
    span = max(high - low, 1e-9)
    if not 0.1 < reach / span < 4:  # noqa: PLR2004 allows darker and brighter scenes
        raise BundleError(
            f"{where}: values of {sample.dtype.name} reach {low + reach:.4g}, the model was "
            f"trained on {bundle.dtype} from {low:.4g} to {high:.4g}; rescale the orthophoto, "
            f"for example with `gdal_translate -scale`"
        )


FAR_SHIFT, FAR_CONTRAST = 0.5, 1.5
"""Standard deviations by which a band's mean is off, and factor of its contrast, from which a scene
lies far from the training."""


class BandDistance(NamedTuple):
    """How far a band of a scene lies from the band in training."""

    name: str
    mean: float
    trained_mean: float

    shift: float
    """Between the means, in standard deviations of the training."""

    contrast: float
    """Standard deviation, as a share of the training's."""

    @property
    def is_far(self) -> bool:
        """Whether the map is to be looked at before it is trusted."""
        return abs(self.shift) >= FAR_SHIFT or not 1 / FAR_CONTRAST <= self.contrast <= FAR_CONTRAST

    def __str__(self) -> str:
        return (
            f"{self.name} {self.mean:.4g} (training {self.trained_mean:.4g}, {self.shift:+.2f} "
            f"standard deviations; contrast {self.contrast:.2f})"
        )


def scene_distance(bundle: ModelBundle, sample: NDArray[Any]) -> tuple[BandDistance, ...]:
    """Compare (bands, n) valid values of a scene with what a model was trained on, band by band.

    Empty if there is no value, or nothing to compare it with: older and imported bundles do not
    tell the statistics of their training.
    """
    try:
        own = Fields(bundle.training["statistics"])
        mean = own.numbers("mean", bundle.bands, -FLOAT32_MAX, FLOAT32_MAX)
        std = own.numbers("std", bundle.bands, 0, FLOAT32_MAX)
    except RECORD_ERRORS:
        return ()
    if not sample.size or 0 in std:
        return ()
    return tuple(
        BandDistance(name, float(here), there, float(here - there) / spread, float(width) / spread)
        for name, here, width, there, spread in zip(
            bundle.band_names, sample.mean(axis=1), sample.std(axis=1), mean, std, strict=True
        )
    )


Scene = Mapping[str, tuple[BandDistance, ...]]
"""How far the bands of a scene lie from those in training, by the models; all are ""."""


def scene_of(bundles: Sequence[ModelBundle], sample: NDArray[Any]) -> Scene:
    """Compare (bands, n) valid values of a scene with the training of each model."""
    found: dict[tuple[BandDistance, ...], list[str]] = {}
    for each in bundles:
        found.setdefault(scene_distance(each, sample), []).append(str(each.folder))
    several = len(found) > 1
    return {short_list(names) if several else "": bands for bands, names in found.items() if bands}


def doubts_of_scene(scene: Scene) -> list[str]:
    """What is to be said of a scene far from the training, once for the same bands."""
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for models, bands in scene.items():
        far = [band for band in bands if band.is_far]
        told = found.setdefault(tuple(band.name for band in far), {})
        told[models] = "; ".join(map(str, far))
    doubts = []
    for told in [told for names, told in found.items() if names]:
        models = ", ".join(filter(None, told))
        which = f"what trained {models}" if models else "what the model was trained on"
        first = next(iter(told.values()))
        doubts.append(f"is unlike {which}, look at the map before you trust it: {first}")
    return doubts


VALUE_CHECK_PATCHES = 16
"""Number of patches whose values are checked."""


def check_patches(patch_set: "PatchSet", bundle: ModelBundle) -> None:
    """Check that patches fit a model.

    Raises:
        BundleError: If bands, their order, GSD or the range of values differ.
    """
    record, where = patch_set.record, patch_set.folder
    check_bands(bundle, record.bands, where, "tile again with --bands")
    if misplaced := misplaced_bands(record.band_names, bundle.band_names):
        raise BundleError(
            f"{where}: its bands are {short_list(record.band_names)}, the model takes "
            f"{short_list(bundle.band_names)}: {short_list(misplaced)} in other places; tile again "
            f"with --bands"
        )
    check_gsd(bundle, record.gsd, where, "resample the orthophotos (gdalwarp -tr), and tile again")
    if record.dtype != bundle.dtype:
        few = [patch_set.read(patch).image for patch in patch_set.patches[:VALUE_CHECK_PATCHES]]
        values = np.concatenate([image[np.isfinite(image)] for image in few])
        check_values(bundle, values.astype(record.dtype), where)
