"""Converted networks for other runtimes: made once, then from the cache."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from geoseg.model.bundle import CONFIG, ModelBundle
from geoseg.model.cache import cached

CONVERTER = 1
"""Counts up when geoseg converts the same bundle into something else."""

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


@contextmanager
def converted_ir(bundle: ModelBundle, shape: Shape, *, int8: bool = False) -> Iterator[Path]:
    """All from pixels to scores as OpenVINO reads it, while the block lasts.

    With a conversion in the cache, neither torch nor smp is imported.

    Args:
        bundle: A loaded bundle.
        shape: What is to be taken.
        int8: Whether with the bundle's quantised network.

    Raises:
        BundleError: If OpenVINO cannot run the network, or not at that size.
    """

    def write(folder: Path) -> None:
        from geoseg.model import ir

        model = ir.quantised_pipeline(bundle, shape) if int8 else ir.pipeline(bundle, shape)
        ir.save(model, folder / IR)

    facts = _facts(bundle, shape, "openvino")
    if int8 and bundle.quantized:
        facts["int8"] = dict(bundle.quantized.sha256)
    with cached(facts, write) as folder:
        yield folder / IR


@contextmanager
def converted_onnx(bundle: ModelBundle, shape: Shape) -> Iterator[Path]:
    """All from pixels to scores as ONNX Runtime reads it, while the block lasts.

    Raises:
        BundleError: If the network cannot be converted, or does not take that size.
    """

    def write(folder: Path) -> None:
        from geoseg.model.onnx_export import export

        export(bundle, shape, folder / ONNX)

    with cached(_facts(bundle, shape, "onnxruntime"), write) as folder:
        yield folder / ONNX


def _facts(bundle: ModelBundle, shape: Shape, target: str) -> dict[str, Any]:
    """All that a conversion depends on."""
    if bundle.folder is None:
        raise ValueError("the bundle was not loaded from a folder")
    return {
        "converter": CONVERTER,
        "weights": bundle.weights_sha256,
        "config": hashlib.sha256((bundle.folder / CONFIG).read_bytes()).hexdigest(),
        "normalisation": asdict(bundle.normalisation),
        "shape": asdict(shape),
        "versions": {
            name: version(name) for name in (target, "torch", "segmentation-models-pytorch")
        },
    }
