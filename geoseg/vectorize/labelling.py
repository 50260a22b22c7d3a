"""The suggestion step: a map in, a GeoPackage for the person who labels out.

```
todo.gpkg
  labels   no polygon yet; column class, which QGIS offers as a list of the legend's classes
  boxes    where to draw, by rank; column done, to be ticked when all of a box is drawn
```
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from geoseg.errors import InputError
from geoseg.evaluation.compare import Watch
from geoseg.evaluation.suggestion import Suggestion, SuggestOptions, suggest_windows
from geoseg.labels.legend import Legend
from geoseg.labels.polygon_classes import LABELLING, VALUE
from geoseg.labels.style import Symbol, vector_qml
from geoseg.labels.tags import POLYGONS
from geoseg.raster.atomic import refuse_existing, staged
from geoseg.raster.grid import Grid
from geoseg.raster.polygons import BOXES_LAYER, DONE, outlines_of
from geoseg.raster.records import PROVENANCE
from geoseg.raster.vector import FIXED_DATE, gdal_options, writing_layer
from geoseg.vectorize.layers import GEOPACKAGE, store_style, style_of

LABELS_LAYER = "labels"

BOX_SYMBOLS = (
    Symbol(rule=f'"{DONE}"', label="done", color=(26, 150, 65)),
    Symbol(label="to be labelled", color=(255, 127, 0)),
)
"""How QGIS shows boxes; their inside stays clear."""

DECIMALS = 4


@dataclass(frozen=True)
class SuggestReport:
    """Result of a suggestion."""

    path: Path
    boxes: list[Suggestion]
    """The best one first."""

    windows: int
    trained: int
    """Windows of the map that were looked at, and those left out because they trained its model."""

    mean: float
    """Expected error of all windows, 0..1."""


def suggest(
    class_map: Path,
    legend: Legend,
    output: Path,
    options: SuggestOptions,
    *,
    overwrite: bool = False,
    watch: Watch = lambda blocks, _: blocks,
) -> SuggestReport:
    """Choose boxes of a map, see `suggest_windows`, and write them for the person who labels.

    Args:
        class_map: The map.
        legend: Its classes.
        output: GeoPackage to write, see `write_labelling`.
        options: Which boxes.
        overwrite: Whether to replace an existing file.
        watch: Shows progress.

    Raises:
        GeosegError: As these two do.
    """
    boxes, found = suggest_windows(class_map, legend, options, watch=watch)
    write_labelling(output, boxes, found.grid, legend, overwrite=overwrite)
    mean = float(found.doubts.sum() / found.counts.sum())
    return SuggestReport(output, boxes, len(found.windows), found.trained, mean)


def write_labelling(
    path: Path, suggestions: Sequence[Suggestion], grid: Grid, legend: Legend, *, overwrite: bool
) -> None:
    """Write boxes, and the empty layer that their labels are drawn into.

    `geoseg tile -r` and `--corrections` read the labels without a legend or a column being named,
    and `--labelled-areas` the boxes that are done.

    Args:
        path: The file, a GeoPackage.
        suggestions: Windows, the first ones first.
        grid: Grid of the map that they lie on.
        legend: Classes to choose from.
        overwrite: Whether to replace an existing file.

    Raises:
        InputError: If the name is not that of a GeoPackage.
        OutputExistsError: If a file is in the way.
        OutputError: If it cannot be written.
    """
    if path.suffix.lower() != GEOPACKAGE:
        raise InputError(f"{path}: boxes and labels are layers of one file: name a {GEOPACKAGE}")
    import geopandas as gpd

    refuse_existing(path, overwrite=overwrite)
    crs = grid.crs.to_wkt() if grid.crs else None
    empty = gpd.GeoDataFrame({VALUE: []}, geometry=[], crs=crs).astype({VALUE: "int32"})
    shapes = outlines_of([(grid, each.window) for each in suggestions])
    boxes = gpd.GeoDataFrame(_columns(suggestions), geometry=shapes, crs=crs)
    with staged(path, overwrite=overwrite) as partial:
        about: dict[str, Any] = {"engine": "pyogrio", "driver": "GPKG"}
        about["dataset_options"] = {"VERSION": "1.2"}  # what older readers know
        with gdal_options(FIXED_DATE), writing_layer(partial):
            empty.to_file(
                partial,
                layer=LABELS_LAYER,
                geometry_type="MultiPolygon",
                layer_metadata={PROVENANCE: json.dumps(_tags(legend))},
                **about,
            )
            boxes.to_file(partial, layer=BOXES_LAYER, **about)
        choices = {each.name: each.value for each in legend.classes}
        store_style(partial, LABELS_LAYER, _with_widgets(style_of(legend), {VALUE: choices}))
        rank = vector_qml(BOX_SYMBOLS, points=False, label='"rank"')
        store_style(partial, BOXES_LAYER, _with_widgets(rank, {DONE: None}))


def _columns(suggestions: Sequence[Suggestion]) -> Mapping[str, Sequence[Any]]:
    """What is said of each box."""
    return {
        "rank": list(range(1, len(suggestions) + 1)),
        "expected_error": [round(each.expected_error, DECIMALS) for each in suggestions],
        "main_class": [each.main_class for each in suggestions],
        "doubted_class": [each.doubted_class for each in suggestions],
        DONE: [False] * len(suggestions),
    }


def _tags(legend: Legend) -> dict[str, Any]:
    """What the labels say of themselves: what none of them covers is the background."""
    drawn = [name for name in legend.names if name != legend.background]
    made = {"kind": POLYGONS, "legend": legend.to_dict()}
    return made | {"provenance": {LABELLING: {"classes": drawn}}}


def _with_widgets(qml: str, columns: Mapping[str, Mapping[str, int] | None]) -> str:
    """A style with forms: columns that are a choice of values by name, or (None) a tick."""
    fields = Element("fieldConfiguration")
    for column, choices in columns.items():
        widget = SubElement(
            SubElement(fields, "field", name=column),
            "editWidget",
            type="CheckBox" if choices is None else "ValueMap",
        )
        config = SubElement(SubElement(widget, "config"), "Option", type="Map")
        if choices is not None:
            listed = SubElement(config, "Option", name="map", type="List")
            for name, value in choices.items():
                one = SubElement(listed, "Option", type="Map")
                SubElement(one, "Option", name=name, value=str(value), type="QString")
    whole = qml.replace(
        'styleCategories="Symbology|Labeling"', 'styleCategories="AllStyleCategories"'
    )
    indent(fields)
    head, end = whole.rsplit("</qgis>", 1)
    return f"{head}{tostring(fields, encoding='unicode')}\n</qgis>{end}"
