"""Choose what runs a bundle's network, and in which precision.

| runtime     | where           | precisions       |
|-------------|-----------------|------------------|
| torch       | CPU, CUDA, MPS  | fp32, bf16, fp16 |
| openvino    | CPU             | fp32, bf16, int8 |
| onnxruntime | CPU             | fp32             |

Nothing here imports torch or a runtime before it is chosen.
"""

import hashlib
import os
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from geoseg.errors import BundleError
from geoseg.model.bundle import ModelBundle
from geoseg.model.cache import CONFIG, cached
from geoseg.model.openvino import OpenVinoRuntime, has_fast_bf16, openvino_core
from geoseg.model.segmenter import IR, ONNX, Precision, Runtime, RuntimeName, Shape

if TYPE_CHECKING:
    from geoseg.model.torch_runtime import TorchSegmenter


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
        from geoseg.model import conversion

        convert = conversion.quantised_pipeline if int8 else conversion.pipeline
        conversion.save_ir(convert(bundle, shape), folder / IR)

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
        from geoseg.model.onnx import export

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


OFFERS: dict[RuntimeName, tuple[Precision, ...]] = {
    "torch": ("fp32", "bf16", "fp16"),
    "openvino": ("fp32", "bf16", "int8"),
    "onnxruntime": ("fp32",),
}
"""Precisions of each runtime."""

CPU_NAMES = ("auto", "cpu")
"""Devices for which a runtime of CPUs will do."""

GPU_SIGNS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Drivers of GPUs that torch can use, on Linux."""


@dataclass(frozen=True, kw_only=True)
class _Wishes:
    """What the caller wants, as in `open_runtime`."""

    precision: Literal["auto", Precision]
    device: str
    shape: Shape
    batch_size: int | None


def open_runtime(
    bundle: ModelBundle,
    *,
    runtime: Literal["auto", RuntimeName] = "auto",
    precision: Literal["auto", Precision] = "auto",
    device: str = "auto",
    window_size: int,
    network_size: int | None = None,
    batch_size: int | None = None,
) -> Runtime:
    """A bundle's network, ready to score windows.

    ``auto`` takes a GPU where there is one, else OpenVINO if it is installed and can run
    the network, else torch; and int8 where the bundle holds a proof that it is good
    enough, else bfloat16 where the hardware has it, else float32.

    Args:
        bundle: A loaded bundle.
        runtime: What runs the network.
        precision: Of the arithmetic inside the network.
        device: auto, cpu, cuda, cuda:1, mps; all but auto and cpu need torch.
        window_size: Side of the windows that will be handed in, in pixels.
        network_size: Side to which they are resampled for the network; None: as they are.
        batch_size: Windows per call; None: what suits.

    Raises:
        BundleError: If the choices do not go together, a package or device is missing, or
            the network cannot be run so.
    """
    if network_size == window_size:
        network_size = None
    wishes = _Wishes(
        precision=precision,
        device=device,
        shape=Shape(window_size=window_size, network_size=network_size, batch_size=batch_size or 1),
        batch_size=batch_size,
    )
    chosen = runtime if runtime != "auto" else _choose(precision, device)
    _check(chosen, precision, device)
    try:
        return _OPEN[chosen](bundle, wishes)
    except BundleError as error:
        if runtime != "auto" or precision == "int8" or chosen == "torch":
            raise
        opened = _open_torch(bundle, wishes)
        opened.notes.append(f"torch is used instead of {chosen}: {error}")
        return opened


def _choose(precision: Literal["auto", Precision], device: str) -> RuntimeName:
    """What suits where the user leaves it to us."""
    if precision == "int8":
        return "openvino"
    if precision == "fp16" or device not in CPU_NAMES:
        return "torch"
    if device == "auto" and _may_have_gpu():
        from geoseg.model.torch_runtime import choose_device

        if choose_device(device).type != "cpu":
            return "torch"
    return "openvino" if find_spec("openvino") else "torch"


def _check(runtime: RuntimeName, precision: Literal["auto", Precision], device: str) -> None:
    """See that choices go together.

    Raises:
        BundleError: If they do not.
    """
    if runtime != "torch" and device not in CPU_NAMES:
        raise BundleError(
            f"--device {device}: {runtime} runs on the CPU only; choose --runtime torch"
        )
    if precision != "auto" and precision not in OFFERS[runtime]:
        able = " or ".join(name for name, offer in OFFERS.items() if precision in offer)
        raise BundleError(
            f"--precision {precision}: {runtime} has {', '.join(OFFERS[runtime])}; choose one "
            f"of these, or --runtime {able}"
        )


def _may_have_gpu() -> bool:
    """Whether it is worth the seconds to load torch and ask it for a GPU."""
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    if sys.platform == "win32":
        system = Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32"
        return (system / "nvcuda.dll").exists()
    return any(Path(sign).exists() for sign in GPU_SIGNS)


def _open_torch(bundle: ModelBundle, wishes: _Wishes) -> "TorchSegmenter":
    from geoseg.model.torch_runtime import TorchSegmenter

    return TorchSegmenter(
        bundle,
        device=wishes.device,
        precision=wishes.precision,
        network_size=wishes.shape.taken_size,
        batch_size=wishes.batch_size,
    )


def _open_openvino(bundle: ModelBundle, wishes: _Wishes) -> OpenVinoRuntime:
    """In int8 if the user wants it, or leaves it to us and it is proven for that size."""
    precision, why_not = wishes.precision, None
    size = wishes.shape.taken_size
    proven = () if bundle.quantized is None else bundle.quantized.proven_sizes
    if precision == "auto" and proven and size not in proven:
        why_not = (
            f"int8 is not used: windows are of {size} px, and it is proven for "
            f"{', '.join(map(str, proven))} px; choose one of these with --patch-size"
        )
    if precision == "int8" or (precision == "auto" and size in proven):
        try:
            bundle.int8_folder(size)
            return _compile(bundle, wishes.shape, "int8")
        except BundleError as error:
            if precision == "int8":
                raise
            why_not = f"int8 is not used: {error}"
    if precision == "auto":
        precision = "bf16" if has_fast_bf16() else "fp32"
    opened = _compile(bundle, wishes.shape, precision)
    if why_not:
        opened.notes.append(why_not)
    return opened


def _compile(bundle: ModelBundle, shape: Shape, precision: Precision) -> OpenVinoRuntime:
    core = openvino_core()
    with converted_ir(bundle, shape, int8=precision == "int8") as path:
        try:
            return OpenVinoRuntime(core.read_model(path), precision)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:300]
            raise BundleError(
                f"{bundle.folder}: openvino cannot run {bundle.arch} with {bundle.encoder}; use "
                f"--runtime torch ({reason})"
            ) from error


def _open_onnxruntime(bundle: ModelBundle, wishes: _Wishes) -> Runtime:
    from geoseg.model.onnx import OnnxRuntime, import_onnxruntime

    import_onnxruntime()
    with converted_onnx(bundle, wishes.shape) as path:
        return OnnxRuntime(path)


_OPEN: dict[RuntimeName, Callable[[ModelBundle, _Wishes], Runtime]] = {
    "torch": _open_torch,
    "openvino": _open_openvino,
    "onnxruntime": _open_onnxruntime,
}
