"""What a notebook shows of a result: a picture, the legend's colours, a table, as HTML."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from io import BytesIO
from pathlib import Path

from geoseg.errors import GeosegError
from geoseg.labels.legend import Legend
from geoseg.labels.lookup import to_hex

PICTURE_SIDE_PX = 360
"""Longest side of a picture."""

BOX = "display:flex;flex-wrap:wrap;gap:1.5em;align-items:flex-start"
SWATCH = "display:inline-block;width:.8em;height:.8em;border:1px solid #888;margin-right:.5em"

Cells = Mapping[str, str]
"""A row of a table by column title; the first cell names the row, as in `text.format_table`."""


def card(
    title: str,
    facts: Sequence[str] = (),
    *,
    rows: Sequence[Cells] = (),
    legend: Legend | None = None,
    picture: str = "",
) -> str:
    """A result as HTML that needs nothing else.

    Args:
        title: What it is.
        facts: Lines below the title.
        rows: A table; rows that are called like a class of the legend have its colour.
        legend: The classes.
        picture: HTML that stands beside it.
    """
    lines = "".join(f"<div>{escape(fact)}</div>" for fact in facts)
    text = f"<b>{escape(title)}</b>{lines}{_table(rows, legend) if rows else ''}"
    return f'<div style="{BOX}">{picture}<div>{text}</div></div>'


def _table(rows: Sequence[Cells], legend: Legend | None) -> str:
    colors = {each.name: to_hex(each.color) for each in legend.classes} if legend else {}

    def named(name: str) -> str:
        color = colors.get(name)
        swatch = f'<span style="{SWATCH};background:{color}"></span>' if color else ""
        return f'<td style="text-align:left">{swatch}{escape(name)}</td>'

    head = "".join(f"<th>{escape(title)}</th>" for title in rows[0])
    body = ""
    for row in rows:
        name, *cells = row.values()
        body += f"<tr>{named(name)}{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def map_legend(path: Path) -> Legend | None:
    """The legend that a map carries; None if it carries none, or is not there any more."""
    from geoseg.labels.tags import carried_legend

    try:
        return carried_legend(path)
    except GeosegError:
        return None


def map_picture(path: Path) -> str:
    """A raster in its colours, as a PNG in HTML; empty if it cannot be read."""
    from geoseg.labels.style import BandOptions, painter_of, with_alpha
    from geoseg.labels.tags import read_tags
    from geoseg.raster.reader import RasterReader

    try:
        with RasterReader(path, BandOptions().options_for(path)) as reader:
            image, valid = reader.read_overview(PICTURE_SIDE_PX)
            colors = painter_of(reader, read_tags(path))(image)
    except GeosegError:
        return ""
    from PIL import Image

    file = BytesIO()
    Image.fromarray(with_alpha(colors, valid)).save(file, "png")
    return embedded(file.getvalue(), path.name)


def embedded(png: bytes, title: str) -> str:
    """A PNG in HTML."""
    source = f"data:image/png;base64,{b64encode(png).decode()}"
    side = f"max-width:{PICTURE_SIDE_PX}px;max-height:{PICTURE_SIDE_PX}px"
    return f'<img style="{side}" alt="{escape(title)}" src="{source}">'
