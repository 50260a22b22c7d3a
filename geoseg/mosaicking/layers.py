"""The layers of a map: how each is stored, and how it comes from scores."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.core.blend import WindowScores
from geoseg.core.legend import Legend
from geoseg.core.scores import (
    IGNORE,
    SCORE_NODATA,
    SCORE_STEPS,
    classify,
    confidence,
    encode_scores,
)
from geoseg.io.pixel_classes import CLASS_MAP
from geoseg.io.style import attribute_table, colormap, confidence_qml, score_qml
from geoseg.io.writer import RasterFormat
from geoseg.mosaicking.outputs import MapOutputs

__all__ = [
    "CLASS_MAP",
    "CONFIDENCE",
    "SCORES",
    "layer_formats",
    "layer_pixels",
    "raster_styles",
]

SCORES = "scores"
CONFIDENCE = "confidence"


def layer_formats(
    legend: Legend, outputs: MapOutputs, tags: Mapping[str, Any]
) -> dict[str, RasterFormat]:
    """How the layers that are asked for are stored, by name."""
    formats = {
        CLASS_MAP: RasterFormat(
            nodata=IGNORE,
            colormap=colormap(legend),
            band_names=("class",),
            overviews="mode",
            tags=dict(tags) | {"kind": CLASS_MAP},
            attribute_table=attribute_table(legend),
        )
    }
    if outputs.scores:
        small = outputs.score_type == "uint8"
        formats[SCORES] = RasterFormat(
            bands=len(legend),
            dtype=outputs.score_type,
            nodata=SCORE_NODATA if small else float("nan"),
            band_names=tuple(legend.names),
            tags=dict(tags) | {"kind": SCORES, "scale": "score x 254" if small else "score"},
        )
    if outputs.confidence:
        formats[CONFIDENCE] = RasterFormat(
            nodata=SCORE_NODATA,
            band_names=(outputs.confidence_kind,),
            tags=dict(tags)
            | {"kind": CONFIDENCE, "scale": "x 254", "figure": outputs.confidence_kind},
        )
    return formats


def raster_styles(legend: Legend, outputs: MapOutputs) -> dict[Path, str]:
    """QGIS styles of scores and confidence, by the files that they are written to."""
    top = 1 if outputs.score_type == "float32" else SCORE_STEPS
    styles = {}
    if outputs.scores:
        styles[outputs.scores.with_suffix(".qml")] = score_qml(legend, top)
    if outputs.confidence:
        styles[outputs.confidence.with_suffix(".qml")] = confidence_qml(SCORE_STEPS)
    return styles


def layer_pixels(part: WindowScores, outputs: MapOutputs) -> dict[str, NDArray[Any]]:
    """The layers that are asked for of a part of the map, (bands, height, width) each.

    Classes are indices; `Legend.decode_map` makes values of them.
    """
    layers: dict[str, NDArray[Any]] = {CLASS_MAP: classify(part.scores, part.valid)[None]}
    if outputs.scores and outputs.score_type == "uint8":
        layers[SCORES] = encode_scores(part.scores, part.valid)
    elif outputs.scores:
        layers[SCORES] = np.where(part.valid, part.scores, np.float32("nan"))
    if outputs.confidence:
        figure = confidence(part.scores, outputs.confidence_kind)
        layers[CONFIDENCE] = encode_scores(figure, part.valid)[None]
    return layers
