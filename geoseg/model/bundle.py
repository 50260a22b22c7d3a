"""The model bundle: a folder with everything that training knew and prediction needs.

```
model/
  config.json         smp's own: `smp.from_pretrained(folder)` opens the folder
  model.safetensors   the weights
  geoseg.json         bands, normalisation, GSD, patch size, legend, training summary
  ground.json         training ground: windows of every source, by split
  mlm.json            STAC item of the model, for catalogues
  int8/               the quantised network, after `geoseg quantize`
```

A bundle that was imported from an ONNX file has ``model.onnx`` in place of the first two.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
from safetensors import SafetensorError, safe_open

from geoseg.errors import BundleError, LegendError
from geoseg.labels.legend import Legend
from geoseg.patches.training_ground import TrainingGround
from geoseg.raster.atomic import write_text
from geoseg.raster.folders import file_sha256, has_files
from geoseg.raster.records import FLOAT32_MAX, FLOAT64_MAX, Fields, read_object, refuse_unknown

FORMAT, RECORD, CONFIG, WEIGHTS = 1, "geoseg.json", "config.json", "model.safetensors"
"""Version of the record, and files of a bundle."""

ONNX = "model.onnx"
"""ONNX file of a network, weights included."""

Activation = Literal["none", "softmax", "sigmoid"]
"""Function that makes scores of a network's outputs."""

INT8, INT8_FILES = "int8", ("model.xml", "model.bin")

MAX_SIZE_PX, MAX_BANDS = 16_384, 10_000
"""Largest side of a window (one of three bands takes 3 GB) and number of bands."""

HEAD = re.compile(r"segmentation_head\.(?:.*\.)?(\d+)\.weight")
"""Names of the weights of the last layers of smp's networks."""

Shapes = dict[str, tuple[int, ...]]

SIZE_MULTIPLE_PX, MAX_AUTO_SIZE_PX = 32, 1024
"""Divisor of the window sides that nearly every network takes, and side of the largest window that
a prediction chooses by itself, overhang aside."""

MIN_STD, MIN_GSD_M = 1e-30, 1e-9
"""Lower bounds of divisors: normal numbers in float32, so that quotients are finite."""

TEMPERATURES, MIN_THRESHOLD = (0.25, 10.0), 0.001
"""Bounds of a temperature, and the least threshold."""

OPTIONAL = ("quantized", "sizes", "onnx", "thresholds")
"""Entries of a record that are left out where they are None."""

PIXEL_TYPES = (
    *("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
    *("float16", "float32", "float64"),
)
"""numpy's names of the pixel types of orthophotos."""

GSD_TOLERANCE = 0.2
"""Tolerated difference between the GSD of orthophoto and model, as a share."""

RECORD_ERRORS = (ValueError, LookupError, TypeError, AttributeError, LegendError)
"""Exceptions of interpreting a damaged record."""


@dataclass(frozen=True, kw_only=True)
class SizeRecord:
    """Validation of the int8 network with windows of one size."""

    size: int
    agreement: float
    """Side of the windows in pixels, and share of the pixels with the same class as float32."""

    miou_fp32: float
    miou_int8: float
    """Mean IoU of both on the same ground."""

    holds: bool
    """Whether the loss is within its limits."""

    @classmethod
    def parse(cls, content: object) -> Self:
        """The record of a size, or ValueError if an entry is missing, unknown or wrong."""
        own = Fields(content, "quantized.measured")
        refuse_unknown(own.entries, {each.name for each in fields(cls)})
        return cls(
            **_accuracy(own), size=own.whole("size", 1, MAX_SIZE_PX), holds=own.flag("holds")
        )


def _accuracy(own: Fields) -> dict[str, float]:
    return {name: own.number(name, 0, 1) for name in ("agreement", "miou_fp32", "miou_int8")}


@dataclass(frozen=True, kw_only=True)
class Int8Record:
    """Validation record of the int8 network of a bundle."""

    agreement: float
    """Share of the pixels of the validation patches with the same class as float32."""

    miou_fp32: float
    miou_int8: float
    """Mean IoU of both on the validation patches."""

    validation_patches: int
    samples: int
    """Number of validation patches, and of training patches used for calibration."""

    forced: bool
    """Whether the user kept it although the loss exceeds its limits."""

    patch_size: int
    any_size: bool
    """Side of the patches, in pixels, and whether the network takes other windows as well."""

    sha256: Mapping[str, str]
    versions: Mapping[str, str]
    """Content hash of each file in ``int8/``, and versions of the packages that made it."""

    measured: tuple[SizeRecord, ...] = ()
    """Validation by window size; empty in older bundles: the patch size alone."""

    @property
    def validated_sizes(self) -> tuple[int, ...]:
        """Sides of windows, in pixels, at which int8 may replace float32."""
        if self.measured:
            return tuple(each.size for each in self.measured if each.holds)
        return () if self.forced else (self.patch_size,)

    @classmethod
    def parse(cls, content: object) -> Self:
        """The record of a bundle, or ValueError if an entry is missing, unknown or wrong."""
        own = Fields(content, "quantized")
        hashes = Fields(own.value("sha256"), "quantized.sha256")
        versions = Fields(own.value("versions"), "quantized.versions")
        refuse_unknown(own.entries, {each.name for each in fields(cls)})
        refuse_unknown(hashes.entries, set(INT8_FILES))
        measured = own.items("measured") if own.has("measured") else ()
        return cls(
            **_accuracy(own),
            validation_patches=own.whole("validation_patches", 0, 2**53),
            samples=own.whole("samples", 0, 2**53),
            forced=own.flag("forced"),
            patch_size=own.whole("patch_size", 1, MAX_SIZE_PX),
            any_size=own.flag("any_size"),
            sha256={name: hashes.text(name) for name in INT8_FILES},
            versions={name: versions.text(name) for name in versions.entries},
            measured=tuple(map(SizeRecord.parse, measured)),
        )


@dataclass(frozen=True, kw_only=True)
class Normalisation:
    """Mean and standard deviation by band: a network takes ``(value - mean) / std``."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    """Mean and standard deviation by band, in units of the file; the latter never 0."""

    @classmethod
    def from_statistics(cls, statistics: Mapping[str, Any]) -> Self:
        """From the statistics of a patch set; a constant band is only centred."""
        std = tuple(value if value > 0 else 1.0 for value in statistics["std"])
        return cls(mean=tuple(statistics["mean"]), std=std)


@dataclass(frozen=True, kw_only=True)
class ModelBundle:
    """Input, classes and history of a network; the weights are in the same folder."""

    arch: str
    encoder: str
    """Architecture and encoder, smp's names."""

    legend: Legend

    bands: int
    band_names: tuple[str, ...]
    """Number of input bands, and their names in training."""

    dtype: str
    value_range: tuple[float, float]
    """Type of the training pixels, numpy's name, and their 2nd and 98th percentile."""

    normalisation: Normalisation

    patch_size: int
    gsd: float | None
    """Side in pixels, and metres per pixel if known, of the training patches."""

    sizes: tuple[int, ...] | None = None
    """Sides of windows that the network takes, in pixels; empty: every multiple of
    `SIZE_MULTIPLE_PX` from the patch size on; None: unknown, as in older bundles."""

    onnx: Activation | None = None
    """Of an imported ONNX network; None: the network is smp's, whose outputs are logits."""

    temperature: float = 1.0
    """Divisor of the logits that makes probabilities of scores; 1: none, as in older bundles."""

    thresholds: Mapping[str, float] | None = None
    """Scores from which on classes are best taken, by name; None: not looked for."""

    training: Mapping[str, Any] = field(default_factory=dict)
    """Options and metrics of the training."""

    quantized: Int8Record | None = None
    """Validation record of the int8 network, if there is one."""

    folder: Path | None = None
    """Folder that it was loaded from."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read and check a bundle.

        Raises:
            BundleError: If a file is missing or damaged.
        """
        if not folder.is_dir():
            raise BundleError(f"{folder}: no such folder; a model is RUN/model of `geoseg train`")
        _require(folder, RECORD)
        try:
            content = read_object(folder / RECORD)
            _require(folder, *((ONNX,) if content.get("onnx") else (CONFIG, WEIGHTS)))
            if (found := content.get("format")) != FORMAT or isinstance(found, bool):
                raise BundleError(f"{folder}: format {found!r}, this geoseg reads {FORMAT}")
            bundle = cls(**_checked(content), folder=folder)
            expected = Fields(content).text("weights_sha256")
        except RECORD_ERRORS as error:
            raise BundleError(f"{folder}: {RECORD} is damaged: {error}") from error
        try:
            if bundle.weights_sha256 != expected:
                name = bundle.weights_name
                raise BundleError(f"{folder}: {name} is damaged or of another model")
        except OSError as error:
            raise BundleError(f"{error.filename}: cannot be read: {error.strerror}") from error
        if bundle.onnx is None:
            _check_config(folder, classes=len(bundle.legend), bands=bundle.bands)
            _check_weights(folder, classes=len(bundle.legend))
        _ = bundle.training_ground
        return bundle

    def write_record(self, folder: Path) -> None:
        """Write ``geoseg.json`` beside the weights."""
        content = self._content()
        content["weights_sha256"] = file_sha256(folder / self.weights_name)
        write_text(folder / RECORD, json.dumps(content, indent=1) + "\n")

    def check_record(self) -> None:
        """Refuse, by BundleError, a record that `load` would not accept."""
        try:
            _checked(json.loads(json.dumps(self._content())))
        except RECORD_ERRORS as error:
            raise BundleError(f"such a model cannot be loaded: {error}") from error

    def _repr_html_(self) -> str:
        """Network, input and classes, for notebooks."""
        from geoseg.labels.style import card, iou_rows

        side = f"patches of {self.patch_size} px" + (f" of {self.gsd:.3g} m" if self.gsd else "")
        facts = [f"{self.bands} bands: {', '.join(self.band_names[:8])}", side]
        rows = iou_rows(self.training.get("best_epoch") or {}) or [
            {"class": name} for name in self.legend.names
        ]
        return card(f"{self.arch} on {self.encoder}", facts, rows=rows, legend=self.legend)

    def _content(self) -> dict[str, Any]:
        """Content of ``geoseg.json``, without the hash of the weights."""
        content = asdict(self) | {"format": FORMAT, "legend": self.legend.to_dict()}
        absent = {name for name in OPTIONAL if content[name] is None}
        return {name: value for name, value in content.items() if name not in {"folder", *absent}}

    @cached_property
    def training_ground(self) -> TrainingGround | None:
        """Training ground, or None if unknown; BundleError if its file is damaged."""
        return None if self.folder is None else TrainingGround.read(self.folder)

    @cached_property
    def weights_sha256(self) -> str:
        """Content hash of the weights."""
        if self.folder is None:
            raise ValueError("a bundle that was not loaded has no weights")
        return file_sha256(self.folder / self.weights_name)

    @property
    def weights_name(self) -> str:
        """Name of the file with the weights."""
        return WEIGHTS if self.onnx is None else ONNX

    def require_torch(self, otherwise: str) -> None:
        """Refuse, by BundleError, an imported ONNX network where torch's is needed."""
        if self.onnx is not None:
            raise BundleError(
                f"{self.folder}: was imported from an ONNX file and has no network of torch: "
                f"{otherwise}"
            )

    def accepts_size(self, size: int) -> bool:
        """Whether the network certainly takes windows of a size, in pixels."""
        if self.sizes:
            return size in self.sizes
        fits = size == self.patch_size or (size > self.patch_size and size % SIZE_MULTIPLE_PX == 0)
        return self.sizes is not None and fits

    def check_size(self, size: int) -> None:
        """Refuse, by BundleError, a size in pixels that the network certainly does not take."""
        if self.sizes and size not in self.sizes:
            raise BundleError(self.size_message(size, self.sizes))

    def size_message(self, size: int, possible: Sequence[int]) -> str:
        """Message about a size of windows that the network does not take, and possible ones."""
        sides = " or ".join(f"--patch-size {each}" for each in possible[:4])
        return (
            f"{self.folder}: {self.arch} with {self.encoder} does not take windows of {size} px"
            + (f"; choose {sides}" if possible else "")
        )

    def int8_folder(self, size: int) -> Path:
        """Folder of the int8 network, which must take windows of a size in pixels.

        Raises:
            BundleError: If it is missing or damaged, or does not take that size.
        """
        if self.folder is None or self.quantized is None:
            raise BundleError(
                f"{self.folder}: has no int8 network; `geoseg quantize` makes one, or choose "
                f"another --precision"
            )
        folder = self.folder / INT8
        if not has_files(folder, self.quantized.sha256, self.folder / RECORD):
            raise BundleError(
                f"{folder}: is damaged; recreate it with `geoseg quantize --overwrite`"
            )
        if size != self.quantized.patch_size and not self.quantized.any_size:
            raise BundleError(
                f"{folder}: takes windows of {self.quantized.patch_size} px only, not {size}; "
                f"use that with --patch-size, or choose another --precision"
            )
        return folder


def _checked(content: dict[str, Any]) -> dict[str, Any]:
    """Entries of a record by the names of a bundle's fields, or one of `RECORD_ERRORS`."""
    known = {each.name for each in fields(ModelBundle)} - {"folder"}
    refuse_unknown(content, known | {"format", "weights_sha256"})
    own = Fields(content)
    bands = own.whole("bands", 1, MAX_BANDS)
    low, high = own.numbers("value_range", 2, -FLOAT64_MAX, FLOAT64_MAX)
    if low > high:
        raise ValueError(f"value_range falls: {low:g} to {high:g}")
    if (dtype := own.text("dtype")) not in PIXEL_TYPES:
        raise ValueError(f"dtype is one of {', '.join(PIXEL_TYPES)}, got {dtype[:40]!r}")
    normalisation = Fields(own.value("normalisation"), "normalisation")
    return {
        "arch": own.text("arch"),
        "encoder": own.text("encoder"),
        "legend": Legend.from_dict(own.table("legend")),
        "bands": bands,
        "band_names": own.texts("band_names", bands),
        "dtype": dtype,
        "value_range": (low, high),
        "normalisation": Normalisation(
            mean=normalisation.numbers("mean", bands, -FLOAT32_MAX, FLOAT32_MAX),
            std=normalisation.numbers("std", bands, MIN_STD, FLOAT32_MAX),
        ),
        "patch_size": own.whole("patch_size", 1, MAX_SIZE_PX),
        "gsd": own.number("gsd", MIN_GSD_M, FLOAT32_MAX) if own.has("gsd") else None,
        "sizes": _sizes(own) if own.has("sizes") else None,
        "onnx": _activation(own.text("onnx")) if own.has("onnx") else None,
        "temperature": own.number("temperature", *TEMPERATURES) if own.has("temperature") else 1.0,
        "thresholds": _thresholds(own.table("thresholds")) if own.has("thresholds") else None,
        "training": own.table("training") if own.has("training") else {},
        "quantized": Int8Record.parse(own.value("quantized")) if own.has("quantized") else None,
    }


def _thresholds(entries: dict[str, Any]) -> dict[str, float]:
    own = Fields(entries, "thresholds")
    return {name: own.number(name, MIN_THRESHOLD, 1 - MIN_THRESHOLD) for name in entries}


def _activation(name: str) -> str:
    if name not in get_args(Activation):
        raise ValueError(f"onnx is one of {', '.join(get_args(Activation))}, got {name[:40]!r}")
    return name


def _require(folder: Path, *names: str) -> None:
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise BundleError(f"{folder}: no complete model bundle, {', '.join(missing)} missing")


def _sizes(own: Fields) -> tuple[int, ...]:
    sizes = own.items("sizes")
    if not all(type(size) is int and 1 <= size <= MAX_SIZE_PX for size in sizes):
        raise ValueError(f"sizes is a list of whole numbers in 1..{MAX_SIZE_PX}")
    return tuple(sorted(set(sizes)))


def bundle_folders(path: Path) -> list[Path]:
    """Bundles below a path: the path itself, the bundle of a run, or those of its folds.

    Any other folder is returned as it is: loading it reports what is missing.
    """
    if (path / RECORD).is_file():
        return [path]
    if (path / "model" / RECORD).is_file():
        return [path / "model"]
    folds = [each.parent for each in path.glob("fold*/model/" + RECORD)]
    return sorted(folds, key=lambda each: (len(each.parent.name), each.parent.name)) or [path]


def _check_config(folder: Path, *, classes: int, bands: int) -> None:
    """Check that ``config.json`` describes a network for these classes and bands."""
    try:
        config = Fields(read_object(folder / CONFIG))
        config.text("_model_class")
        for what, key, expected in (
            ("classes", "classes", classes),
            ("bands", "in_channels", bands),
        ):
            found = config.whole(key, 1, 2**31) if config.has(key) else expected
            if found != expected:
                raise BundleError(
                    f"{folder}: the network has {found} {what}, geoseg.json describes {expected}: "
                    f"one of its files is of another model"
                )
    except (ValueError, TypeError) as error:
        raise BundleError(f"{folder}: {CONFIG} is damaged: {error}") from error


def _check_weights(folder: Path, *, classes: int) -> None:
    """Check that the weights are complete, finite, and of so many classes."""
    shapes = read_shapes(folder)
    heads = {int(found[1]): key for key in shapes if (found := HEAD.fullmatch(key))}
    head = shapes[heads[max(heads)]] if heads else ()
    if len(head) == 4 and head[0] != classes:  # noqa: PLR2004 a convolution
        raise BundleError(
            f"{folder}: the network has {head[0]} classes, the legend of geoseg.json {classes}: "
            f"one of its files is of another model"
        )
    with _open_weights(folder) as file:
        for key in shapes:
            known = file.get_slice(key).get_dtype() in ("F16", "F32", "F64")  # of numpy's too
            if known and not np.isfinite(file.get_tensor(key)).all():
                raise BundleError(
                    f"{folder}: {key} in {WEIGHTS} has values that are not finite (NaN or "
                    f"infinite): the training diverged; train again, with a lower --lr or --clip 1"
                )


def read_shapes(folder: Path) -> Shapes:
    """Shapes of all weights, from the header of their file; BundleError if it is damaged."""
    with _open_weights(folder) as file:
        return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118 not a dictionary


@contextmanager
def _open_weights(folder: Path) -> Iterator[Any]:
    try:
        with safe_open(folder / WEIGHTS, framework="np") as file:
            yield file
    except (SafetensorError, OSError, ValueError) as error:
        raise BundleError(f"{folder}: {WEIGHTS} is damaged: {error}") from error
