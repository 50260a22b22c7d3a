"""What makes a class map open coloured and named: `.aux.xml` for GDAL, `.qml` for QGIS."""

from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import numpy as np
from numpy.typing import NDArray

from geoseg.core.colors import to_hex
from geoseg.core.legend import Legend, LegendClass
from geoseg.io.outputs import write_text

INTEGER, REAL, STRING = "0", "1", "2"
"""Types of columns in GDAL's raster attribute tables."""

COLUMNS = (  # name, type, GDAL's usage: 5 = value, 1 = pixel count, 2 = name, 6..8 = colour
    ("Value", INTEGER, "5"),
    ("Count", REAL, "1"),
    ("Class", STRING, "2"),
    ("Red", INTEGER, "6"),
    ("Green", INTEGER, "7"),
    ("Blue", INTEGER, "8"),
)


def colormap(legend: Legend) -> dict[int, tuple[int, int, int, int]]:
    """The colour table of a class map, by value; what has no class is transparent."""
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
    table = SubElement(band, "GDALRasterAttributeTable", tableType="thematic")
    for index, (name, kind, usage) in enumerate(COLUMNS):
        column = SubElement(table, "FieldDefn", index=str(index))
        SubElement(column, "Name").text = name
        SubElement(column, "Type").text = kind
        SubElement(column, "Usage").text = usage
    for index, (each, count) in enumerate(zip(legend.classes, pixels, strict=True)):
        row = SubElement(table, "Row", index=str(index))
        for cell in (each.value, int(count), each.name, *each.color):
            SubElement(row, "F").text = str(cell)
    return _text(root)


def _qml(legend: Legend) -> str:
    """A paletted renderer; QGIS loads it by itself with the map."""
    root = Element("qgis", version="3.22", styleCategories="Symbology")
    pipe = SubElement(root, "pipe")
    renderer = SubElement(
        pipe, "rasterrenderer", type="paletted", band="1", opacity="1", alphaBand="-1"
    )
    palette = SubElement(renderer, "colorPalette")
    for each in legend.classes:
        SubElement(palette, "paletteEntry", _palette_entry(each))
    return "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n" + _text(root)


def _palette_entry(each: LegendClass) -> dict[str, str]:
    color = to_hex(each.color)
    return {"value": str(each.value), "color": color, "label": each.name, "alpha": "255"}


def _text(root: Element) -> str:
    indent(root)
    return tostring(root, encoding="unicode") + "\n"
