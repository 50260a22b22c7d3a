"""Words of the command line as values."""

import math
import re
from typing import TYPE_CHECKING, Literal

import typer

if TYPE_CHECKING:
    from geoseg.core.distance import Distance


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
    from geoseg.core.distance import Distance

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
