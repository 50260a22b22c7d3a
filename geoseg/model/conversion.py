"""Conversion of torch networks to OpenVINO, in float32 or int8."""

import importlib
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from geoseg.errors import BundleError
from geoseg.model.bundle import ONNX, ModelBundle
from geoseg.model.openvino import OpenVinoRuntime, import_nncf, import_openvino, openvino_core
from geoseg.model.segmenter import IR, PIXEL_DIVISOR, InputShape, fixed_batches
from geoseg.model.torch_runtime import (
    Normalise,
    Pipeline,
    Preprocess,
    load_pipeline,
    scores_of_outputs,
    to_scores,
)

LOGIT_TOLERANCE = 1e-3
"""Tolerated difference of logits of equal networks, relative to the largest logit."""


def convert_network(bundle: ModelBundle, size: int) -> Any:
    """The network alone, from normalised pixels to logits, for windows of a size in pixels."""
    module = load_pipeline(bundle, size).network
    return convert(module, (1, bundle.bands, size, size), bundle)


def convert_int8_pipeline(bundle: ModelBundle, shape: InputShape) -> Any:
    """The whole pipeline from pixels to scores, with the int8 network of the bundle.

    Raises:
        BundleError: If the bundle has none, or it does not take that size.
    """
    path = bundle.int8_folder(shape.network_side) / IR
    try:
        model = openvino_core().read_model(path)
        classes = int(model.output(0).partial_shape[1].get_length())
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise BundleError(
            f"{path.parent}: is damaged ({reason}); recreate it with `geoseg quantize --overwrite`"
        ) from error
    if classes != len(bundle.legend):
        raise BundleError(
            f"{path.parent}: has {classes} classes, the model {len(bundle.legend)}; recreate it "
            f"with `geoseg quantize --overwrite`"
        )
    return with_pipeline(model, bundle, shape)


def convert_onnx_pipeline(bundle: ModelBundle, shape: InputShape) -> Any:
    """The whole pipeline from pixels to scores around the ONNX network of an imported bundle.

    Raises:
        BundleError: If OpenVINO cannot run it, or it does not take that size.
    """
    try:
        model = openvino_core().read_model(_onnx_path(bundle))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise BundleError(f"{bundle.folder}: OpenVINO cannot read {ONNX} ({reason})") from error
    return with_pipeline(model, bundle, shape)


def _onnx_path(bundle: ModelBundle) -> Path:
    if bundle.folder is None:
        raise ValueError("the bundle was not loaded from a folder")
    return bundle.folder / ONNX


def with_pipeline(model: Any, bundle: ModelBundle, shape: InputShape) -> Any:
    """A pipeline around OpenVINO's network, which is modified, from normalised pixels to outputs.

    Raises:
        BundleError: If the network does not take that size.
    """
    taken = shape.network_side
    try:
        model.reshape([shape.batch_size, bundle.bands, taken, taken])
    except RuntimeError as error:
        raise BundleError(
            f"{bundle.folder}: the {'quantised' if bundle.onnx is None else 'ONNX'} network does "
            f"not take windows of {taken} px; use --patch-size {bundle.patch_size}"
            + (" or --precision fp32" if bundle.onnx is None else "")
        ) from error
    entry = Preprocess(bundle.normalisation, shape.network_size).eval()
    first = convert(entry, shape.images(bundle), bundle)

    def scored(outputs: Tensor) -> Tensor:
        if bundle.onnx is None:
            return to_scores(outputs, shape.window_size, bundle.temperature)
        return scores_of_outputs(outputs, shape.window_size, bundle.onnx)

    last = convert(scored, tuple(model.output(0).shape), bundle)
    return _join(_join(first, model), last)


def convert(module: Callable[[Tensor], Tensor], shape: tuple[int, ...], bundle: ModelBundle) -> Any:
    """An OpenVINO model of a module or function of one tensor of a shape.

    Not `openvino.convert_model`, which does the same and reports it over the network.

    Raises:
        BundleError: If it cannot be traced, or OpenVINO lacks an operation; names the bundle.
    """
    frontend = import_openvino("openvino.frontend")
    decoder = import_openvino("openvino.frontend.pytorch.ts_decoder")
    transformations = import_openvino("openvino._offline_transformations")
    try:
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # sizes become constants by intention
            trace: Any = torch.jit.trace
            traced = trace(module, torch.zeros(shape), check_trace=False)
        reader = frontend.FrontEndManager().load_by_framework("pytorch")
        read = decoder.TorchScriptPythonDecoder(traced)  # must outlive the conversion
        model = reader.convert(reader.load(read))
        model.reshape(list(shape))
        transformations.apply_moc_transformations(model, cf=False)  # folds normalisations
    except Exception as error:  # tracing and conversion fail in many ways
        reason = " ".join(str(error).split())[:300]
        raise BundleError(
            f"{bundle.folder}: OpenVINO cannot run {bundle.arch} with {bundle.encoder}, use "
            f"--runtime {'torch' if bundle.onnx is None else 'onnxruntime'} ({reason})"
        ) from error
    return model


def save_ir(model: Any, path: Path) -> None:
    """Write a model in full precision: ``.xml`` and ``.bin``."""
    import_openvino().save_model(model, path, compress_to_fp16=False)


def _join(first: Any, second: Any) -> Any:
    """The second model on the output of the first; both are modified."""
    openvino = import_openvino()
    source = first.get_results()[0].input_value(0)
    for target in second.get_parameters()[0].output(0).get_target_inputs():
        target.replace_source_output(source)
    return openvino.Model(second.get_results(), first.get_parameters(), "pipeline")


class Quantisation:
    """A network before and after quantisation, converted for patches of a size in pixels."""

    def __init__(self, bundle: ModelBundle, size: int) -> None:
        self._nncf = import_nncf()
        self._bundle = bundle
        self._size = size
        self._network = convert_network(bundle, size)
        self._quantised: Any = None

    def calibrate(self, images: Sequence[NDArray[np.float32]]) -> None:
        """Quantise, with the ranges of activations that (bands, size, size) images cause."""
        normalise = Normalise(self._bundle.normalisation)

        def entered(image: NDArray[np.float32]) -> NDArray[np.float32]:
            with torch.inference_mode():
                result: NDArray[np.float32] = normalise(torch.from_numpy(image[None])).numpy()
            return result

        with redirect_stdout(StringIO()):  # which is for results, not for NNCF's progress
            self._quantised = self._nncf.quantize(
                self._network.clone(),
                self._nncf.Dataset(images, entered),
                subset_size=len(images),
                preset=self._nncf.QuantizationPreset.MIXED,
            )

    def runtimes(self, size: int | None = None) -> tuple[OpenVinoRuntime, OpenVinoRuntime]:
        """The float32 and the int8 runtime for windows of a size; None: that of the patches.

        Raises:
            BundleError: If one of them does not take windows of that size.
        """
        shape = InputShape(window_size=size or self._size)
        network = self._network
        if shape.window_size != self._size:
            network = convert_network(self._bundle, shape.window_size)
        return (
            OpenVinoRuntime(with_pipeline(network.clone(), self._bundle, shape), "fp32"),
            OpenVinoRuntime(with_pipeline(self._quantised.clone(), self._bundle, shape), "int8"),
        )

    def takes_any_size(self) -> bool:
        """Whether the traced network is independent of the size of its trace."""
        other = 2 * self._size
        images = np.random.default_rng(0).normal(size=(1, self._bundle.bands, other, other))
        try:
            expected = _run(convert_network(self._bundle, other), images.astype(np.float32))
            found = _run(self._network.clone(), images.astype(np.float32))
            _run(self._quantised.clone(), images.astype(np.float32))
        except (RuntimeError, BundleError):  # shapes do not fit each other
            return False
        return bool(np.abs(found - expected).max() <= LOGIT_TOLERANCE * np.abs(expected).max())

    def save(self, folder: Path) -> None:
        """Write the quantised network into a folder."""
        save_ir(self._quantised, folder / IR)


def _run(network: Any, images: NDArray[np.float32]) -> NDArray[np.float32]:
    network.reshape(list(images.shape))
    compiled = openvino_core().compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    result: NDArray[np.float32] = compiled(images)[0]
    return result


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
        """Load an ONNX file of one input, whose shape is fixed but for the batch."""
        self.notes: list[str] = []
        self.versions: Mapping[str, str] = {"onnxruntime": version("onnxruntime")}
        self._session = import_onnxruntime().InferenceSession(
            path, providers=["CPUExecutionProvider"]
        )
        (only,) = self._session.get_inputs()
        self._input: str = only.name
        self.batch_size = only.shape[0] if isinstance(only.shape[0], int) else 1

    def __call__(self, images: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Scores of a batch of any length."""
        scores = [
            self._session.run(None, {self._input: batch})[0]
            for _, batch in fixed_batches(images, self.batch_size)
        ]
        return np.concatenate(scores)[: len(images)]


class ImportedOnnx(OnnxRuntime):
    """The ONNX network of an imported bundle, between the steps of torch's pipeline."""

    def __init__(self, bundle: ModelBundle, shape: InputShape) -> None:
        """Load the network of a bundle.

        Raises:
            BundleError: If ONNX Runtime cannot load it.
        """
        try:
            super().__init__(_onnx_path(bundle))
        except Exception as error:  # ONNX Runtime's own, of many classes
            if isinstance(error, BundleError):
                raise
            reason = " ".join(str(error).split())[:300]
            raise BundleError(
                f"{bundle.folder}: ONNX Runtime cannot run {ONNX} ({reason})"
            ) from error
        self._entry = Preprocess(bundle.normalisation, shape.network_size).eval()
        self._size, self._activation = shape.window_size, bundle.onnx or "none"

    def __call__(self, images: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Scores of a batch of any length."""
        with torch.inference_mode():
            outputs = super().__call__(self._entry(torch.from_numpy(images)).numpy())
            scores = scores_of_outputs(torch.from_numpy(outputs), self._size, self._activation)
            result: NDArray[np.float32] = scores.contiguous().numpy()
        return result


def export(bundle: ModelBundle, shape: InputShape, path: Path) -> None:
    """Write the whole pipeline from pixels to scores.

    Raises:
        BundleError: If it cannot be exported, or the network does not take that size.
    """
    module = load_pipeline(bundle, shape.network_side)
    to_onnx(module, shape.images(bundle), bundle).save(path, external_data=False)


OPSET, IR_VERSION = 18, 8
"""Versions of ONNX's operators and file format of exchanged files: Deepness comes with ONNX Runtime
1.12 to 1.17, which reads no format later than 9."""

TILES, SCORES, BATCH = "input", "scores", "batch"
"""Names of the tensors of exchanged files, and of their open axis."""


class Exchange(nn.Module):
    """A pipeline for pixels that were divided by `PIXEL_DIVISOR`."""

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__()
        self.pipeline = pipeline

    def forward(self, images: Tensor) -> Tensor:
        """(n, bands, size, size) to (n, classes, size, size) scores."""
        scores: Tensor = self.pipeline(images * PIXEL_DIVISOR)
        return scores


def exchange_program(bundle: ModelBundle, size: int) -> tuple[torch.onnx.ONNXProgram, str | None]:
    """The ONNX program for other programs, with tiles of a size in pixels.

    Returns:
        The program, and a note if it takes no more than one tile at a time.

    Raises:
        BundleError: If it cannot be exported, or the network does not take that size.
    """
    module = Exchange(load_pipeline(bundle, size)).eval()
    how: dict[str, Any] = {"input_names": [TILES], "output_names": [SCORES], "opset_version": OPSET}
    tile, note = (bundle.bands, size, size), None
    try:
        program = to_onnx(module, (2, *tile), bundle, dynamic_shapes=({0: BATCH},), **how)
    except BundleError:
        program = to_onnx(module, (1, *tile), bundle, **how)
        note = f"{bundle.arch} with {bundle.encoder} takes one tile at a time in ONNX"
    model = program.model
    model.ir_version = IR_VERSION
    for node in model.graph.all_nodes():
        node.metadata_props.clear()  # stack traces with paths of this machine
    return program, note


def to_onnx(
    module: nn.Module, shape: tuple[int, ...], bundle: ModelBundle, **options: Any
) -> torch.onnx.ONNXProgram:
    """An ONNX program of a module of one tensor of a shape; options are those of torch's exporter.

    Raises:
        BundleError: If it cannot be exported; names the bundle.
    """
    try:
        importlib.import_module("onnxscript")
    except ImportError as error:
        raise BundleError(
            "onnxscript is not installed: `pip install 'geoseg[onnxruntime]'`"
        ) from error
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), torch.inference_mode():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module, (torch.zeros(shape),), dynamo=True, verbose=False, **options
            )
    except (torch.onnx.OnnxExporterError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise BundleError(
            f"{bundle.folder}: {bundle.arch} with {bundle.encoder} cannot be exported as ONNX "
            f"({reason})"
        ) from error
    finally:
        logger.setLevel(level)
    return cast("torch.onnx.ONNXProgram", program)
