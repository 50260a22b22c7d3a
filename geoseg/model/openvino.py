"""OpenVINO as a runtime, and imports of OpenVINO and NNCF without telemetry."""

import importlib
import logging
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from queue import Empty, SimpleQueue
from threading import Lock, RLock
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import BundleError
from geoseg.model.segmenter import Precision, fixed_batches

PACKAGE = "openvino_telemetry"
"""Package that both send telemetry with; without it they use a stand-in that does nothing."""

_importing = RLock()


@contextmanager
def without_telemetry() -> Iterator[None]:
    """Hide the telemetry package from modules that are first imported in this block.

    Files, environment variables and earlier imports stay untouched.
    """
    with _importing:
        names = [name for name in sys.modules if name.partition(".")[0] == PACKAGE]
        hidden = {name: sys.modules.pop(name) for name in names}
        sys.modules[PACKAGE] = None  # type: ignore[assignment] # imports raise ImportError
        try:
            yield
        finally:
            del sys.modules[PACKAGE]
            sys.modules.update(hidden)


def import_openvino(module: str = "openvino") -> Any:
    """OpenVINO, or a module of it.

    Raises:
        BundleError: If it is not installed.
    """
    try:
        with without_telemetry():
            return importlib.import_module(module)
    except ImportError as error:
        raise BundleError("openvino is not installed: `pip install openvino`") from error


def openvino_core() -> Any:
    """OpenVINO's core, one per process.

    On Linux each core installs its own stack for signal handlers and restores the previous one when
    it ends. With several cores that may be a freed one: the next signal (Ctrl-C, the end of a
    child) is a segmentation fault.

    Raises:
        BundleError: If OpenVINO is not installed.
    """
    return _core_of(import_openvino())


@cache
def _core_of(openvino: Any) -> Any:
    return openvino.Core()


def has_fast_bf16() -> bool:
    """Whether this CPU has bfloat16 arithmetic; emulated, it is slower than float32."""
    return "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVinoRuntime:
    """A converted network as a `Runtime`.

    Several requests run in parallel, each on a share of the cores; calls from any number of
    threads take the next idle one.
    """

    runtime: Literal["openvino"] = "openvino"

    def __init__(self, model: Any, precision: Precision) -> None:
        """Compile OpenVINO's model from pixels to scores, with a fixed input shape."""
        self.precision = precision
        self.notes: list[str] = []
        self.versions: Mapping[str, str] = {"openvino": version("openvino")}
        self._shape: tuple[int, ...] = tuple(model.input(0).shape)
        self._score_shape: tuple[int, ...] = tuple(model.output(0).shape)
        self._compiled = openvino_core().compile_model(
            model,
            "CPU",
            {
                "PERFORMANCE_HINT": "THROUGHPUT",
                "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
            },
        )
        self.streams = int(self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        self._idle: SimpleQueue[Any] = SimpleQueue()
        for _ in range(self.streams):
            self._idle.put(self._compiled.create_infer_request())
        # The table of types is built on first use. Two threads that meet there deadlock: one holds
        # the interpreter lock, the other the table's.
        model.input(0).get_element_type().to_dtype()
        self._starting = Lock()

    @property
    def name(self) -> str:
        """Name for messages."""
        return f"openvino {self.precision}"

    @property
    def batch_size(self) -> int:
        """Windows per request."""
        return self._shape[0]

    def __call__(self, images: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Scores of a batch of any length."""
        if images.shape[1:] != self._shape[1:]:
            raise ValueError(f"made for windows of {self._shape[1:]}, got {images.shape[1:]}")
        scores = np.empty((len(images), *self._score_shape[1:]), np.float32)
        running: deque[_Work] = deque()
        try:
            for part, batch in fixed_batches(images, self.batch_size):
                request = self._free_request(running)
                running.append(_Work(request, batch, scores[part]))
                with self._starting:
                    request.start_async([batch], share_inputs=True)
        finally:
            while running:
                self._idle.put(running.popleft().finish())
        return scores

    def _free_request(self, running: "deque[_Work]") -> Any:
        """An idle request, else the oldest of this call, once done.

        Only a call without a request waits for others, so that no deadlock is possible.
        """
        try:
            return self._idle.get_nowait()
        except Empty:
            return running.popleft().finish() if running else self._idle.get()


class _Work(NamedTuple):
    """A running request, its input, which must live until it is done, and a place for scores."""

    request: Any
    batch: NDArray[np.float32]
    scores: NDArray[np.float32]  # shorter than a batch that was filled up

    def finish(self) -> Any:
        """Wait, copy the scores, and return the request."""
        self.request.wait()
        self.scores[...] = self.request.get_output_tensor(0).data[: len(self.scores)]
        return self.request


def import_nncf() -> Any:
    """NNCF, quiet and without telemetry.

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
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # warns without CUDA
    return nncf
