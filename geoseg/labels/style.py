"""Styles: `.aux.xml` for GDAL, QML for QGIS, cards for notebooks."""

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any, Self, TypeVar
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import GeosegError, RasterError
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.lookup import ValueColors, shown_bands, to_hex
from geoseg.options import option, parse_bands
from geoseg.raster.atomic import write_text
from geoseg.raster.reader import INPUT, RasterReader, ReadOptions
from geoseg.raster.storage import Color
from geoseg.raster.tolerant import sample_values
from geoseg.text import short_list

T = TypeVar("T")

INTEGER, REAL, STRING = "0", "1", "2"
"""Column types of GDAL's raster attribute tables."""

DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"

COUNT = ("Count", REAL, "1")

COLUMNS = (  # name, type, GDAL's usage: 5 = value, 1 = pixel count, 2 = name, 6..8 = colour
    ("Value", INTEGER, "5"),
    COUNT,
    ("Class", STRING, "2"),
    ("Red", INTEGER, "6"),
    ("Green", INTEGER, "7"),
    ("Blue", INTEGER, "8"),
)


def colormap(legend: Legend) -> dict[int, tuple[int, int, int, int]]:
    """The colour table of a class map; values without a class are transparent."""
    table = {each.value: (*each.color, 255) for each in legend.classes}
    return {value: table.get(value, (0, 0, 0, 0)) for value in range(256)}


def write_sidecars(path: Path, legend: Legend, pixels: NDArray[np.int64]) -> None:
    """Write ``<map>.aux.xml`` and ``<map>.qml`` beside a class map of (classes,) pixels."""
    for file, text in sidecar_texts(path, legend, pixels).items():
        write_text(file, text)


def sidecar_texts(path: Path, legend: Legend, pixels: NDArray[np.int64]) -> dict[Path, str]:
    """What `write_sidecars` writes, by file."""
    return dict(zip(sidecars(path), (_aux_xml(legend, pixels), class_map_qml(legend)), strict=True))


def sidecars(path: Path) -> list[Path]:
    """The files that `write_sidecars` writes."""
    return [path.with_name(f"{path.name}.aux.xml"), path.with_suffix(".qml")]


def _aux_xml(legend: Legend, pixels: NDArray[np.int64]) -> str:
    """Category names and raster attribute table, as GDAL's persistent auxiliary metadata."""
    root = Element("PAMDataset")
    band = SubElement(root, "PAMRasterBand", band="1")
    names = {each.value: each.name for each in legend.classes}
    categories = SubElement(band, "CategoryNames")
    for value in range(max(names) + 1):
        SubElement(categories, "Category").text = names.get(value, "")
    band.append(_attribute_table(legend, pixels))
    return _text(root)


def attribute_table(legend: Legend) -> str:
    """The attribute table of a class map as GDAL's XML, without pixel counts."""
    return tostring(_attribute_table(legend), encoding="unicode")


def _attribute_table(legend: Legend, pixels: NDArray[np.int64] | None = None) -> Element:
    """A row per class; with a column of pixel counts if given."""
    table = Element("GDALRasterAttributeTable", tableType="thematic")
    columns = [column for column in COLUMNS if column != COUNT or pixels is not None]
    for index, (name, kind, usage) in enumerate(columns):
        column = SubElement(table, "FieldDefn", index=str(index))
        SubElement(column, "Name").text = name
        SubElement(column, "Type").text = kind
        SubElement(column, "Usage").text = usage
    for index, each in enumerate(legend.classes):
        row = SubElement(table, "Row", index=str(index))
        count = () if pixels is None else (int(pixels[index]),)
        for cell in (each.value, *count, each.name, *each.color):
            SubElement(row, "F").text = str(cell)
    return table


def class_map_qml(legend: Legend) -> str:
    """A paletted renderer, which QGIS loads with the map."""
    renderer = Element("rasterrenderer", type="paletted", band="1", opacity="1", alphaBand="-1")
    palette = SubElement(renderer, "colorPalette")
    for each in legend.classes:
        entry = {"value": str(each.value), "color": to_hex(each.color), "label": each.name}
        SubElement(palette, "paletteEntry", entry | {"alpha": "255"})
    return _raster_qml(renderer)


def score_qml(legend: Legend, top: float) -> str:
    """A style of scores: the second of two classes, else the first, from white to its colour.

    ``top`` is the stored value of 1.
    """
    index = 1 if len(legend) == 2 else 0  # noqa: PLR2004 background comes first
    each = legend.classes[index]
    red, green, blue = ((part + 255) // 2 for part in each.color)
    stops = {0.0: "#ffffff", 0.5: to_hex((red, green, blue)), 1.0: to_hex(each.color)}
    return _ramp_qml(index + 1, stops, top)


def confidence_qml(top: float) -> str:
    """A style of confidence: red, yellow, green; ``top`` is the stored value of 1."""
    return _ramp_qml(1, {0.0: "#d7191c", 0.5: "#ffffbf", 1.0: "#1a9641"}, top)


def _ramp_qml(band: int, stops: Mapping[float, str], top: float) -> str:
    """A colour ramp renderer."""
    renderer = Element(
        "rasterrenderer",
        type="singlebandpseudocolor",
        band=str(band),
        opacity="1",
        alphaBand="-1",
        classificationMin="0",
        classificationMax=f"{top:g}",
    )
    shader = SubElement(
        SubElement(renderer, "rastershader"),
        "colorrampshader",
        colorRampType="INTERPOLATED",
        classificationMode="1",
        clip="0",
        minimumValue="0",
        maximumValue=f"{top:g}",
    )
    for share, color in stops.items():
        item = {"value": f"{share * top:g}", "label": f"{share:.0%}", "color": color}
        SubElement(shader, "item", item | {"alpha": "255"})
    return _raster_qml(renderer)


def _raster_qml(renderer: Element) -> str:
    root = Element("qgis", version="3.22", styleCategories="Symbology")
    SubElement(root, "pipe").append(renderer)
    return DOCTYPE + _text(root)


@dataclass(frozen=True, kw_only=True)
class Symbol:
    """A rule-based symbol of a QGIS layer."""

    label: str
    rule: str = ""
    """Filter expression; empty: all other features."""

    color: Color
    opacity: float = 0.0
    """Opacity of the fill, 0..1."""


def vector_qml(symbols: Sequence[Symbol], *, points: bool, label: str | None = None) -> str:
    """A style of outlined polygons, or of points, labelled by an expression."""
    root = Element("qgis", version="3.22", styleCategories="Symbology|Labeling")
    renderer = SubElement(root, "renderer-v2", type="RuleRenderer", symbollevels="0")
    rules = SubElement(renderer, "rules", key="geoseg")
    drawn = SubElement(renderer, "symbols")
    for number, each in enumerate(symbols):
        rule = {"filter": each.rule or "ELSE", "label": each.label, "symbol": str(number)}
        SubElement(rules, "rule", rule | {"key": f"rule{number}"})
        kind = "marker" if points else "fill"
        symbol = SubElement(drawn, "symbol", type=kind, name=str(number), alpha="1")
        kind = "SimpleMarker" if points else "SimpleFill"
        layer = SubElement(symbol, "layer", {"class": kind, "enabled": "1", "locked": "0"})
        options = SubElement(layer, "Option", type="Map")
        for name, value in _drawn(each, points=points).items():
            SubElement(options, "Option", name=name, value=value, type="QString")
            SubElement(layer, "prop", k=name, v=value)  # before QGIS 3.26
    if label is not None:
        settings = SubElement(SubElement(root, "labeling", type="simple"), "settings")
        SubElement(settings, "text-style", fieldName=label, isExpression="1", fontSize="9")
    SubElement(root, "layerGeometryType").text = "0" if points else "2"
    return DOCTYPE + _text(root)


def _drawn(symbol: Symbol, *, points: bool) -> dict[str, str]:
    """QGIS properties of a symbol."""
    red, green, blue = symbol.color
    fill = f"{red},{green},{blue},{round(255 * symbol.opacity)}"
    if points:
        marker = {"name": "circle", "size": "3", "size_unit": "MM", "color": fill}
        return marker | {"outline_color": f"{red},{green},{blue},255", "outline_width": "0.6"}
    outline = {"outline_color": f"{red},{green},{blue},255", "outline_width": "0.5"}
    style = "solid" if symbol.opacity else "no"
    return {"color": fill, "style": style, "outline_style": "solid"} | outline


def _text(root: Element) -> str:
    indent(root)
    return tostring(root, encoding="unicode") + "\n"


MAX_MASK_VALUES = 32
"""Whole numbers up to which one band is a mask of classes, not a grey image."""

STRETCH_PERCENTILES = (2, 98)
"""Percentiles of values that become black and white."""

WHITE = (255, 255, 255)


@dataclass(frozen=True)
class Stretch:
    """Values that become black and white."""

    low: NDArray[np.float64]
    """Value of black: one for all bands, or (bands, 1, 1)."""

    high: NDArray[np.float64]
    """Value of white, likewise."""

    @classmethod
    def of(cls, values: NDArray[Any]) -> Self:
        """The stretch that suits some values.

        Args:
            values: (n,) of all bands together, or (bands, n) of each.
        """
        if not values.size:
            return cls(np.zeros((1, 1)), np.ones((1, 1)))
        low, high = np.percentile(values, STRETCH_PERCENTILES, axis=-1)[..., None, None]
        return cls(low, high)

    def __call__(self, image: NDArray[Any]) -> NDArray[np.uint8]:
        """(bands, height, width) bytes; NaN is black."""
        stretched = (image - self.low) / np.maximum(self.high - self.low, 1e-9)
        return (255 * np.nan_to_num(stretched).clip(0, 1)).astype(np.uint8)


def parse_shown(text: str) -> tuple[int, ...]:
    """Numbers of one or three bands."""
    return _one_or_three(parse_bands(text), text)


def parse_names(text: str) -> tuple[str, ...]:
    """Names of one or three bands."""
    return _one_or_three(tuple(name.strip() for name in text.split(",")), text)


def _one_or_three(bands: tuple[T, ...], text: str) -> tuple[T, ...]:
    if len(bands) not in {1, 3} or "" in bands:
        raise ValueError(f"{text!r}: name three bands, for red, green and blue, or one")
    return bands


@dataclass(frozen=True, kw_only=True)
class BandOptions:
    """Bands of orthophotos shown as red, green and blue, or one in grey."""

    bands: tuple[int, ...] | None = option(
        None,
        group=INPUT,
        names=("--bands", "-b"),
        metavar="3,2,1",
        parse=parse_shown,
        shown="by their names, else the first three",
        help="Bands of orthophotos to show as red, green, blue, from 1; one: in grey.",
    )
    band_names: tuple[str, ...] | None = option(
        None,
        group=INPUT,
        metavar="nir,red,green",
        parse=parse_names,
        help="The same, by the files' names.",
    )

    def options_for(self, path: Path) -> ReadOptions:
        """Options that read the bands to be shown; all of a raster of one band or with a palette.

        Raises:
            RasterError: If it cannot be read, or has no band of such a name.
        """
        with RasterReader(path) as reader:
            if reader.palette or reader.bands == 1:
                return ReadOptions()
            if self.bands:
                return ReadOptions(bands=self.bands)
            known = [name.casefold() for name in reader.band_names]
            wanted = [name.casefold() for name in self.band_names or ()]
            if missing := [name for name in self.band_names or () if name.casefold() not in known]:
                raise RasterError(
                    f"{path}: has no band {missing[0]!r}; its bands are "
                    f"{short_list(reader.band_names)}"
                )
            places = tuple(map(known.index, wanted)) or shown_bands(reader.band_names)
            return ReadOptions(bands=tuple(reader.band_numbers[place] for place in places))


def painter_of(reader: RasterReader, tags: Mapping[str, Any]) -> Callable[[Any], Any]:
    """A function that turns pixels of a raster into colours: (3, height, width) bytes.

    Bytes stay as they are, other values are stretched. One band of a few whole numbers is a mask
    of classes, which would be black as it is: each value gets a colour. A raster with tags of
    geoseg is no mask from elsewhere.
    """
    if reader.bands > 1 and reader.dtype == np.uint8:
        return np.asarray
    values = sample_values(reader).ravel()
    if reader.bands == 1 and "kind" not in tags and is_value_mask(values):
        return ValueColors()
    if reader.dtype == np.uint8:
        return in_grey
    stretch = Stretch.of(values)
    return stretch if reader.bands > 1 else lambda image: stretch(in_grey(image))


def is_value_mask(values: NDArray[Any]) -> bool:
    """Whether the values of a band may be classes: a few whole numbers."""
    return values.dtype.kind in "iu" and 0 < len(np.unique(values)) <= MAX_MASK_VALUES


def class_colors(legend: Legend, unlabelled: Color = WHITE) -> NDArray[np.uint8]:
    """(256, 3) colours of class indices; indexed with an array of them it gives their image."""
    colors = np.full((IGNORE + 1, 3), unlabelled, np.uint8)
    colors[: len(legend)] = [each.color for each in legend.classes]
    return colors


def in_grey(image: NDArray[Any]) -> NDArray[Any]:
    """(3, height, width) of (1, height, width)."""
    return image[[0, 0, 0]]


def with_alpha(colors: NDArray[np.uint8], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """(height, width, 4) red, green, blue, alpha; transparent black where not valid."""
    shown = valid.astype(np.uint8)
    return np.concatenate([colors * shown, shown[None] * np.uint8(255)]).transpose(1, 2, 0)


def averaged(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """An image with the mean of each square of pixels; the last ones may be cut.

    Transparent pixels do not count, and a mean is transparent only if all of its square is.

    Args:
        picture: (height, width, 4) red, green, blue, alpha: 0 or 255.
        side: Side of the squares, in pixels.
    """
    if side == 1:
        return picture
    height, width = (-(-length // side) for length in picture.shape[:2])
    padding = [(0, height * side - picture.shape[0]), (0, width * side - picture.shape[1]), (0, 0)]
    squares = np.pad(picture, padding).reshape(height, side, width, side, 4)
    shown = squares[..., 3:] > 0
    count = np.maximum(shown.sum(axis=(1, 3), dtype=np.uint16), 1)
    mean = (squares[..., :3] * shown).sum(axis=(1, 3), dtype=np.uint32) / count
    alpha = shown.any(axis=(1, 3)) * np.uint8(255)
    return np.concatenate([np.rint(mean).astype(np.uint8), alpha], axis=2)


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


def iou_rows(metrics: Mapping[str, Any]) -> list[Cells]:
    """A table of the IoU of classes from the metrics of an epoch: ``iou_NAME``, "" if undefined."""
    found = {key[4:]: value for key, value in metrics.items() if key.startswith("iou_")}
    return [
        {"class": name, "validation IoU": f"{100 * value:.2f}" if value != "" else "-"}
        for name, value in found.items()
    ]


def map_legend(path: Path) -> Legend | None:
    """The legend that a map carries; None if it carries none, or is not there any more."""
    from geoseg.labels.tags import carried_legend

    try:
        return carried_legend(path)
    except GeosegError:
        return None


def map_picture(path: Path) -> str:
    """A raster in its colours, as a PNG in HTML; empty if it cannot be read."""
    from geoseg.labels.tags import read_tags

    try:
        with RasterReader(path, BandOptions().options_for(path)) as reader:
            image, valid = reader.read_overview(PICTURE_SIDE_PX)
            colors = painter_of(reader, read_tags(path))(image)
    except GeosegError:
        return ""
    from PIL import Image

    return _embedded(Image.fromarray(with_alpha(colors, valid)), path.name)


def figure_picture(path: Path) -> str:
    """A drawing, made smaller, as a PNG in HTML; empty if there is none."""
    if not path.is_file():
        return ""
    from PIL import Image

    with Image.open(path) as image:
        image.thumbnail((PICTURE_SIDE_PX, PICTURE_SIDE_PX))
        return _embedded(image, path.name)


def _embedded(image: Any, title: str) -> str:
    """An image of PIL as a PNG in HTML."""
    file = BytesIO()
    image.save(file, "png")
    source = f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"
    side = f"max-width:{PICTURE_SIDE_PX}px;max-height:{PICTURE_SIDE_PX}px"
    return f'<img style="{side}" alt="{escape(title)}" src="{source}">'
