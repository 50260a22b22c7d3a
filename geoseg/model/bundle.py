"""The model bundle: a folder with everything that training knew and prediction needs.

```
model/
  config.json         smp's own: `smp.from_pretrained(folder)` opens the folder
  model.safetensors   the weights
  geoseg.json         bands, normalisation, GSD, patch size, legend, training summary
  ground.json         training ground: windows of every source, by split
  int8/               the quantised network, after `geoseg quantize`
```
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import BundleError, LegendError
from geoseg.labels.legend import Legend
from geoseg.model.bundle_files import (
    CONFIG,
    INT8,
    MAX_BANDS,
    MAX_SIZE_PX,
    RECORD,
    WEIGHTS,
    Int8Record,
    check_config,
    check_weights,
    file_sha256,
)
from geoseg.patches.training_ground import TrainingGround
from geoseg.raster.atomic import write_text
from geoseg.raster.paths import check_component
from geoseg.raster.records import FLOAT32_MAX, FLOAT64_MAX, Fields, read_object, refuse_unknown
from geoseg.text import short_list

FORMAT = 1
"""Version of the record."""

SIZE_MULTIPLE_PX = 32
"""Divisor of the window sides that nearly every network takes, in pixels."""

MAX_AUTO_SIZE_PX = 1024
"""Side of the largest window that a prediction chooses by itself, in pixels, overhang aside."""

MIN_STD, MIN_GSD_M = 1e-30, 1e-9
"""Lower bounds of divisors: normal numbers in float32, so that quotients are finite."""

PIXEL_TYPES = (
    *("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
    *("float16", "float32", "float64"),
)
"""numpy's names of the pixel types of orthophotos."""

GSD_TOLERANCE = 0.2
"""Tolerated difference between the GSD of orthophoto and model, as a share."""


@dataclass(frozen=True, kw_only=True)
class Normalisation:
    """Mean and standard deviation by band: a network takes ``(value - mean) / std``."""

    mean: tuple[float, ...]
    """Mean by band, in units of the file."""

    std: tuple[float, ...]
    """Standard deviation by band, in units of the file; never 0."""

    @classmethod
    def from_statistics(cls, statistics: Mapping[str, Any]) -> Self:
        """From the statistics of a patch set; a constant band is only centred."""
        std = tuple(value if value > 0 else 1.0 for value in statistics["std"])
        return cls(mean=tuple(statistics["mean"]), std=std)


@dataclass(frozen=True, kw_only=True)
class ModelBundle:
    """Input, classes and history of a network; the weights are in the same folder."""

    arch: str
    """Architecture, smp's name."""

    encoder: str
    """Encoder, smp's name."""

    legend: Legend
    """Classes of its scores, in order."""

    bands: int
    """Number of input bands."""

    band_names: tuple[str, ...]
    """Names of the bands in training."""

    dtype: str
    """Type of the training pixels, numpy's name."""

    value_range: tuple[float, float]
    """2nd and 98th percentile of the training pixels, over all bands."""

    normalisation: Normalisation
    """Normalisation of the input."""

    patch_size: int
    """Side of the training patches, in pixels."""

    gsd: float | None
    """Metres per pixel of the training orthophotos; None without georeference."""

    sizes: tuple[int, ...] | None = None
    """Sides of windows that the network takes, in pixels; empty: every multiple of
    `SIZE_MULTIPLE_PX` from the patch size on; None: unknown, as in older bundles."""

    training: Mapping[str, Any] = field(default_factory=dict)
    """Options and metrics of the training."""

    quantized: Int8Record | None = None
    """Validation record of the int8 network; None: there is none."""

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
        if missing := [n for n in (RECORD, CONFIG, WEIGHTS) if not (folder / n).is_file()]:
            raise BundleError(f"{folder}: no complete model bundle, {', '.join(missing)} missing")
        try:
            content = read_object(folder / RECORD)
            if (found := content.get("format")) != FORMAT or isinstance(found, bool):
                raise BundleError(f"{folder}: format {found!r}, this geoseg reads {FORMAT}")
            bundle = cls(**_checked(content), folder=folder)
            expected = Fields(content).text("weights_sha256")
        except (ValueError, LookupError, TypeError, AttributeError, LegendError) as error:
            raise BundleError(f"{folder}: {RECORD} is damaged: {error}") from error
        try:
            if bundle.weights_sha256 != expected:
                raise BundleError(f"{folder}: {WEIGHTS} is damaged or of another model")
        except OSError as error:
            raise BundleError(f"{folder}: {WEIGHTS} cannot be read: {error.strerror}") from error
        check_config(folder, classes=len(bundle.legend), bands=bundle.bands)
        check_weights(folder, classes=len(bundle.legend))
        _ = bundle.training_ground
        return bundle

    def write_record(self, folder: Path) -> None:
        """Write ``geoseg.json`` beside the weights."""
        content = self._content()
        content["weights_sha256"] = file_sha256(folder / WEIGHTS)
        write_text(folder / RECORD, json.dumps(content, indent=1) + "\n")

    def check_record(self) -> None:
        """Check that `load` would accept the record.

        Raises:
            BundleError: If it would not.
        """
        try:
            _checked(json.loads(json.dumps(self._content())))
        except (ValueError, LookupError, TypeError, AttributeError, LegendError) as error:
            raise BundleError(f"such a model cannot be loaded: {error}") from error

    def _content(self) -> dict[str, Any]:
        """Content of ``geoseg.json``, without the hash of the weights."""
        content = asdict(self) | {"format": FORMAT, "legend": self.legend.to_dict()}
        del content["folder"]
        for name in ("quantized", "sizes"):
            if getattr(self, name) is None:
                del content[name]
        return content

    @cached_property
    def training_ground(self) -> TrainingGround | None:
        """Training ground; None if unknown.

        Raises:
            BundleError: If its file is damaged.
        """
        return None if self.folder is None else TrainingGround.read(self.folder)

    @cached_property
    def weights_sha256(self) -> str:
        """Content hash of the weights."""
        if self.folder is None:
            raise ValueError("a bundle that was not loaded has no weights")
        return file_sha256(self.folder / WEIGHTS)

    def accepts_size(self, size: int) -> bool:
        """Whether the network certainly takes windows of a size, in pixels."""
        if self.sizes:
            return size in self.sizes
        fits = size == self.patch_size or (size > self.patch_size and size % SIZE_MULTIPLE_PX == 0)
        return self.sizes is not None and fits

    def check_size(self, size: int) -> None:
        """Refuse a size of windows that the network certainly does not take.

        Raises:
            BundleError: If the size is one.
        """
        if self.sizes and size not in self.sizes:
            raise BundleError(self.size_message(size, self.sizes))

    def size_message(self, size: int, possible: Sequence[int]) -> str:
        """Message about windows that the network does not take.

        Args:
            size: Side of the windows, in pixels.
            possible: Sides that it takes, if known.
        """
        sides = " or ".join(f"--patch-size {each}" for each in possible[:4])
        return (
            f"{self.folder}: {self.arch} with {self.encoder} does not take windows of {size} px"
            + (f"; choose {sides}" if possible else "")
        )

    def int8_folder(self, size: int) -> Path:
        """Folder of the int8 network.

        Args:
            size: Side of the windows that it must take, in pixels.

        Raises:
            BundleError: If it is missing or damaged, or does not take that size.
        """
        if self.folder is None or self.quantized is None:
            raise BundleError(
                f"{self.folder}: has no int8 network; `geoseg quantize` makes one, or choose "
                f"another --precision"
            )
        folder = self.folder / INT8
        try:
            whole = all(
                file_sha256(folder / check_component(name, self.folder / RECORD)) == expected
                for name, expected in self.quantized.sha256.items()
            )
        except OSError:
            whole = False
        if not whole:
            raise BundleError(
                f"{folder}: is damaged; recreate it with `geoseg quantize --overwrite`"
            )
        if size != self.quantized.patch_size and not self.quantized.any_size:
            raise BundleError(
                f"{folder}: takes windows of {self.quantized.patch_size} px only, not {size}; "
                f"use that with --patch-size, or choose another --precision"
            )
        return folder

    def check_bands(
        self, bands: int, where: Path, advice: str = "choose them with --bands"
    ) -> None:
        """Check the number of bands of an input.

        Args:
            bands: Number of bands.
            where: Path of the input, for the message.
            advice: What the user can do.

        Raises:
            BundleError: If the model takes another number.
        """
        if bands != self.bands:
            raise BundleError(
                f"{where}: has {bands} bands, the model takes {self.bands} "
                f"({short_list(self.band_names)}); {advice}"
            )

    def check_gsd(
        self,
        gsd: float | None,
        where: Path,
        advice: str = "resample to the model's GSD with --resample",
    ) -> None:
        """Check that the GSD of an input is near the model's; unknown ones pass.

        Args:
            gsd: Metres per pixel.
            where: Path of the input, for the message.
            advice: What the user can do.

        Raises:
            BundleError: If they differ by more than `GSD_TOLERANCE`.
        """
        if gsd and self.gsd and abs(gsd / self.gsd - 1) > GSD_TOLERANCE:
            raise BundleError(
                f"{where}: GSD is {gsd:.3g} m/px, the model was trained at {self.gsd:.3g} m/px; "
                f"{advice}"
            )

    def check_values(self, sample: NDArray[Any], where: Path) -> None:
        """Check that values of another pixel type lie in the range of the training's.

        Args:
            sample: (n,) valid values of an input.
            where: Path of the input, for the message.

        Raises:
            BundleError: If most are far outside, or fill only a fraction of the range.
        """
        if sample.dtype.name == self.dtype or not sample.size:
            return
        low, high = self.value_range
        reach = float(np.percentile(sample, 98)) - low
        span = max(high - low, 1e-9)
        if not 0.1 < reach / span < 4:  # noqa: PLR2004 allows darker and brighter scenes
            raise BundleError(
                f"{where}: values of {sample.dtype.name} reach {low + reach:.4g}, the model was "
                f"trained on {self.dtype} from {low:.4g} to {high:.4g}; rescale the orthophoto, "
                f"for example with `gdal_translate -scale`"
            )


def _checked(content: dict[str, Any]) -> dict[str, Any]:
    """Checked entries of a record, by the names of a bundle's fields.

    Raises:
        ValueError: If one is missing, unknown, or of a wrong type, length or size.
        LegendError: If the legend is wrong.
    """
    known = {each.name for each in fields(ModelBundle)} - {"folder"}
    refuse_unknown(content, known | {"format", "weights_sha256"})
    own = Fields(content)
    bands = own.whole("bands", 1, MAX_BANDS)
    low, high = own.numbers("value_range", 2, -FLOAT64_MAX, FLOAT64_MAX)
    if low > high:
        raise ValueError(f"value_range falls: {low:g} to {high:g}")
    normalisation = Fields(own.value("normalisation"), "normalisation")
    return {
        "arch": own.text("arch"),
        "encoder": own.text("encoder"),
        "legend": Legend.from_dict(own.table("legend")),
        "bands": bands,
        "band_names": own.texts("band_names", bands),
        "dtype": _pixel_type(own.text("dtype")),
        "value_range": (low, high),
        "normalisation": Normalisation(
            mean=normalisation.numbers("mean", bands, -FLOAT32_MAX, FLOAT32_MAX),
            std=normalisation.numbers("std", bands, MIN_STD, FLOAT32_MAX),
        ),
        "patch_size": own.whole("patch_size", 1, MAX_SIZE_PX),
        "gsd": own.number("gsd", MIN_GSD_M, FLOAT32_MAX) if own.has("gsd") else None,
        "sizes": _sizes(own) if own.has("sizes") else None,
        "training": own.table("training") if own.has("training") else {},
        "quantized": Int8Record.parse(own.value("quantized")) if own.has("quantized") else None,
    }


def _sizes(own: Fields) -> tuple[int, ...]:
    sizes = own.items("sizes")
    if not all(type(size) is int and 1 <= size <= MAX_SIZE_PX for size in sizes):
        raise ValueError(f"sizes is a list of whole numbers in 1..{MAX_SIZE_PX}")
    return tuple(sorted(set(sizes)))


def _pixel_type(name: str) -> str:
    """A checked pixel type, numpy's name."""
    if name not in PIXEL_TYPES:
        raise ValueError(f"dtype is one of {', '.join(PIXEL_TYPES)}, got {name[:40]!r}")
    return name


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
