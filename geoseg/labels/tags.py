"""What maps of geoseg say of themselves in a tag: kind, legend, provenance."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rasterio.errors import CRSError

from geoseg.errors import LegendError, RasterError, issue_warning
from geoseg.labels.legend import Legend
from geoseg.raster.paths import VECTOR_SUFFIXES
from geoseg.raster.records import PROVENANCE, parse_json
from geoseg.raster.storage import opened, reading

CLASS_MAP = "class map"
"""Kind in the tag of geoseg's class maps."""

SCORES, CONFIDENCE = "scores", "confidence"
"""Kinds in the tags of the rasters that go with them."""

POLYGONS = "polygons"
"""Kind in the tag of geoseg's polygons."""


def read_tags(path: Path, layer: str | None = None) -> dict[str, Any]:
    """Tags of a raster or polygons written by geoseg.

    Empty for others, and with a warning if they are no JSON object.

    Args:
        path: The file.
        layer: Layer of a vector file; None: the first.

    Raises:
        RasterError: If the file is missing or is no raster, or an entry of its tags is damaged.
        VectorError: If it is a vector file that cannot be read.
    """
    text = _layer_tag(path, layer) if path.suffix.lower() in (*VECTOR_SUFFIXES, ".zip") else None
    if text is None:
        with opened(path) as dataset, reading(path):
            text = dataset.tags().get(PROVENANCE, "{}")
    try:
        tags = parse_json(text)
    except ValueError:
        tags = None
    if not isinstance(tags, dict):
        issue_warning(
            f"{path}: its tag {PROVENANCE} is no JSON object and is ignored: legend and "
            f"provenance are unknown"
        )
        return {}
    try:
        _check(tags)
    except (ValueError, LookupError, TypeError, AttributeError, LegendError, CRSError) as error:
        raise RasterError(f"{path}: its tag {PROVENANCE} is damaged: {error}") from error
    return tags


def _layer_tag(path: Path, layer: str | None) -> str | None:
    """The tag of polygons; None for a raster, which a GeoPackage may be, too."""
    from geoseg.raster.vector import is_vector, read_layer_tag

    return (read_layer_tag(path, PROVENANCE, layer) or "{}") if is_vector(path) else None


def _check(tags: Mapping[str, Any]) -> None:
    """Check the types of the tags.

    Raises:
        ValueError, LookupError, TypeError, LegendError: If one is not.
    """
    from geoseg.labels.legend_map import legend_from_dict

    kinds = {"kind": str, "legend": dict, "provenance": dict, "class_pixels": dict}
    for name, kind in kinds.items():
        if not isinstance(tags.get(name, kind()), kind):
            raise TypeError(f"{name} is not a {kind.__name__}")
    if "legend" in tags:
        legend_from_dict(tags["legend"])
    if not all(isinstance(each, int | float) for each in tags.get("class_pixels", {}).values()):
        raise TypeError("class_pixels are not numbers")


def carried_legend(*paths: Path) -> Legend:
    """The legend that class maps or polygons of geoseg carry: that of the first.

    Raises:
        LegendError: If one carries none, or other classes than the first.
        RasterError: If a raster cannot be read.
        VectorError: If polygons cannot be read.
    """
    found: dict[Path, Legend] = {}
    for path in dict.fromkeys(paths):
        record = read_tags(path).get("legend")
        if record is None:
            raise LegendError(f"{path}: carries no legend; pass --legend")
        found[path] = Legend.from_dict(record)
        if found[path].names_by_value != found[paths[0]].names_by_value:
            raise LegendError(f"{path}: carries other classes than {paths[0]}; pass --legend")
    return found[paths[0]]
