"""Run a network with ONNX Runtime, on a CPU."""

import importlib
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import BundleError
from geoseg.model.batches import whole_batches


def import_onnxruntime() -> Any:
    """ONNX Runtime, told to report nothing.

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
        """Load the network from a file of ONNX, of one fixed shape."""
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
            for _, batch in whole_batches(images, self.batch_size)
        ]
        return np.concatenate(scores)[: len(images)]
