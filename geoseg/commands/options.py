"""Options that several commands share: their names, helps and checks."""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from geoseg.errors import OutputConflictError
from geoseg.raster.folders import kept
from geoseg.raster.guard import Output, check_outputs

if TYPE_CHECKING:
    from geoseg.raster.units import Distance


def parse_bands(text: str) -> tuple[int, ...]:
    """Band numbers.

    >>> parse_bands("4,1,2")
    (4, 1, 2)
    """
    try:
        bands = tuple(int(part) for part in text.split(","))
    except ValueError:
        bands = ()
    if not bands or min(bands) < 1:
        raise typer.BadParameter(f"{text!r} is no list of band numbers such as 1,2,3")
    return bands


def parse_nodata(text: str) -> float | Literal["none"]:
    """A nodata value, or "none" for the wish that every value be data.

    >>> parse_nodata("-9999"), parse_nodata("none")
    (-9999.0, 'none')
    """
    if text.lower() == "none":
        return "none"
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither a number nor none") from None


def parse_count(text: str) -> int | Literal["auto"]:
    """A number of things, or "auto".

    >>> parse_count("4"), parse_count("auto")
    (4, 'auto')
    """
    if text.lower() == "auto":
        return "auto"
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise typer.BadParameter(f"{text!r} is neither a number from 1 nor auto")


def parse_rate(text: str) -> float | Literal["auto"]:
    """A learning rate, or "auto".

    >>> parse_rate("1e-3"), parse_rate("auto")
    (0.001, 'auto')
    """
    if text.lower() == "auto":
        return "auto"
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
        raise typer.BadParameter(f"{text!r} is neither a number above 0 nor auto")
    return rate


LOGGERS = ("csv", "tensorboard", "mlflow", "wandb")


def parse_loggers(text: str) -> tuple[str, ...]:
    """Names of loggers.

    >>> parse_loggers("csv,tensorboard")
    ('csv', 'tensorboard')
    """
    names = tuple(part.strip() for part in text.split(","))
    if unknown := [name for name in names if name not in LOGGERS]:
        raise typer.BadParameter(f"{unknown[0]!r} is unknown; known are {', '.join(LOGGERS)}")
    return names


UNITS = {"B": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def parse_size(text: str) -> int:
    """A number of bytes; a number without its unit could be any.

    >>> parse_size("500MB"), parse_size("1.5g")
    (500000000, 1500000000)
    """
    found = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*(?:([KMGT])B?|(B))?", text.strip().upper())
    if found is not None and found[2] is found[3] is None and float(found[1]):
        raise typer.BadParameter(f"{text!r} has no unit; write {found[1]}MB or {found[1]}GB")
    if found is None or not (size := round(float(found[1]) * UNITS[found[2] or found[3] or "B"])):
        raise typer.BadParameter(f"{text!r} is no size such as 500MB or 2GB")
    return size


def parse_distance(text: str) -> "Distance":
    """A length in pixels (the unit may be left out) or in metres on the ground.

    >>> str(parse_distance("2")), str(parse_distance("1.5 m"))
    ('2px', '1.5m')
    """
    from geoseg.raster.units import Distance

    found = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*(px|m|)", text.strip().lower())
    if found is None or not float(found[1]):
        raise typer.BadParameter(f"{text!r} is no distance such as 2px or 1.5m")
    return Distance(float(found[1]), "m" if found[2] == "m" else "px")


def parse_bounds(text: str) -> tuple[float, float, float, float]:
    """``(x_min, y_min, x_max, y_max)``.

    >>> parse_bounds("1,2,3.5,4")
    (1.0, 2.0, 3.5, 4.0)
    """
    try:
        x_min, y_min, x_max, y_max = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no XMIN,YMIN,XMAX,YMAX") from None
    if not all(map(math.isfinite, (x_min, y_min, x_max, y_max))):
        raise typer.BadParameter(f"{text!r}: bounds are finite numbers")
    if not (x_min < x_max and y_min < y_max):
        raise typer.BadParameter(f"{text!r}: minima come before maxima: XMIN,YMIN,XMAX,YMAX")
    return x_min, y_min, x_max, y_max


def parse_part(text: str) -> tuple[int, int]:
    """One of several parts, from 1.

    >>> parse_part("2/8")
    (2, 8)
    """
    found = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise typer.BadParameter(f"{text!r} is no part such as 2/8")
    return int(found[1]), int(found[2])


SECONDS = {"s": 1, "m": 60, "h": 3600}


def parse_duration(text: str) -> float:
    """Seconds; a number without its unit could be any.

    >>> parse_duration("10m"), parse_duration("1.5h"), parse_duration("90s")
    (600.0, 5400.0, 90.0)
    """
    found = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*([smh]?)", text.strip().lower())
    if found is not None and not found[2] and float(found[1]):
        number = found[1]
        raise typer.BadParameter(
            f"{text!r} has no unit; write {number}s, {number}m or {number}h, for seconds, minutes "
            f"or hours"
        )
    if found is None or not (seconds := float(found[1]) * SECONDS.get(found[2], 0)):
        raise typer.BadParameter(f"{text!r} is no time such as 90s, 10m or 1.5h")
    return seconds


TIFF = (".tif", ".tiff")
"""Endings of the rasters that are written."""

ONLY_POLYGONS = "polygons"
"""For ``--labelled-areas``: nothing but the polygons of a reference is labelled."""

LegendName = Annotated[
    str,
    typer.Option(
        "--legend",
        "-l",
        help="TOML file, or a preset (geoseg legend PRESET prints it): isprs (values 0-5), "
        "isprs-1to6 (1-6, 0 = border), voc, landcover-ai, binary:NAME.",
        show_default=False,
    ),
]

Bands = Annotated[
    Any,
    typer.Option(
        "--bands",
        "-b",
        parser=parse_bands,
        metavar="1,2,3",
        help="Bands to use, from 1 [default: all but alpha].",
        show_default=False,
    ),
]

Nodata = Annotated[
    Any,
    typer.Option(
        "--nodata",
        parser=parse_nodata,
        metavar="VALUE|none",
        help="Value without data, or none [default: as the file says].",
        show_default=False,
    ),
]

Stacked = Annotated[
    list[Path] | None,
    typer.Option(
        "--with",
        help="Raster whose bands follow the orthophoto's, such as a surface model; of any CRS and "
        "resolution, resampled (bilinear) onto the orthophoto. Repeat for more.",
    ),
]

Aoi = Annotated[Path | None, typer.Option("--aoi", help="Polygons; ground outside does not count.")]

Attribute = Annotated[
    str | None,
    typer.Option("--attribute", help="Column of a vector reference that holds the class."),
]

LabelledAreas = Annotated[
    str | None,
    typer.Option(
        "--labelled-areas",
        metavar="FILE|polygons",
        help="Boxes or other polygons: outside of them nothing is labelled, inside what no polygon "
        "of the reference covers is background. `polygons`: only they are labelled, whatever "
        "the legend's background.",
    ),
]

ConnectivityName = Annotated[
    Literal["4", "8"],
    typer.Option(
        "--connectivity", help="8: pixels that touch only at a corner are one region or object."
    ),
]

Layer = Annotated[str | None, typer.Option("--layer", help="Layer of a vector reference.")]

PatchSize = Annotated[
    int,
    typer.Option("--patch-size", min=1, max=100_000, help="Side of a patch or window, in pixels."),
]

Stride = Annotated[
    int | None,
    typer.Option(
        "--stride", min=1, max=100_000, help="Step between patches or windows, in pixels."
    ),
]

ResampleReference = Annotated[
    bool, typer.Option("--resample", help="Resample (nearest) references on another grid.")
]

ColorTolerance = Annotated[
    float,
    typer.Option(
        "--color-tolerance",
        min=0,
        max=441,
        metavar="DISTANCE",
        help="Colours of a reference that are so near to a class's in red, green and blue mean it: "
        "for labels that were saved as JPEG. Also for values that lie as far apart.",
    ),
]

Scores = Annotated[
    bool,
    typer.Option("--scores", help="Write class scores beside the map as well: NAME_scores.tif."),
]

Confidence = Annotated[
    Literal["score", "margin", "entropy"] | None,
    typer.Option(
        "--confidence",
        help="Write confidence of this kind beside the map as well: NAME_confidence.tif.",
    ),
]

ScoreType = Annotated[Literal["uint8", "float32"], typer.Option(help="uint8 holds score x 254.")]

Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Threads [default: one per processor].")
]

Seed = Annotated[
    int, typer.Option("--seed", min=0, max=2**31 - 1, help="Same input, same seed: same result.")
]

Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.")]

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")]

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done and what it takes; do nothing.")
]

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no messages.")]

Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="More messages.")]


def labelled_areas(text: str | None) -> dict[str, Any]:
    """What ``--labelled-areas`` says, as fields of `ReferenceOptions`."""
    if text == ONLY_POLYGONS:
        return {"only_polygons": True}
    return {"labelled_areas": Path(text) if text else None}


def refuse_given(ctx: typer.Context, names: Iterable[str], why: str) -> None:
    """Options that would be ignored are wrong usage, if the user has given them.

    Args:
        ctx: The command's.
        names: Of its parameters.
        why: Follows the option in the message, as in ``is not for patch sets``.
    """
    for parameter in ctx.command.params:
        source = ctx.get_parameter_source(parameter.name or "")
        if parameter.name in names and source is not None and source.name != "DEFAULT":
            raise typer.BadParameter(why, ctx=ctx, param_hint=f"'{parameter.opts[0]}'")


def beside(target: Path, what: str) -> Path:
    """Where another layer of a map is written.

    >>> beside(Path("town.tif"), "scores").name
    'town_scores.tif'
    """
    return target.with_name(f"{target.stem}_{what}.tif")


def refuse_other_formats(option: str, *paths: Path | None) -> None:
    """Maps are GeoTIFFs; another ending is wrong usage."""
    for path in paths:
        if path is not None and path.suffix.lower() not in TIFF:
            raise typer.BadParameter(
                f"{path}: rasters are written as GeoTIFF; end the name in .tif", param_hint=option
            )


def refuse_wide_stride(stride: int | None, size: int | None) -> None:
    """A stride beyond the patch would leave gaps; that is wrong usage."""
    if stride and size and stride > size:
        raise typer.BadParameter(
            f"{stride} is more than the patch size {size} and would leave gaps",
            param_hint="--stride",
        )


Named = Path | str | None | Sequence[Path]
"""What the user names in an argument or option: files, folders, a preset, or nothing."""


def check(outputs: Iterable[Output], inputs: Iterable[Named], *, overwrite: bool) -> None:
    """See, before any work, that outputs may be written.

    Args:
        outputs: All that the command writes, side files too.
        inputs: All that it reads.
        overwrite: Whether existing outputs may be replaced.

    Raises:
        BadParameter: If an output is, holds or lies in an input or another output.
        OutputExistsError: If one exists and may not be replaced, or is being written.
    """
    try:
        check_outputs(outputs, _paths(inputs), overwrite=overwrite)
    except OutputConflictError as error:
        raise typer.BadParameter(str(error)) from error


def reserve(
    ctx: typer.Context, outputs: Iterable[Output], inputs: Iterable[Named], *, overwrite: bool
) -> None:
    """As `check`; no other process writes the outputs until the command ends.

    Args:
        ctx: The command's.
        outputs: As in `check`.
        inputs: As in `check`.
        overwrite: As in `check`.

    Raises:
        BadParameter: If an output is, holds or lies in an input or another output.
        OutputExistsError: If one exists and may not be replaced, or is being written.
    """
    outputs = list(outputs)
    check(outputs, inputs, overwrite=overwrite)
    for output in outputs:
        new = [each for each in output.path.absolute().parents if not each.exists()]
        ctx.call_on_close(partial(_remove_empty, new))
        ctx.with_resource(kept(output.path))


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove folders that were made for an output, if it has not come to be."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def _paths(named: Iterable[Named]) -> Iterator[Path]:
    for each in named:
        if isinstance(each, Path):
            yield each
        elif isinstance(each, str):
            yield Path(each)
        elif each is not None:
            yield from each
