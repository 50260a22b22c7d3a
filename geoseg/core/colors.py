"""Colours: how they are written, and which ones classes get that name none."""

import colorsys
import re

from geoseg.errors import LegendError

PALETTE = (
    *("#d7301f", "#7f7f7f", "#b8e186", "#1b7837", "#2c7fb8", "#fec44f", "#8c6bb1", "#8c510a"),
    *("#f768a1", "#35978f", "#bf812d", "#4d4d4d", "#c51b7d", "#542788", "#e08214", "#80cdc1"),
)
"""Colours of classes that name none."""

Color = tuple[int, int, int]


def parse_color(text: object) -> Color:
    """A colour from ``"#rrggbb"``.

    >>> parse_color("#d7301f")
    (215, 48, 31)
    """
    if not is_color(text):
        raise LegendError(f'a colour is written "#rrggbb", got {text!r}')
    digits = str(text)[1:]
    return int(digits[0:2], 16), int(digits[2:4], 16), int(digits[4:6], 16)


def to_hex(color: Color) -> str:
    """``"#rrggbb"``; `parse_color` is its inverse."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def default_color(number: int) -> str:
    """A colour for a class that names none; every number has another one.

    >>> default_color(0), default_color(16)
    ('#d7301f', '#eb42b3')
    """
    if number < len(PALETTE):
        return PALETTE[number]
    hue = number * 0.618034 % 1  # the golden ratio spreads hues evenly
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.55 + 0.17 * (number % 3), 0.95 - number / 600)
    return to_hex((round(255 * red), round(255 * green), round(255 * blue)))


def is_color(text: object) -> bool:
    """Whether something is written as a colour is."""
    return isinstance(text, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", text) is not None


def packed(color: Color) -> int:
    """One number of 24 bits."""
    return (color[0] << 16) | (color[1] << 8) | color[2]
