"""`geoseg doctor`: whether this installation can do its work, and what it has to do it with."""

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path
from typing import Literal

import psutil
from packaging.requirements import Requirement

from geoseg import __version__
from geoseg.raster.libraries import foreign_data, geo_libraries
from geoseg.raster.threads import core_count
from geoseg.text import in_bytes, short_list

State = Literal["ok", "note", "broken"]
"""A note is no fault, but may explain one; what is broken keeps geoseg from working."""

SHOWN = (
    *("numpy", "torch", "torchvision", "lightning", "segmentation-models-pytorch", "timm"),
    *("geopandas", "shapely", "pyarrow"),
)
"""Packages whose versions are shown in any case."""

DEVELOPMENT = "dev"
"""The extra that no user needs."""

LITTLE_SPACE = 2_000_000_000
"""Bytes of free space below which a map or a training may not have enough."""

TOO_LITTLE_SPACE = 50_000_000
"""Bytes of free space below which nothing can be done."""


@dataclass(frozen=True)
class Finding:
    """One line of an examination."""

    topic: str
    text: str
    state: State = "ok"
    remedy: str = ""
    """How to mend it."""


def examine() -> Iterator[Finding]:
    """Look at the program, its libraries, the machine and what surrounds them.

    Yields:
        Findings, as soon as there are any. A check that fails in a way that nobody has thought of
        is one, too.
    """
    for topic, check in CHECKS.items():
        try:
            yield from check()
        except Exception as error:  # noqa: BLE001 broken libraries fail in any way
            reason = " ".join(str(error).split())
            yield Finding(topic, f"{type(error).__name__}: {reason}", "broken", "install it anew")


def about_program() -> Iterator[Finding]:
    """Versions of geoseg and Python, and the machine."""
    memory = psutil.virtual_memory()
    machine = (
        f"{platform.system()} {platform.release()}, {platform.machine()}, "
        f"{core_count()} of {os.cpu_count()} processors to use, {in_bytes(memory.total)} of "
        f"memory, {in_bytes(memory.available)} free"
    )
    yield Finding("geoseg", f"{__version__} in {Path(__file__).parents[1]}")
    yield Finding("Python", f"{platform.python_version()}, {sys.executable}")
    yield Finding("machine", machine)


def about_packages() -> Iterator[Finding]:
    """Versions of what geoseg needs, and extras that are, and are not, installed."""
    try:
        needed = [Requirement(each) for each in requires("geoseg") or ()]
        extras = metadata("geoseg").get_all("Provides-Extra") or []
    except PackageNotFoundError:
        yield Finding("packages", "geoseg runs from a folder and is not installed", "note")
        return
    yield Finding("packages", ", ".join(f"{name} {version(name)}" for name in SHOWN))
    for each in needed:
        if _holds(each, extra="") and (lack := _lack_of(each)):
            remedy = f"pip install '{each.name}{each.specifier}'"
            yield Finding(each.name, lack, "broken", remedy)
    there: list[str] = []
    absent: list[str] = []
    for extra in sorted({*extras} - {DEVELOPMENT}):
        own = [each for each in needed if _holds(each, extra) and not _holds(each, extra="")]
        (absent if any(map(_lack_of, own)) else there).append(extra)
    missing = f"; not {', '.join(absent)} (pip install 'geoseg[NAME]')" if absent else ""
    yield Finding("extras", f"{', '.join(there) or 'none'}{missing}")


def _holds(needed: Requirement, extra: str) -> bool:
    """Whether a requirement is for this machine, and this extra."""
    return needed.marker is None or needed.marker.evaluate({"extra": extra})


def _lack_of(needed: Requirement) -> str | None:
    """What is wrong with a package that is needed."""
    try:
        found = version(needed.name)
    except PackageNotFoundError:
        return "is not installed"
    if not needed.specifier.contains(found, prereleases=True):
        return f"{found} does not do: {needed.specifier} is needed"
    return None


def about_geodata() -> Iterator[Finding]:
    """GDAL and PROJ: each library tried out, and what may have it fail."""
    foreign = foreign_data()
    libraries = geo_libraries()
    unset = f"unset {', '.join(foreign)}" if foreign else "install it anew"
    for each in libraries:
        yield Finding(each.name, each.line)
        if each.problem:
            yield Finding(each.name, each.problem, "broken", unset)
    broken = any(each.problem for each in libraries)
    for name, doubt in foreign.items():
        yield Finding(name, doubt, "note", "" if broken else f"unset {name} if reading goes wrong")


def about_devices() -> Iterator[Finding]:
    """What torch computes on."""
    from geoseg.model.runtime import may_have_gpu
    from geoseg.model.torch_runtime import describe_devices

    devices = describe_devices()
    for name, about in devices.items():
        yield Finding(name, about)
    if len(devices) == 1 and may_have_gpu():
        yield Finding(
            "GPU",
            f"there is a driver, but torch {version('torch')} finds no GPU",
            "note",
            "see pytorch.org for the torch of this driver",
        )


def about_runtimes() -> Iterator[Finding]:
    """What runs networks."""
    from geoseg.errors import BundleError
    from geoseg.model.conversion import import_onnxruntime
    from geoseg.model.openvino import openvino_core

    yield Finding("torch", version("torch"))
    try:
        able = openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        shown = [each.lower() for each in ("FP32", "BF16", "FP16", "INT8") if each in able]
        yield Finding("openvino", f"{version('openvino')}, {', '.join(shown)}")
    except BundleError as error:
        yield Finding("openvino", str(error), "note", "torch runs networks on the CPU, slower")
    try:
        onnxruntime = import_onnxruntime()
        able = [
            each.removesuffix("ExecutionProvider") for each in onnxruntime.get_available_providers()
        ]
        yield Finding("onnxruntime", f"{onnxruntime.__version__}, {short_list(able)}")
    except BundleError:
        yield Finding("onnxruntime", "not installed (an extra)")


def about_space() -> Iterator[Finding]:
    """Free space where geoseg writes, and the cache of converted networks."""
    from geoseg.model.runtime import CACHE_VARIABLE, cache_folder

    cache = cache_folder()
    size = sum(each.stat().st_size for each in cache.rglob("*") if each.is_file())
    free = f"{in_bytes(size)}, {in_bytes(_free(cache))} free"
    if os.access(_existing(cache), os.W_OK):
        yield Finding("cache", f"{cache}: {free}")
    else:
        remedy = f"name another one in {CACHE_VARIABLE}; networks are converted for every call"
        yield Finding("cache", f"{cache}: cannot be written", "note", remedy)
    for topic, folder in {"temporary": Path(tempfile.gettempdir()), "here": Path.cwd()}.items():
        left = _free(folder)
        state: State = "ok" if left > LITTLE_SPACE else "note"
        if left < TOO_LITTLE_SPACE:
            state = "broken"
        remedy = "" if state == "ok" else "make room"
        yield Finding(topic, f"{folder}: {in_bytes(left)} free", state, remedy)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(each for each in (folder, *folder.absolute().parents) if each.is_dir())


def _free(folder: Path) -> int:
    return shutil.disk_usage(_existing(folder)).free


def about_hub() -> Iterator[Finding]:
    """Whether pretrained weights can be fetched."""
    from huggingface_hub import constants

    from geoseg.model.weights import default_weights, hub_silence

    packaged = default_weights()
    without = f"; trainings begin with {packaged}" if packaged != "none" else ""
    if constants.HF_HUB_OFFLINE:
        yield Finding("hub", f"not asked: HF_HUB_OFFLINE is set{without}")
    elif silence := hub_silence():
        yield Finding("hub", f"{constants.ENDPOINT} does not answer ({silence}){without}", "note")
    else:
        yield Finding("hub", f"{constants.ENDPOINT} answers")


CHECKS: dict[str, Callable[[], Iterator[Finding]]] = {
    "geoseg": about_program,
    "packages": about_packages,
    "GDAL and PROJ": about_geodata,
    "devices": about_devices,
    "runtimes": about_runtimes,
    "space": about_space,
    "hub": about_hub,
}
"""What is looked at, in this order."""
