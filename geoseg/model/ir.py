"""Torch modules as models of OpenVINO."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geoseg.errors import BundleError
from geoseg.model.bundle import ModelBundle
from geoseg.model.openvino_runtime import import_openvino, openvino_core
from geoseg.model.pipeline import Entry, load_pipeline, to_scores
from geoseg.model.shape import IR, Shape


def pipeline(bundle: ModelBundle, shape: Shape) -> Any:
    """All from pixels to scores.

    Raises:
        BundleError: If OpenVINO cannot run the network, or it does not take that size.
    """
    module = load_pipeline(bundle, shape.taken_size)
    return convert(module, shape.images(bundle), bundle)


def network(bundle: ModelBundle, size: int) -> Any:
    """The network alone, from normalised pixels to logits.

    Args:
        bundle: A loaded bundle.
        size: Side of the windows with which it is traced, in pixels.

    Raises:
        BundleError: If OpenVINO cannot run it, or it does not take that size.
    """
    module = load_pipeline(bundle, size).network
    return convert(module, (1, bundle.bands, size, size), bundle)


def quantised_pipeline(bundle: ModelBundle, shape: Shape) -> Any:
    """All from pixels to scores, with the quantised network of the bundle.

    Raises:
        BundleError: If the bundle has none, or it does not take that size.
    """
    path = bundle.int8_folder(shape.taken_size) / IR
    try:
        model = openvino_core().read_model(path)
        classes = int(model.output(0).partial_shape[1].get_length())
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise BundleError(
            f"{path.parent}: is damaged ({reason}); make it again with `geoseg quantize "
            f"--overwrite`"
        ) from error
    if classes != len(bundle.legend):
        raise BundleError(
            f"{path.parent}: has {classes} classes, the model {len(bundle.legend)}; make it again "
            f"with `geoseg quantize --overwrite`"
        )
    return around(model, bundle, shape)


def around(model: Any, bundle: ModelBundle, shape: Shape) -> Any:
    """A network, from normalised pixels to logits, and the steps before and behind it.

    Args:
        model: OpenVINO's; it is used up.
        bundle: What it expects and means.
        shape: What is to be taken.

    Raises:
        BundleError: If the network does not take that size.
    """
    taken = shape.taken_size
    try:
        model.reshape([shape.batch_size, bundle.bands, taken, taken])
    except RuntimeError as error:
        raise BundleError(
            f"{bundle.folder}: the quantised network does not take windows of {taken} px; use "
            f"--patch-size {bundle.patch_size} or --precision fp32"
        ) from error
    entry = Entry(bundle.normalisation, shape.network_size).eval()
    first = convert(entry, shape.images(bundle), bundle)
    last = convert(
        lambda logits: to_scores(logits, shape.window_size), tuple(model.output(0).shape), bundle
    )
    return _join(_join(first, model), last)


def convert(module: Callable[[Tensor], Tensor], shape: tuple[int, ...], bundle: ModelBundle) -> Any:
    """A module or function of one tensor.

    `openvino.convert_model` would do the same, and report it over the network.

    Args:
        module: What to convert.
        shape: Of the tensor that it takes.
        bundle: Whose it is, for the message.

    Raises:
        BundleError: If it cannot be traced, or OpenVINO lacks an operation.
    """
    frontend = import_openvino("openvino.frontend")
    decoder = import_openvino("openvino.frontend.pytorch.ts_decoder")
    transformations = import_openvino("openvino._offline_transformations")
    try:
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that sizes become constants is intended
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
            f"--runtime torch ({reason})"
        ) from error
    return model


def save(model: Any, path: Path) -> None:
    """Write a model in full precision: ``.xml``, and ``.bin`` beside it."""
    import_openvino().save_model(model, path, compress_to_fp16=False)


def _join(first: Any, second: Any) -> Any:
    """The second model on what the first gives; both are used up."""
    openvino = import_openvino()
    source = first.get_results()[0].input_value(0)
    for target in second.get_parameters()[0].output(0).get_target_inputs():
        target.replace_source_output(source)
    return openvino.Model(second.get_results(), first.get_parameters(), "pipeline")
