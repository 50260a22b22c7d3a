"""Quantise a bundle's network to 8 bits, and run it before it is worth keeping."""

import importlib
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from geoseg.errors import BundleError
from geoseg.model import ir
from geoseg.model.bundle import ModelBundle
from geoseg.model.openvino_runtime import OpenVinoRuntime, openvino_core
from geoseg.model.pipeline import Normalise
from geoseg.model.shape import IR, Shape
from geoseg.model.telemetry import without_telemetry

SAME = 1e-3
"""Logits of networks that are the same differ by less, relative to the largest."""


def import_nncf() -> Any:
    """NNCF, told to keep to itself.

    Raises:
        BundleError: If it is not installed.
    """
    try:
        with without_telemetry():
            nncf = importlib.import_module("nncf")
    except ImportError as error:
        raise BundleError(
            "quantize needs nncf, which is not installed: `pip install 'geoseg[quantize]'`"
        ) from error
    nncf.set_log_level(logging.ERROR)
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # misses CUDA aloud
    return nncf


class Quantisation:
    """A network before and after."""

    def __init__(self, bundle: ModelBundle, size: int) -> None:
        """Convert the network.

        Args:
            bundle: A loaded bundle.
            size: Side of the patches, in pixels.
        """
        self._nncf = import_nncf()
        self._bundle = bundle
        self._size = size
        self._network = ir.network(bundle, size)
        self._quantised: Any = None

    def calibrate(self, images: Sequence[NDArray[np.float32]]) -> None:
        """Choose ranges by the values that patches cause in the network.

        Args:
            images: Sequence of (bands, size, size) in units of the file, read when asked for.
        """
        normalise = Normalise(self._bundle.normalisation)

        def entered(image: NDArray[np.float32]) -> NDArray[np.float32]:
            with torch.inference_mode():
                result: NDArray[np.float32] = normalise(torch.from_numpy(image[None])).numpy()
            return result

        with _silent():
            self._quantised = self._nncf.quantize(
                self._network.clone(),
                self._nncf.Dataset(images, entered),
                subset_size=len(images),
                preset=self._nncf.QuantizationPreset.MIXED,
            )

    def runtimes(self, size: int | None = None) -> tuple[OpenVinoRuntime, OpenVinoRuntime]:
        """Both: float32, int8.

        Args:
            size: Side of the windows, in pixels; None: of the patches.

        Raises:
            BundleError: If one of them does not take windows of that size.
        """
        shape = Shape(window_size=size or self._size)
        network = (
            self._network if not size or size == self._size else ir.network(self._bundle, size)
        )
        return (
            OpenVinoRuntime(ir.around(network.clone(), self._bundle, shape), "fp32"),
            OpenVinoRuntime(ir.around(self._quantised.clone(), self._bundle, shape), "int8"),
        )

    def takes_any_size(self) -> bool:
        """Whether the size with which the network was traced is nowhere built in."""
        other = 2 * self._size
        images = np.random.default_rng(0).normal(size=(1, self._bundle.bands, other, other))
        try:
            expected = _run(ir.network(self._bundle, other), images.astype(np.float32))
            found = _run(self._network.clone(), images.astype(np.float32))
            _run(self._quantised.clone(), images.astype(np.float32))
        except (RuntimeError, BundleError):  # shapes do not fit each other
            return False
        return bool(np.abs(found - expected).max() <= SAME * np.abs(expected).max())

    def save(self, folder: Path) -> None:
        """Write the quantised network into a folder."""
        ir.save(self._quantised, folder / IR)


def versions() -> dict[str, str]:
    """Of the packages that quantise."""
    return {name: version(name) for name in ("nncf", "openvino")}


def _run(network: Any, images: NDArray[np.float32]) -> NDArray[np.float32]:
    network.reshape(list(images.shape))
    compiled = openvino_core().compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    result: NDArray[np.float32] = compiled(images)[0]
    return result


@contextmanager
def _silent() -> Iterator[None]:
    """NNCF draws its progress on stdout, which is for results."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        yield
