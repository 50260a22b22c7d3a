"""Words of the command line as values."""

from typing import Literal

import typer


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
