"""The model bundle: a folder that carries all that training knew and prediction needs.

```
model/
  config.json         smp's own: `smp.from_pretrained(folder)` opens the folder
  model.safetensors   the weights
  geoseg.json         bands, normalisation, GSD, patch size, legend, training summary
  ground.json         where it was trained: windows of every source, by split
  int8/               the quantised network, once `geoseg quantize` has been there
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
from geoseg.model.cache import CONFIG, MAX_BANDS, WEIGHTS, check_config, check_weights, file_sha256
from geoseg.patches.training_ground import TrainingGround
from geoseg.raster.atomic import write_text
from geoseg.raster.paths import check_component
from geoseg.raster.records import FLOAT32_MAX, FLOAT64_MAX, Fields, read_object, refuse_unknown
from geoseg.text import short_list

RECORD = "geoseg.json"

INT8 = "int8"

INT8_FILES = ("model.xml", "model.bin")

FORMAT = 1

MULTIPLE = 32
"""Sides that nearly every network can take are multiples of this, in pixels."""

LARGEST = 1024
"""Side of the largest window that a prediction chooses by itself, in pixels, hanging over aside."""

MAX_SIZE = 16_384
"""Side of a window, in pixels: a larger one of three bands alone takes 3 GB."""

LOWEST_STD, LOWEST_GSD = 1e-30, 1e-9
"""Normal numbers in float32, so that dividing by them gives finite ones."""

PIXEL_TYPES = (
    *("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
    *("float16", "float32", "float64"),
)
"""numpy's names of the types that orthophotos have."""

GSD_TOLERANCE = 0.2
"""Share by which the GSD of an orthophoto may differ from the model's."""


@dataclass(frozen=True, kw_only=True)
class Normalisation:
    """How pixel values become what the network was trained on: ``(value - mean) / std``."""

    mean: tuple[float, ...]
    """Per band, in units of the file."""

    std: tuple[float, ...]
    """Per band, in units of the file; never 0."""

    @classmethod
    def from_statistics(cls, statistics: Mapping[str, Any]) -> Self:
        """From the mean and std of a patch set; a constant band is left as it is."""
        std = tuple(value if value > 0 else 1.0 for value in statistics["std"])
        return cls(mean=tuple(statistics["mean"]), std=std)


@dataclass(frozen=True, kw_only=True)
class SizeProof:
    """What the quantised network is worth with windows of one size."""

    size: int
    """Side of the windows, in pixels."""

    agreement: float
    """Share of the pixels that have the class of float32."""

    miou_fp32: float
    """Mean IoU of float32 on the same ground."""

    miou_int8: float
    """Mean IoU of the quantised network."""

    holds: bool
    """Whether it loses no more than it may."""


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """The proof of what the quantised network of a bundle is worth."""

    agreement: float
    """Share of the pixels of the validation patches that have the class of float32."""

    miou_fp32: float
    """Mean IoU of float32 on the validation patches."""

    miou_int8: float
    """Mean IoU of the quantised network on them."""

    validation_patches: int
    """How many there were."""

    samples: int
    """Training patches that it was calibrated with."""

    forced: bool
    """Whether the user wanted it although it loses more than it may."""

    patch_size: int
    """Side of the patches, in pixels."""

    any_size: bool
    """Whether the network takes windows of other sizes as well."""

    sha256: Mapping[str, str]
    """Content hash of each file in ``int8/``."""

    versions: Mapping[str, str]
    """Of the packages that made it."""

    measured: tuple[SizeProof, ...] = ()
    """Of each size of windows that was measured; empty, as of older ones: the patch size alone."""

    @property
    def proven_sizes(self) -> tuple[int, ...]:
        """Sides of windows, in pixels, for which the network is known to be good enough."""
        if self.measured:
            return tuple(each.size for each in self.measured if each.holds)
        return () if self.forced else (self.patch_size,)


@dataclass(frozen=True, kw_only=True)
class ModelBundle:
    """What a network expects and means; its weights are beside it."""

    arch: str
    """smp's name of the architecture."""

    encoder: str
    """smp's name of the encoder."""

    legend: Legend
    """The classes that it scores, in order."""

    bands: int
    """Bands that it takes."""

    band_names: tuple[str, ...]
    """What they were in training."""

    dtype: str
    """numpy's name of the type of the training pixels."""

    value_range: tuple[float, float]
    """2nd and 98th percentile of the training pixels, over all bands."""

    normalisation: Normalisation
    """Of its input."""

    patch_size: int
    """Side of the training patches, in pixels."""

    gsd: float | None
    """Metres per pixel of the training orthophotos; None without georeference."""

    sizes: tuple[int, ...] | None = None
    """Sides of windows that the network takes, in pixels; empty: every multiple of `MULTIPLE` from
    the patch size on; None: not known, as of bundles that do not say it."""

    training: Mapping[str, Any] = field(default_factory=dict)
    """How it was trained and how well it did."""

    quantized: Quantized | None = None
    """What is known of the quantised network; None: there is none."""

    folder: Path | None = None
    """Where it was loaded from."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the record of a bundle and see that it is whole.

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
        """Write ``geoseg.json`` beside weights that are already there."""
        content = self._content()
        content["weights_sha256"] = file_sha256(folder / WEIGHTS)
        write_text(folder / RECORD, json.dumps(content, indent=1) + "\n")

    def check_record(self) -> None:
        """See that `load` will take what is written of it.

        Raises:
            BundleError: If it will not.
        """
        try:
            _checked(json.loads(json.dumps(self._content())))
        except (ValueError, LookupError, TypeError, AttributeError, LegendError) as error:
            raise BundleError(f"such a model cannot be loaded: {error}") from error

    def _content(self) -> dict[str, Any]:
        """What is written of it, but for the hash of the weights."""
        content = asdict(self) | {"format": FORMAT, "legend": self.legend.to_dict()}
        del content["folder"]
        for name in ("quantized", "sizes"):
            if getattr(self, name) is None:
                del content[name]
        return content

    @cached_property
    def training_ground(self) -> TrainingGround | None:
        """Where it was trained; None if that is not known.

        Raises:
            BundleError: If what it says of it is damaged.
        """
        return None if self.folder is None else TrainingGround.read(self.folder)

    @cached_property
    def weights_sha256(self) -> str:
        """Content hash of the weights."""
        if self.folder is None:
            raise ValueError("a bundle that was not loaded has no weights")
        return file_sha256(self.folder / WEIGHTS)

    def surely_takes(self, size: int) -> bool:
        """Whether the network is known to take windows of a size, in pixels."""
        if self.sizes:
            return size in self.sizes
        fits = size == self.patch_size or (size > self.patch_size and size % MULTIPLE == 0)
        return self.sizes is not None and fits

    def check_size(self, size: int) -> None:
        """See that windows of a size are not known to be impossible.

        Raises:
            BundleError: If they are.
        """
        if self.sizes and size not in self.sizes:
            raise BundleError(self.wrong_size(size, self.sizes))

    def wrong_size(self, size: int, possible: Sequence[int]) -> str:
        """What is said of windows that the network does not take.

        Args:
            size: Their side, in pixels.
            possible: Sides that it takes; none if none is known.
        """
        sides = " or ".join(f"--patch-size {each}" for each in possible[:4])
        return (
            f"{self.folder}: {self.arch} with {self.encoder} does not take windows of {size} px"
            + (f"; choose {sides}" if possible else "")
        )

    def int8_folder(self, size: int) -> Path:
        """Where the quantised network is.

        Args:
            size: Side of the windows that it is to take, in pixels.

        Raises:
            BundleError: If there is none, it is damaged, or does not take that size.
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
                f"{folder}: is damaged; make it again with `geoseg quantize --overwrite`"
            )
        if size != self.quantized.patch_size and not self.quantized.any_size:
            raise BundleError(
                f"{folder}: takes windows of {self.quantized.patch_size} px only, not {size}; "
                f"give them with --patch-size, or choose another --precision"
            )
        return folder

    def check_bands(
        self, bands: int, where: Path, advice: str = "choose them with --bands"
    ) -> None:
        """See that an orthophoto has as many bands as the model takes.

        Args:
            bands: How many there are.
            where: The orthophoto, or what else has them.
            advice: The way out.

        Raises:
            BundleError: If it has not.
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
        """See that an orthophoto's GSD is near the model's; unknown ones pass.

        Args:
            gsd: Metres per pixel.
            where: The orthophoto, or what else has it.
            advice: The way out.

        Raises:
            BundleError: If they differ by more than `GSD_TOLERANCE`.
        """
        if gsd and self.gsd and abs(gsd / self.gsd - 1) > GSD_TOLERANCE:
            raise BundleError(
                f"{where}: GSD is {gsd:.3g} m/px, the model was trained at {self.gsd:.3g} m/px; "
                f"{advice}"
            )

    def check_values(self, sample: NDArray[Any], where: Path) -> None:
        """See that values of another type than the training's lie in the same range.

        Args:
            sample: (n,) valid values of an orthophoto.
            where: Its path, for the message.

        Raises:
            BundleError: If most are far outside, or fill only a fraction of the range.
        """
        if sample.dtype.name == self.dtype or not sample.size:
            return
        low, high = self.value_range
        reach = float(np.percentile(sample, 98)) - low
        span = max(high - low, 1e-9)
        if not 0.1 < reach / span < 4:  # noqa: PLR2004 a brighter or darker scene, no other scale
            raise BundleError(
                f"{where}: values of {sample.dtype.name} reach {low + reach:.4g}, the model was "
                f"trained on {self.dtype} from {low:.4g} to {high:.4g}; rescale the orthophoto, "
                f"for example with `gdal_translate -scale`"
            )


def _checked(content: dict[str, Any]) -> dict[str, Any]:
    """The entries of a record, by the names of a bundle's fields.

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
            std=normalisation.numbers("std", bands, LOWEST_STD, FLOAT32_MAX),
        ),
        "patch_size": own.whole("patch_size", 1, MAX_SIZE),
        "gsd": own.number("gsd", LOWEST_GSD, FLOAT32_MAX) if own.has("gsd") else None,
        "sizes": _sizes(own) if own.has("sizes") else None,
        "training": own.table("training") if own.has("training") else {},
        "quantized": _quantized(own.value("quantized")) if own.has("quantized") else None,
    }


def _sizes(own: Fields) -> tuple[int, ...]:
    sizes = own.items("sizes")
    if not all(type(size) is int and 1 <= size <= MAX_SIZE for size in sizes):
        raise ValueError(f"sizes is a list of whole numbers in 1..{MAX_SIZE}")
    return tuple(sorted(set(sizes)))


def _pixel_type(name: str) -> str:
    """Numpy's name of a type that pixels have."""
    if name not in PIXEL_TYPES:
        raise ValueError(f"dtype is one of {', '.join(PIXEL_TYPES)}, got {name[:40]!r}")
    return name


def _quantized(content: object) -> Quantized:
    """The proof of a quantised network.

    Raises:
        ValueError: If an entry is missing, unknown or wrong.
    """
    own = Fields(content, "quantized")
    hashes = Fields(own.value("sha256"), "quantized.sha256")
    versions = Fields(own.value("versions"), "quantized.versions")
    refuse_unknown(own.entries, {each.name for each in fields(Quantized)})
    refuse_unknown(hashes.entries, set(INT8_FILES))
    return Quantized(
        agreement=own.number("agreement", 0, 1),
        miou_fp32=own.number("miou_fp32", 0, 1),
        miou_int8=own.number("miou_int8", 0, 1),
        validation_patches=own.whole("validation_patches", 0, 2**53),
        samples=own.whole("samples", 0, 2**53),
        forced=own.flag("forced"),
        patch_size=own.whole("patch_size", 1, MAX_SIZE),
        any_size=own.flag("any_size"),
        sha256={name: hashes.text(name) for name in INT8_FILES},
        versions={name: versions.text(name) for name in versions.entries},
        measured=tuple(map(_size_proof, own.items("measured") if own.has("measured") else ())),
    )


def _size_proof(content: object) -> SizeProof:
    own = Fields(content, "quantized.measured")
    refuse_unknown(own.entries, {each.name for each in fields(SizeProof)})
    return SizeProof(
        size=own.whole("size", 1, MAX_SIZE),
        agreement=own.number("agreement", 0, 1),
        miou_fp32=own.number("miou_fp32", 0, 1),
        miou_int8=own.number("miou_int8", 0, 1),
        holds=own.flag("holds"),
    )


def bundle_folders(path: Path) -> list[Path]:
    """The bundles that a path means: one, that of a run, or those of all folds of a run.

    A folder of none of these is given back as it is: loading it says what is missing.
    """
    if (path / RECORD).is_file():
        return [path]
    if (path / "model" / RECORD).is_file():
        return [path / "model"]
    folds = [each.parent for each in path.glob("fold*/model/" + RECORD)]
    return sorted(folds, key=lambda each: (len(each.parent.name), each.parent.name)) or [path]
