"""What scores windows: the protocols of segmenters and runtimes, and what they are handed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import BundleError
from geoseg.labels.lookup import misplaced_bands
from geoseg.model.bundle import ModelBundle
from geoseg.patches.patch_set import PatchSet
from geoseg.text import short_list

RuntimeName = Literal["torch", "openvino", "onnxruntime"]
"""What runs networks."""

Precision = Literal["fp32", "bf16", "fp16", "int8"]
"""Of the arithmetic inside the network; scores are float32 always."""


class Segmenter(Protocol):
    """Anything that scores windows: a network, a test double, a rule."""

    def __call__(self, images: NDArray[np.float32], /) -> NDArray[np.float32]:
        """(n, bands, size, size) images in, (n, classes, size, size) scores out.

        Images are in the units of the file, NaN where there is no data. Scores are 0..1
        and sum to 1 over the classes; they are C-contiguous and the caller's own.
        """
        ...


class Runtime(Segmenter, Protocol):
    """A bundle's network, running.

    What it gives for a window depends neither on the other windows of the batch nor on
    the thread that asks: it is the same to the byte in every batch of the same length.
    """

    @property
    def name(self) -> str:
        """For people, as in ``openvino int8``."""
        ...

    @property
    def runtime(self) -> RuntimeName:
        """What runs the network."""
        ...

    @property
    def precision(self) -> Precision:
        """Of the arithmetic inside the network."""
        ...

    @property
    def versions(self) -> Mapping[str, str]:
        """Of the packages that the scores depend on."""
        ...

    @property
    def batch_size(self) -> int:
        """Windows per call that suit it."""
        ...

    @property
    def streams(self) -> int:
        """How many threads may call it at the same time and gain by it."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What the user should know; it may grow while the runtime works."""
        ...


IR = "model.xml"
"""A network as OpenVINO reads it; its weights are in ``model.bin`` beside it."""

ONNX = "model.onnx"
"""A network as ONNX Runtime reads it, weights and all."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a converted network takes."""

    window_size: int
    """Side of the windows that are handed in, in pixels."""

    network_size: int | None = None
    """Side to which they are resampled for the network; None: as they are."""

    batch_size: int = 1
    """Windows at a time."""

    @property
    def taken_size(self) -> int:
        """Side of the windows as the network itself sees them, in pixels."""
        return self.network_size or self.window_size

    def images(self, bundle: ModelBundle) -> tuple[int, int, int, int]:
        """The shape of a batch of images."""
        return (self.batch_size, bundle.bands, self.window_size, self.window_size)


def whole_batches(
    images: NDArray[np.float32], size: int
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Batches of one length, in order; the last is filled up with zeros.

    Args:
        images: (n, bands, height, width).
        size: Length of a batch.

    Yields:
        Which of the images, and a C-contiguous (size, bands, height, width) batch.

    >>> [(part, batch.ravel().tolist()) for part, batch in whole_batches(np.ones((3, 1, 1, 1)), 2)]
    [(slice(0, 2, None), [1.0, 1.0]), (slice(2, 3, None), [1.0, 0.0])]
    """
    for start in range(0, len(images), size):
        part = np.ascontiguousarray(images[start : start + size], np.float32)
        if (lacking := size - len(part)) > 0:
            yield slice(start, len(images)), np.pad(part, ((0, lacking), (0, 0), (0, 0), (0, 0)))
        else:
            yield slice(start, start + size), part


JUDGED_BY = 16
"""Patches by which the range of values of a patch set is judged."""


def check_patches(patch_set: PatchSet, bundle: ModelBundle) -> None:
    """See that patches are what a model was made for.

    Raises:
        BundleError: If bands or their order, GSD or the range of values are others.
    """
    record, where = patch_set.record, patch_set.folder
    bundle.check_bands(record.bands, where, "tile again with --bands")
    if misplaced := misplaced_bands(record.band_names, bundle.band_names):
        raise BundleError(
            f"{where}: its bands are {short_list(record.band_names)}, the model takes "
            f"{short_list(bundle.band_names)}: {short_list(misplaced)} in other places; tile again "
            f"with --bands"
        )
    bundle.check_gsd(record.gsd, where, "resample the orthophotos (gdalwarp -tr), and tile again")
    if record.dtype != bundle.dtype:
        few = [patch_set.read(patch).image for patch in patch_set.patches[:JUDGED_BY]]
        values = np.concatenate([image[np.isfinite(image)] for image in few])
        bundle.check_values(values.astype(record.dtype), where)
