"""Choice of runtime and precision for a bundle's network, and cached conversions.

| runtime     | where           | precisions       |
|-------------|-----------------|------------------|
| torch       | CPU, CUDA, MPS  | fp32, bf16, fp16 |
| openvino    | CPU             | fp32, bf16, int8 |
| onnxruntime | CPU             | fp32             |

Torch and runtimes are imported only once chosen.
"""

import hashlib
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from geoseg.errors import BundleError, InputError, OutputError
from geoseg.model.bundle import CONFIG, ONNX, ModelBundle
from geoseg.model.openvino import OpenVinoRuntime, has_fast_bf16, openvino_core
from geoseg.model.segmenter import IR, InputShape, Precision, Runtime, RuntimeName
from geoseg.raster.atomic import staged
from geoseg.raster.folders import file_sha256, has_files
from geoseg.raster.records import parse_json

if TYPE_CHECKING:
    from geoseg.model.conversion import OnnxRuntime
    from geoseg.model.torch_runtime import TorchSegmenter


CONVERTER_VERSION = 1
"""Version of the conversion; a change invalidates the cache."""


@contextmanager
def converted_ir(bundle: ModelBundle, shape: InputShape, *, int8: bool = False) -> Iterator[Path]:
    """File of the whole pipeline, or of the bundle's int8 network, valid inside the block.

    With a conversion in the cache, neither torch nor smp is imported.

    Raises:
        BundleError: If OpenVINO cannot run the network, or not at that size.
    """

    def write(folder: Path) -> None:
        from geoseg.model import conversion
        from geoseg.model.torch_runtime import load_pipeline

        if int8:
            model = conversion.convert_int8_pipeline(bundle, shape)
        elif bundle.onnx is not None:
            model = conversion.convert_onnx_pipeline(bundle, shape)
        else:
            pipeline = load_pipeline(bundle, shape.network_side)
            model = conversion.convert(pipeline, shape.images(bundle), bundle)
        conversion.save_ir(model, folder / IR)

    facts = _facts(bundle, shape, "openvino")
    if int8 and bundle.quantized:
        facts["int8"] = dict(bundle.quantized.sha256)
    with cached(facts, write) as folder:
        yield folder / IR


def _facts(bundle: ModelBundle, shape: InputShape, target: str) -> dict[str, Any]:
    """Everything a conversion depends on."""
    if bundle.folder is None:
        raise ValueError("the bundle was not loaded from a folder")
    if bundle.onnx is None:
        network = {"config": hashlib.sha256((bundle.folder / CONFIG).read_bytes()).hexdigest()}
    else:
        network = {"activation": bundle.onnx}
    if bundle.temperature != 1:
        network["temperature"] = str(bundle.temperature)
    return network | {
        "converter": CONVERTER_VERSION,
        "weights": bundle.weights_sha256,
        "normalisation": asdict(bundle.normalisation),
        "shape": asdict(shape),
        "versions": {
            name: version(name) for name in (target, "torch", "segmentation-models-pytorch")
        },
    }


CACHE_VARIABLE, CACHE_RECORD = "GEOSEG_CACHE", "geoseg.json"
"""Environment variable with another cache folder, and the file of an entry on its files."""

MAX_ENTRIES = 24
"""Number of entries to keep; the least recently used go first."""


def cache_folder() -> Path:
    """The cache folder of the user's system."""
    if own := os.environ.get(CACHE_VARIABLE):
        return Path(own)
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "geoseg"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "geoseg"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "geoseg"


@contextmanager
def cached(facts: Mapping[str, object], write: Callable[[Path], None]) -> Iterator[Path]:
    """A folder with the files that were written for facts (JSON values), now or earlier.

    A damaged entry is written again. If the cache is not writable, a temporary folder serves until
    the block ends: that costs time and nothing else.
    """
    text = json.dumps(facts, sort_keys=True)
    entry = None
    with suppress(RuntimeError):  # a user without a home folder
        name = hashlib.sha256(text.encode()).hexdigest()[:32]
        entry = cache_folder() / "converted" / name
    if entry is not None and _is_whole(entry, text):
        with suppress(OSError):
            os.utime(entry)
        yield entry
    elif entry is not None and _store(entry, text, write):
        yield entry
    else:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            write(Path(folder))
            yield Path(folder)


def _is_whole(entry: Path, text: str) -> bool:
    try:
        record = parse_json((entry / CACHE_RECORD).read_text(encoding="utf-8"))
        same = record["facts"] == json.loads(text)
        return same and has_files(entry, record["sha256"], entry / CACHE_RECORD)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, InputError):
        return False


def _store(entry: Path, text: str, write: Callable[[Path], None]) -> bool:
    """Write an entry; return whether that was possible."""
    shutil.rmtree(entry, ignore_errors=True)  # a damaged entry
    try:
        with staged(entry, overwrite=True) as folder:
            folder.mkdir()
            write(folder)
            hashes = {path.name: file_sha256(path) for path in sorted(folder.iterdir())}
            record = {"facts": json.loads(text), "sha256": hashes}
            text = json.dumps(record, indent=1) + "\n"
            (folder / CACHE_RECORD).write_text(text, encoding="utf-8")
    except OutputError:
        return False
    with suppress(OSError):
        entries = sorted(entry.parent.iterdir(), key=lambda path: path.stat().st_mtime)
        for old in entries[:-MAX_ENTRIES]:
            shutil.rmtree(old, ignore_errors=True)
    return True


PRECISIONS: dict[RuntimeName, tuple[Precision, ...]] = {
    "torch": ("fp32", "bf16", "fp16"),
    "openvino": ("fp32", "bf16", "int8"),
    "onnxruntime": ("fp32",),
}
"""Precisions of each runtime."""

CPU_NAMES = ("auto", "cpu")
"""Devices that runtimes for the CPU serve."""

GPU_DRIVER_PATHS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Drivers of GPUs on Linux that torch can use."""


@dataclass(frozen=True, kw_only=True)
class _RuntimeRequest:
    """Arguments of `open_runtime`."""

    precision: Literal["auto", Precision]
    device: str
    shape: InputShape
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

    ``auto`` takes a GPU if available, else OpenVINO if it is installed and runs the network, else
    torch; and int8 where the bundle's validation record allows it, else bfloat16 where the hardware
    has it, else float32.

    Args:
        bundle: A loaded bundle.
        runtime: Runtime of the network.
        precision: Precision of the arithmetic inside the network.
        device: auto, cpu, cuda, cuda:1, mps; all but auto and cpu need torch.
        window_size: Side of the input windows, in pixels.
        network_size: Side to which they are resampled for the network; None: as they are.
        batch_size: Windows per call; None: the runtime's choice.

    Raises:
        BundleError: If the choices do not go together, a package or device is missing, or
            the network cannot run this way.
    """
    if network_size == window_size:
        network_size = None
    request = _RuntimeRequest(
        precision=precision,
        device=device,
        shape=InputShape(
            window_size=window_size, network_size=network_size, batch_size=batch_size or 1
        ),
        batch_size=batch_size,
    )
    fallback: Callable[[ModelBundle, _RuntimeRequest], TorchSegmenter | OnnxRuntime]
    if bundle.onnx is None:
        chosen, fallback = _choose(precision, device), _open_torch
    else:
        chosen, fallback = _choose_for_onnx(), _open_onnxruntime
    chosen = chosen if runtime == "auto" else runtime
    _check(chosen, precision, device)
    try:
        return _OPEN[chosen](bundle, request)
    except BundleError as error:
        if runtime != "auto" or precision == "int8" or _OPEN[chosen] is fallback:
            raise
        opened = fallback(bundle, request)
        opened.notes.append(f"{opened.runtime} is used instead of {chosen}: {error}")
        return opened


def _choose(precision: Literal["auto", Precision], device: str) -> RuntimeName:
    """The runtime for ``auto``."""
    if precision == "int8":
        return "openvino"
    if precision == "fp16" or device not in CPU_NAMES:
        return "torch"
    if device == "auto" and may_have_gpu():
        from geoseg.model.torch_runtime import choose_device

        if choose_device(device).type != "cpu":
            return "torch"
    return "openvino" if find_spec("openvino") else "torch"


def _choose_for_onnx() -> RuntimeName:
    """The runtime for ``auto`` of an imported ONNX network."""
    return "openvino" if find_spec("openvino") else "onnxruntime"


def _check(runtime: RuntimeName, precision: Literal["auto", Precision], device: str) -> None:
    """Refuse, by BundleError, choices that do not go together."""
    if runtime != "torch" and device not in CPU_NAMES:
        raise BundleError(
            f"--device {device}: {runtime} runs on the CPU only; choose --runtime torch"
        )
    if precision != "auto" and precision not in PRECISIONS[runtime]:
        able = " or ".join(name for name, offered in PRECISIONS.items() if precision in offered)
        raise BundleError(
            f"--precision {precision}: {runtime} has {', '.join(PRECISIONS[runtime])}; choose one "
            f"of these, or --runtime {able}"
        )


def may_have_gpu() -> bool:
    """Whether a GPU is possible; asking torch takes seconds to import it."""
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    if sys.platform == "win32":
        system = Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32"
        return (system / "nvcuda.dll").exists()
    return any(Path(sign).exists() for sign in GPU_DRIVER_PATHS)


def _open_torch(bundle: ModelBundle, request: _RuntimeRequest) -> "TorchSegmenter":
    from geoseg.model.torch_runtime import TorchSegmenter

    return TorchSegmenter(
        bundle,
        device=request.device,
        precision=request.precision,
        network_size=request.shape.network_side,
        batch_size=request.batch_size,
    )


def _open_openvino(bundle: ModelBundle, request: _RuntimeRequest) -> OpenVinoRuntime:
    """In int8 if asked for, or with ``auto`` if validated for that size."""
    precision, why_not = request.precision, None
    size = request.shape.network_side
    validated = () if bundle.quantized is None else bundle.quantized.validated_sizes
    if precision == "auto" and validated and size not in validated:
        why_not = (
            f"int8 is not used: windows are of {size} px, and it is validated for "
            f"{', '.join(map(str, validated))} px; choose one of these with --patch-size"
        )
    if precision == "int8" or (precision == "auto" and size in validated):
        try:
            bundle.int8_folder(size)
            return _compile(bundle, request.shape, "int8")
        except BundleError as error:
            if precision == "int8":
                raise
            why_not = f"int8 is not used: {error}"
    if precision == "auto":
        precision = "bf16" if has_fast_bf16() else "fp32"
    opened = _compile(bundle, request.shape, precision)
    if why_not:
        opened.notes.append(why_not)
    return opened


def _compile(bundle: ModelBundle, shape: InputShape, precision: Precision) -> OpenVinoRuntime:
    core = openvino_core()
    with converted_ir(bundle, shape, int8=precision == "int8") as path:
        try:
            return OpenVinoRuntime(core.read_model(path), precision)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:300]
            raise BundleError(
                f"{bundle.folder}: openvino cannot run {bundle.arch} with {bundle.encoder}; use "
                f"--runtime {'torch' if bundle.onnx is None else 'onnxruntime'} ({reason})"
            ) from error


def _open_onnxruntime(bundle: ModelBundle, request: _RuntimeRequest) -> "OnnxRuntime":
    from geoseg.model.conversion import ImportedOnnx, OnnxRuntime, export, import_onnxruntime

    import_onnxruntime()
    if bundle.onnx is not None:
        return ImportedOnnx(bundle, request.shape)
    facts = _facts(bundle, request.shape, "onnxruntime")
    with cached(facts, lambda folder: export(bundle, request.shape, folder / ONNX)) as folder:
        return OnnxRuntime(folder / ONNX)


_OPEN: dict[RuntimeName, Callable[[ModelBundle, _RuntimeRequest], Runtime]] = {
    "torch": _open_torch,
    "openvino": _open_openvino,
    "onnxruntime": _open_onnxruntime,
}
