"""Converted networks for other runtimes: made once, then from the cache."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from geoseg.model.bundle import ModelBundle
from geoseg.model.cache import cached
from geoseg.model.files import CONFIG
from geoseg.model.shape import IR, ONNX, Shape

CONVERTER = 1
"""Counts up when geoseg converts the same bundle into something else."""


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
