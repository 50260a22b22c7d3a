"""What is to be known of a vector file before anything is done with it."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyogrio

from geoseg.core.legend import as_text, is_null
from geoseg.errors import VectorError
from geoseg.io.sources import refuse_special_file
from geoseg.io.vector import ALL_ROWS, reading_layer

NULL = "(null)"
"""What stands for cells without a value."""

MOST_ROWS = 200_000
"""Rows of a layer whose columns are looked at."""

MOST_VALUES = 20
"""A column with more different values is hardly one of classes."""


@dataclass(frozen=True, kw_only=True)
class LayerFacts:
    """One layer."""

    name: str
    """Its name."""

    features: int
    """Rows."""

    geometry: str
    """Kind of geometries, as OGR calls them."""

    crs: str | None
    """Name of the CRS."""

    bounds: tuple[float, ...] | None
    """``(x_min, y_min, x_max, y_max)`` in units of the CRS."""

    columns: dict[str, str]
    """Types of the columns, by name."""

    classes: dict[str, dict[str, int]]
    """Columns with few values: how many rows have each."""


def vector_facts(path: Path) -> list[LayerFacts]:
    """Look at all layers of a vector file.

    Raises:
        VectorError: If it is missing or cannot be read.
    """
    if not path.exists():
        raise VectorError(f"{path}: no such file")
    refuse_special_file(path)
    with reading_layer(path):
        layers = pyogrio.list_layers(path)
        return [_layer(path, name) for name, kind in layers if kind is not None]


def _layer(path: Path, name: str) -> LayerFacts:
    about = pyogrio.read_info(path, layer=name, force_feature_count=True, force_total_bounds=True)
    table = pyogrio.read_dataframe(
        path, layer=name, read_geometry=False, max_features=MOST_ROWS, where=ALL_ROWS
    )
    bounds = about["total_bounds"]
    return LayerFacts(
        name=name,
        features=len(table) if 0 < len(table) < MOST_ROWS else int(about["features"]),
        geometry=str(about["geometry_type"]),
        crs=about["crs"],
        bounds=tuple(map(float, bounds)) if bounds is not None else None,
        columns=dict(zip(map(str, about["fields"]), map(str, about["dtypes"]), strict=True)),
        classes={column: found for column in table if (found := _values(table[column]))},
    )


def _values(column: Any) -> dict[str, int]:
    """How often each value occurs; nothing if there are many, or a row for each."""
    counts = Counter(NULL if is_null(value) else as_text(value) for value in column)
    if len(counts) > MOST_VALUES or len(counts) == len(column) > 1:
        return {}
    return dict(counts.most_common())
