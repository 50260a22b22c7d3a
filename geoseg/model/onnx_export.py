"""A bundle's network as a file of ONNX."""

import importlib
import logging
import warnings
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import torch

from geoseg.errors import BundleError
from geoseg.model.bundle import ModelBundle
from geoseg.model.pipeline import load_pipeline
from geoseg.model.shape import Shape


def export(bundle: ModelBundle, shape: Shape, path: Path) -> None:
    """Write all from pixels to scores.

    Raises:
        BundleError: If it cannot be exported, or the network does not take that size.
    """
    module = load_pipeline(bundle, shape.taken_size)
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
