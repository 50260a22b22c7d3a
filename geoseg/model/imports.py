"""What imports of models of other programs have in common: options, legend, the bundle."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from geoseg.errors import BundleError
from geoseg.labels.legend import Legend
from geoseg.model.bundle import (
    MAX_BANDS,
    MAX_SIZE_PX,
    MIN_GSD_M,
    MIN_STD,
    ModelBundle,
    Normalisation,
)
from geoseg.model.mlm import write_bundle_item
from geoseg.model.segmenter import PIXEL_DIVISOR
from geoseg.options import decoder_channels_option, option
from geoseg.raster.atomic import staged
from geoseg.raster.folders import MODEL
from geoseg.raster.records import FLOAT32_MAX

PIXELS, CLASSES, NETWORK = "Pixels", "Classes", "Network"
"""Groups of options."""

TILE_PX = 512
"""Side of a window if nothing else is known, in pixels."""

BACKGROUND = "background"
"""Name of the class of what is not the only class of a network."""

COLOURS = ("red", "green", "blue")

NO_NORMALISATION = (
    "pass --mean and --std, as it was trained with (of ImageNet: --mean 0.485,0.456,0.406 --std "
    "0.229,0.224,0.225; none: --mean 0 --std 1)"
)


def parse_names(text: str) -> tuple[str, ...]:
    """Names between commas.

    >>> parse_names("building, road")
    ('building', 'road')
    """
    names = tuple(part.strip() for part in text.split(","))
    if not all(names):
        raise ValueError(f"{text!r} is no list of names such as building,road")
    return names


def parse_band_names(text: str) -> tuple[str, ...]:
    """Names of bands, or their number.

    >>> parse_band_names("red,nir"), parse_band_names("2"), parse_band_names("3")
    (('red', 'nir'), ('band 1', 'band 2'), ('red', 'green', 'blue'))
    """
    if not text.strip().isdecimal():
        return parse_names(text)
    count = int(text)
    if not 1 <= count <= MAX_BANDS:
        raise ValueError(f"{text} is no number of bands, 1 to {MAX_BANDS}")
    return names_of(count)


def names_of(bands: int) -> tuple[str, ...]:
    """Names of so many bands of which nothing is known."""
    if bands == len(COLOURS):
        return COLOURS
    return tuple(f"band {number}" for number in range(1, bands + 1))


def parse_numbers(text: str) -> tuple[float, ...]:
    """Numbers between commas.

    >>> parse_numbers("0.485,0.5")
    (0.485, 0.5)
    """
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = (float("nan"),)
    if not np.isfinite(found).all():
        raise ValueError(f"{text!r} is no list of numbers such as 0.485,0.456,0.406")
    return found


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """What a file of another program does not say of its model."""

    arch: str | None = option(
        None, group=NETWORK, help="Architecture of a state dict, smp's name: unet, fpn ..."
    )
    encoder: str | None = option(
        None, group=NETWORK, help="Encoder of a state dict, smp's name: resnet34 ..."
    )
    decoder_channels: str | None = decoder_channels_option(NETWORK, shown="full")
    activation: Literal["auto", "none", "softmax", "sigmoid"] = option(
        "auto", group=NETWORK, help="What makes probabilities of an ONNX file's outputs."
    )
    patch_size: int | None = option(
        None,
        min=32,
        max=MAX_SIZE_PX,
        group=NETWORK,
        shown=f"as the file says, else {TILE_PX}",
        help="Side of the tiles it was made for, in pixels.",
    )
    classes: tuple[str, ...] | None = option(
        None,
        group=CLASSES,
        metavar="NAME,NAME",
        parse=parse_names,
        help="Names of the classes, in the order of the network's channels.",
    )
    bands: tuple[str, ...] | None = option(
        None,
        group=PIXELS,
        metavar="N|NAME,NAME",
        parse=parse_band_names,
        help="Number of bands, or their names.",
    )
    gsd: float | None = option(
        None, min=MIN_GSD_M, group=PIXELS, help="Metres per pixel that it was trained at."
    )
    dtype: Literal["uint8", "uint16", "int16", "float32"] = option(
        "uint8", group=PIXELS, help="Type of the pixels that it was trained on."
    )
    divisor: float = option(
        PIXEL_DIVISOR,
        min=MIN_STD,
        group=PIXELS,
        help="What pixels are divided by before --mean and --std.",
    )
    mean: tuple[float, ...] | None = option(
        None,
        group=PIXELS,
        metavar="NUMBER,NUMBER",
        parse=parse_numbers,
        help="What is taken from each band then; one number: from all.",
    )
    std: tuple[float, ...] | None = option(
        None,
        group=PIXELS,
        metavar="NUMBER,NUMBER",
        parse=parse_numbers,
        help="What each band is divided by then.",
    )

    def normalisation(self, bands: int) -> Normalisation:
        """Mean and standard deviation of the bands, in units of the file.

        Raises:
            BundleError: If there are not as many numbers as bands, or a deviation is not above 0.
        """
        mean, std = (
            _each("--mean", self.mean or (0.0,), bands),
            _each("--std", self.std or (1.0,), bands),
        )
        own = Normalisation(
            mean=tuple(value * self.divisor for value in mean),
            std=tuple(value * self.divisor for value in std),
        )
        if min(own.std) < MIN_STD or max(map(abs, own.mean + own.std)) > FLOAT32_MAX:
            raise BundleError("--mean, --std: deviations are above 0, and numbers fit float32")
        return own


def _each(name: str, given: tuple[float, ...], bands: int) -> tuple[float, ...]:
    if len(given) not in {1, bands}:
        raise BundleError(f"{name}: has {len(given)} numbers, the model takes {bands} bands")
    return given * bands if len(given) == 1 else given


@dataclass(frozen=True, kw_only=True)
class ImportReport:
    """Result of an import."""

    bundle: ModelBundle
    notes: tuple[str, ...]
    """What the user should know."""


def legend_of(path: Path, legend: Legend | None, names: Sequence[str] | None, count: int) -> Legend:
    """The legend of a network of so many classes, of which some are named.

    Raises:
        BundleError: If they are not named, or another number is.
    """
    if legend is None:
        if names is None:
            raise BundleError(
                f"{path}: does not name its {count} classes; pass --classes NAME,NAME or --legend"
            )
        if len(names) == 1 and count == 2:  # noqa: PLR2004 it is, or is not
            names = (BACKGROUND, *names)
        legend = Legend.from_dict({"class": [{"name": name} for name in names]})
    if len(legend) != count:
        raise BundleError(
            f"{path}: has {count} classes, and {len(legend)} are named: {', '.join(legend.names)}"
        )
    return legend


def write_bundle(
    bundle: ModelBundle, folder: Path, write: Callable[[Path], None], *, overwrite: bool
) -> ModelBundle:
    """Write a bundle whose network a function puts into a folder, and load it.

    Raises:
        BundleError: If it is not one that can be loaded.
    """
    bundle.check_record()
    with staged(folder, overwrite=overwrite, kind=MODEL) as partial:
        partial.mkdir()
        write(partial)
        bundle.write_record(partial)
        write_bundle_item(replace(bundle, folder=partial))
        ModelBundle.load(partial)
    return ModelBundle.load(folder)
