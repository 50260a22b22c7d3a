"""ONNX files of other programs: what they say of themselves, and what a trial shows."""

import ast
import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import BundleError
from geoseg.model.bundle import MAX_SIZE_PX, SIZE_MULTIPLE_PX, Activation

SEGMENTOR = "Segmentor"
"""Type of the models that give classes of pixels, in the metadata."""

LEGEND_KEY, INPUT_KEY, PROOF_KEY = "geoseg_legend", "geoseg_input", "geoseg_proof"
"""geoseg's own entries of the file's metadata, JSON as all others: the legend; bands, their names
and pixel type; the proof and the weights' hash."""

NAMES_KEYS, TILE_KEYS = ("class_names", "names"), ("tile_size", "tiles_size")
"""Entries of the metadata under two names."""

SHARE_TOLERANCE = 1e-3
"""Outputs that leave 0..1 by more than this are no probabilities."""

MAX_CHANNELS = 16
"""An axis that is longer is none of bands."""

FLOAT32 = 1
"""ONNX's number of the type."""


@dataclass(frozen=True, kw_only=True)
class OnnxFile:
    """An ONNX network of one input and one output."""

    path: Path
    content: bytes
    """The whole network, weights included, even if they were in a file beside."""

    metadata: Mapping[str, Any]
    bands: int | None
    """Of the input; None: it does not say."""

    size: int | None
    """Side of the input in pixels, if that is fixed."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file and check that it can be a network that classifies pixels.

        Raises:
            BundleError: If it cannot be read, or is something else.
        """
        model, content = _loaded(path)
        metadata = {each.key: _value(each.value) for each in model.metadata_props}
        kind = str(metadata.get("model_type", SEGMENTOR))
        if kind.casefold() != SEGMENTOR.casefold():
            raise BundleError(f"{path}: is a {kind}; only a {SEGMENTOR} classifies pixels")
        known = {each.name for each in model.graph.initializer}
        inputs = [each for each in model.graph.input if each.name not in known]
        for what, found in (("inputs", inputs), ("outputs", model.graph.output)):
            if len(found) != 1:
                names = ", ".join(each.name for each in found)
                raise BundleError(f"{path}: has {len(found)} {what} ({names}), one is needed")
        tensor = inputs[0].type.tensor_type
        if tensor.elem_type != FLOAT32:
            raise BundleError(f"{path}: its input is not of float32; convert it first")
        axes = [each.dim_value or None for each in tensor.shape.dim]
        bands, size = _input(path, axes)
        return cls(path=path, content=content, metadata=metadata, bands=bands, size=size)

    @property
    def class_names(self) -> list[str] | None:
        """Names of the classes by their numbers from 0, if the file has them.

        Raises:
            BundleError: If numbers are missing.
        """
        names = next((self.metadata[key] for key in NAMES_KEYS if key in self.metadata), None)
        if isinstance(names, list) and len(names) == 1 and isinstance(names[0], dict):
            (names,) = names  # of a single output
        if isinstance(names, dict):
            try:
                by_number = {int(key): str(name) for key, name in names.items()}
            except ValueError:
                by_number = {}
            if sorted(by_number) != list(range(len(by_number))) or not by_number:
                raise BundleError(f"{self.path}: its class_names are not numbered 0, 1, 2 ...")
            return [by_number[number] for number in range(len(by_number))]
        return [str(each) for each in names] if isinstance(names, list) and names else None

    def number(self, *keys: str) -> float | None:
        """A positive number of the metadata, under the first key that has one."""
        for key in keys:
            value = self.metadata.get(key)
            if isinstance(value, int | float) and 0 < value < np.inf:
                return float(value)
        return None

    def numbers(self, key: str) -> tuple[float, ...] | None:
        """A list of numbers of the metadata."""
        value = self.metadata.get(key)
        listed = value if isinstance(value, list) else []
        whole = all(isinstance(each, int | float) and np.isfinite(each) for each in listed)
        return tuple(map(float, listed)) if listed and whole else None


def _loaded(path: Path) -> tuple[Any, bytes]:
    """ONNX's model of a file, and its bytes with all weights."""
    try:
        onnx = importlib.import_module("onnx")
        helper = importlib.import_module("onnx.external_data_helper")
    except ImportError as error:
        raise BundleError("onnx is not installed: `pip install 'geoseg[onnxruntime]'`") from error
    try:
        content = path.read_bytes()
        model = onnx.load_model_from_string(content)
        if any(helper.uses_external_data(each) for each in model.graph.initializer):
            helper.load_external_data_for_model(model, str(path.parent))
            content = model.SerializeToString()
    except OSError as error:
        name = error.filename or path
        raise BundleError(f"{name}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # protobuf's and ONNX's own
        reason = " ".join(str(error).split())[:200]
        raise BundleError(f"{path}: is no ONNX file ({reason})") from error
    if not model.graph.node:
        raise BundleError(f"{path}: is no ONNX file, or an empty one")
    return model, content


def _value(text: str) -> Any:
    """A value of the metadata: JSON, a literal of Python as some programs write it, or text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _input(path: Path, axes: list[int | None]) -> tuple[int | None, int | None]:
    """Bands and side of an input, or BundleError; None for open axes."""
    shape = " x ".join("?" if each is None else str(each) for each in axes)
    if len(axes) != 4:  # noqa: PLR2004 batch, bands, rows, columns
        raise BundleError(f"{path}: its input is of {shape}, not batch x bands x rows x columns")
    _, bands, height, width = axes
    if (bands or 0) > MAX_CHANNELS and (width or MAX_CHANNELS) < MAX_CHANNELS:
        raise BundleError(f"{path}: its input, {shape}, has the bands last; convert it first")
    if height != width or (height or 1) > MAX_SIZE_PX:
        raise BundleError(f"{path}: takes tiles of {height} x {width} px; squares are needed")
    return bands, height


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What the outputs of a network are like."""

    channels: int
    activation: Activation
    """What makes scores of them."""

    any_size: bool
    """Whether it takes larger tiles as well."""

    @classmethod
    def of(cls, file: OnnxFile, images: NDArray[np.float32]) -> Self:
        """Run a network once.

        Args:
            file: The network.
            images: (1, bands, size, size), normalised.

        Raises:
            BundleError: If it does not run, or gives no scores of pixels.
        """
        from geoseg.model.conversion import import_onnxruntime

        try:
            session = import_onnxruntime().InferenceSession(
                file.content, providers=["CPUExecutionProvider"]
            )
            outputs = _outputs(session, images)
        except BundleError:
            raise
        except Exception as error:  # ONNX Runtime's own
            reason = " ".join(str(error).split())[:300]
            raise BundleError(f"{file.path}: ONNX Runtime cannot run it ({reason})") from error
        if outputs.ndim != 4 or not np.issubdtype(outputs.dtype, np.floating):  # noqa: PLR2004
            what = " x ".join(map(str, outputs.shape))
            raise BundleError(
                f"{file.path}: gives {what} {outputs.dtype} for a tile, not scores of every class"
            )
        if not np.isfinite(outputs).all():
            raise BundleError(f"{file.path}: gives scores that are no numbers (NaN or infinite)")
        _, channels, height, width = outputs.shape
        if height != width:
            raise BundleError(f"{file.path}: gives {height} x {width} scores for a square tile")
        shares = outputs.min() >= -SHARE_TOLERANCE and outputs.max() <= 1 + SHARE_TOLERANCE
        logits: Activation = "sigmoid" if channels == 1 else "softmax"
        return cls(
            channels=channels,
            activation="none" if shares else logits,
            any_size=file.size is None and _takes_larger(session, images, height),
        )


def _outputs(session: Any, images: NDArray[np.float32]) -> NDArray[Any]:
    """Outputs of a network, whose batch may be of a fixed length."""
    (only,) = session.get_inputs()
    batch = only.shape[0] if isinstance(only.shape[0], int) else 1
    (outputs,) = session.run(None, {only.name: np.repeat(images, batch, axis=0)})
    return np.asarray(outputs)


def _takes_larger(session: Any, images: NDArray[np.float32], side: int) -> bool:
    """Whether outputs grow with the input."""
    size = images.shape[-1]
    larger = np.pad(images, ((0, 0), (0, 0), (0, SIZE_MULTIPLE_PX), (0, SIZE_MULTIPLE_PX)))
    try:
        outputs = _outputs(session, larger)
    except Exception:  # noqa: BLE001 ONNX Runtime's own: it takes this size alone
        return False
    return bool(outputs.shape[-1] * size == side * (size + SIZE_MULTIPLE_PX))
