"""ONNX Runtime as a runtime on the CPU, and the export for it."""

import importlib
import logging
import warnings
from collections.abc import Mapping
from contextlib import redirect_stdout
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from geoseg.errors import BundleError
from geoseg.model.bundle import ModelBundle
from geoseg.model.pipeline import load_pipeline
from geoseg.model.segmenter import InputShape, fixed_batches


def import_onnxruntime() -> Any:
    """ONNX Runtime with telemetry off.

    Raises:
        BundleError: If it is not installed.
    """
    try:
        onnxruntime = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise BundleError(
            "--runtime onnxruntime: it is not installed: `pip install 'geoseg[onnxruntime]'`"
        ) from error
    onnxruntime.disable_telemetry_events()
    return onnxruntime


class OnnxRuntime:
    """A converted network as a `Runtime`."""

    name = "onnxruntime fp32"
    runtime: Literal["onnxruntime"] = "onnxruntime"
    precision: Literal["fp32"] = "fp32"
    streams = 1

    def __init__(self, path: Path) -> None:
        """Load an ONNX file with a fixed input shape."""
        self.notes: list[str] = []
        self.versions: Mapping[str, str] = {"onnxruntime": version("onnxruntime")}
        self._session = import_onnxruntime().InferenceSession(
            path, providers=["CPUExecutionProvider"]
        )
        (only,) = self._session.get_inputs()
        self._input: str = only.name
        self.batch_size = int(only.shape[0])

    def __call__(self, images: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Scores of a batch of any length."""
        scores = [
            self._session.run(None, {self._input: batch})[0]
            for _, batch in fixed_batches(images, self.batch_size)
        ]
        return np.concatenate(scores)[: len(images)]


def export(bundle: ModelBundle, shape: InputShape, path: Path) -> None:
    """Write the whole pipeline from pixels to scores.

    Raises:
        BundleError: If it cannot be exported, or the network does not take that size.
    """
    module = load_pipeline(bundle, shape.network_side)
    try:
        importlib.import_module("onnxscript")
    except ImportError as error:
        raise BundleError(
            "--runtime onnxruntime: onnxscript is not installed: "
            "`pip install 'geoseg[onnxruntime]'`"
        ) from error
    level = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), torch.inference_mode():
            warnings.simplefilter("ignore")
            images = torch.zeros(shape.images(bundle))
            torch.onnx.export(
                module, (images,), path, dynamo=True, external_data=False, verbose=False
            )
    except (torch.onnx.OnnxExporterError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise BundleError(
            f"{bundle.folder}: {bundle.arch} with {bundle.encoder} cannot be exported for "
            f"onnxruntime, use --runtime torch ({reason})"
        ) from error
    finally:
        logging.getLogger("torch.onnx").setLevel(level)
