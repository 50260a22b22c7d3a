"""OpenVINO as a runtime, told to keep to itself."""

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
from geoseg.model.segmenter import Precision, whole_batches

PACKAGE = "openvino_telemetry"
"""What both would report with; without it both have a stand-in that does nothing."""

_importing = RLock()


@contextmanager
def without_telemetry() -> Iterator[None]:
    """Modules that are first imported in this block do not find the package that reports.

    Nothing of the user's is touched: no file, no variable of the environment, and what
    others have imported before stays.
    """
    with _importing:
        hidden = {
            name: module
            for name, module in sys.modules.items()
            if name == PACKAGE or name.startswith(f"{PACKAGE}.")
        }
        for name in hidden:
            del sys.modules[name]
        sys.modules[PACKAGE] = None  # type: ignore[assignment] # how Python says: not to be found
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
    """OpenVINO's core, one for as long as the process lives.

    On Linux each core puts a stack of its own under signal handlers, and one that ends puts
    back what it found: perhaps that of a core that ended before it, and the next signal
    (Ctrl-C, the end of a child) is a segmentation fault.

    Raises:
        BundleError: If OpenVINO is not installed.
    """
    return _core_of(import_openvino())


@cache
def _core_of(openvino: Any) -> Any:
    return openvino.Core()


def has_fast_bf16() -> bool:
    """Whether this CPU computes in bfloat16 itself; emulated, it is slower than float32."""
    return "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVinoRuntime:
    """A converted network as a `Runtime`.

    Several requests work at a time, each on a share of the processors; calls from any
    number of threads take the next one that is free.
    """

    runtime: Literal["openvino"] = "openvino"

    def __init__(self, model: Any, precision: Precision) -> None:
        """Compile.

        Args:
            model: OpenVINO's, from pixels to scores, of one fixed shape.
            precision: fp32 or bf16; int8 for a model that is quantised.
        """
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
        # Its table of types is made on first use, and two threads that meet there wait for
        # each other for ever: one holds the interpreter, the other the table.
        model.input(0).get_element_type().to_dtype()
        self._starting = Lock()

    @property
    def name(self) -> str:
        """For people."""
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
            for part, batch in whole_batches(images, self.batch_size):
                request = self._free_request(running)
                running.append(_Work(request, batch, scores[part]))
                with self._starting:
                    request.start_async([batch], share_inputs=True)
        finally:
            while running:
                self._idle.put(running.popleft().finish())
        return scores

    def _free_request(self, running: "deque[_Work]") -> Any:
        """An idle request, or else the oldest of this call's own once it is done.

        Only a call that holds none waits for others, so that none wait in a ring.
        """
        try:
            return self._idle.get_nowait()
        except Empty:
            return running.popleft().finish() if running else self._idle.get()


class _Work(NamedTuple):
    """A request under way."""

    request: Any
    """OpenVINO's."""

    batch: NDArray[np.float32]
    """What it reads; to be kept until it is done."""

    scores: NDArray[np.float32]
    """Where its scores belong; fewer than the batch if that was filled up."""

    def finish(self) -> Any:
        """Wait, take the scores along, and give the request back."""
        self.request.wait()
        self.scores[...] = self.request.get_output_tensor(0).data[: len(self.scores)]
        return self.request


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
