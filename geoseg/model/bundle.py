"""The model bundle: a folder that carries all that training knew and prediction needs.

```
model/
  config.json         smp's own: `smp.from_pretrained(folder)` opens the folder
  model.safetensors   the weights
  geoseg.json         bands, normalisation, GSD, patch size, legend, training summary
  int8/               the quantised network, once `geoseg quantize` has been there
```
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.core.legend import Legend
from geoseg.errors import BundleError, LegendError
from geoseg.io.outputs import write_text
from geoseg.model.cache import file_sha256

RECORD = "geoseg.json"
CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INT8 = "int8"
FORMAT = 1

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
            content = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            if (found := content.pop("format", None)) != FORMAT:
                raise BundleError(f"{folder}: format {found}, this geoseg reads {FORMAT}")
            expected = content.pop("weights_sha256")
            bundle = cls(
                **content
                | {
                    "legend": Legend.from_dict(content["legend"]),
                    "normalisation": Normalisation(
                        mean=tuple(content["normalisation"]["mean"]),
                        std=tuple(content["normalisation"]["std"]),
                    ),
                    "band_names": tuple(content["band_names"]),
                    "value_range": tuple(content["value_range"]),
                    "quantized": _quantized(content.get("quantized")),
                    "folder": folder,
                }
            )
        except (ValueError, LookupError, TypeError, AttributeError, LegendError) as error:
            raise BundleError(f"{folder}: {RECORD} is damaged: {error!r}") from error
        if bundle.weights_sha256 != expected:
            raise BundleError(f"{folder}: {WEIGHTS} is damaged or of another model")
        return bundle

    def write_record(self, folder: Path) -> None:
        """Write ``geoseg.json`` beside weights that are already there."""
        content = asdict(self) | {"format": FORMAT, "legend": self.legend.to_dict()}
        del content["folder"]
        if self.quantized is None:
            del content["quantized"]
        content["weights_sha256"] = file_sha256(folder / WEIGHTS)
        write_text(folder / RECORD, json.dumps(content, indent=1) + "\n")

    @cached_property
    def weights_sha256(self) -> str:
        """Content hash of the weights."""
        if self.folder is None:
            raise ValueError("a bundle that was not loaded has no weights")
        return file_sha256(self.folder / WEIGHTS)

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
                file_sha256(folder / name) == expected
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

    def check_bands(self, bands: int, where: Path) -> None:
        """See that an orthophoto has as many bands as the model takes.

        Raises:
            BundleError: If it has not.
        """
        if bands != self.bands:
            raise BundleError(
                f"{where}: has {bands} bands, the model takes {self.bands} "
                f"({', '.join(self.band_names)}); choose them with --bands"
            )

    def check_gsd(self, gsd: float | None, where: Path) -> None:
        """See that an orthophoto's GSD is near the model's; unknown ones pass.

        Raises:
            BundleError: If they differ by more than `GSD_TOLERANCE`.
        """
        if gsd and self.gsd and abs(gsd / self.gsd - 1) > GSD_TOLERANCE:
            raise BundleError(
                f"{where}: GSD is {gsd:.3g} m/px, the model was trained at {self.gsd:.3g} m/px; "
                f"resample to the model's GSD with --resample"
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


def _quantized(content: Mapping[str, Any] | None) -> Quantized | None:
    return Quantized(**content) if content else None


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
