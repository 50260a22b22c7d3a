"""Styles: `.aux.xml` for GDAL, QML for QGIS."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import numpy as np
from numpy.typing import NDArray

from geoseg.labels.legend import Legend, LegendClass
from geoseg.labels.lookup import to_hex
from geoseg.raster.atomic import write_text
from geoseg.raster.storage import Color

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
    """Write ``<map>.aux.xml`` and ``<map>.qml`` beside a class map.

    Args:
        path: The class map.
        legend: Its classes.
        pixels: (classes,) pixels of each class in the map.
    """
    write_text(path.with_name(f"{path.name}.aux.xml"), _aux_xml(legend, pixels))
    write_text(path.with_suffix(".qml"), _qml(legend))


def sidecars(path: Path) -> list[Path]:
    """The files that `write_sidecars` writes."""
    return [path.with_name(f"{path.name}.aux.xml"), path.with_suffix(".qml")]


def _aux_xml(legend: Legend, pixels: NDArray[np.int64]) -> str:
    """Category names and raster attribute table.

    Source: GDAL's persistent auxiliary metadata, as `gdalinfo` reads it.
    """
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


def _qml(legend: Legend) -> str:
    """A paletted renderer, which QGIS loads with the map."""
    renderer = Element("rasterrenderer", type="paletted", band="1", opacity="1", alphaBand="-1")
    palette = SubElement(renderer, "colorPalette")
    for each in legend.classes:
        SubElement(palette, "paletteEntry", _palette_entry(each))
    return _raster_qml(renderer)


def score_qml(legend: Legend, top: float) -> str:
    """A style of scores: the second of two classes, else the first, from white to its colour.

    Args:
        legend: The classes, a band each.
        top: Stored value of 1.
    """
    index = 1 if len(legend) == 2 else 0  # noqa: PLR2004 background comes first
    each = legend.classes[index]
    stops = {0.0: "#ffffff", 0.5: _lighter(each.color), 1.0: to_hex(each.color)}
    return _ramp_qml(index + 1, stops, top)


def confidence_qml(top: float) -> str:
    """A style of confidence: red, yellow, green.

    Args:
        top: Stored value of 1.
    """
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


def _lighter(color: Color) -> str:
    """Halfway to white."""
    red, green, blue = ((part + 255) // 2 for part in color)
    return to_hex((red, green, blue))


@dataclass(frozen=True, kw_only=True)
class Symbol:
    """A rule-based symbol of a QGIS layer."""

    label: str
    """Label in the legend."""

    rule: str = ""
    """Filter expression; empty: all other features."""

    color: Color
    """Colour of points and outlines."""

    opacity: float = 0.0
    """Opacity of the fill, 0..1."""


def vector_qml(symbols: Sequence[Symbol], *, points: bool, label: str | None = None) -> str:
    """A style of outlined polygons, or of points.

    Args:
        symbols: Symbols by rule.
        points: Whether the layer holds points.
        label: Expression of the label of each feature.
    """
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


def _palette_entry(each: LegendClass) -> dict[str, str]:
    color = to_hex(each.color)
    return {"value": str(each.value), "color": color, "label": each.name, "alpha": "255"}


def _text(root: Element) -> str:
    indent(root)
    return tostring(root, encoding="unicode") + "\n"
