"""Write finished strips of scores as a class map, and as scores and confidence if asked."""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from geoseg.core.blend import WindowScores
from geoseg.core.grid import Grid
from geoseg.core.legend import Legend
from geoseg.core.scores import (
    IGNORE,
    SCORE_NODATA,
    Confidence,
    classify,
    confidence,
    encode_scores,
)
from geoseg.errors import EmptyError
from geoseg.io.outputs import refuse_existing
from geoseg.io.style import colormap, write_sidecars
from geoseg.io.writer import RasterFormat, RasterWriter, create_raster

ScoreType = Literal["uint8", "float32"]

CLASS_MAP = "class map"
SCORES = "scores"


@dataclass(frozen=True, kw_only=True)
class MapOutputs:
    """Which files are to be written."""

    class_map: Path
    """Class map, with ``.aux.xml`` and ``.qml`` beside it."""

    scores: Path | None = None
    """Scores, a band per class."""

    score_type: ScoreType = "uint8"
    """uint8 holds score x 254 and 255 without data; float32 the score and NaN."""

    confidence: Path | None = None
    """How certain each pixel is, uint8 as the scores."""

    confidence_kind: Confidence = "margin"
    """Which figure."""

    sidecars: bool = True
    """Whether ``.aux.xml`` and ``.qml`` are written."""

    overwrite: bool = False
    """Whether existing files are replaced."""

    @property
    def paths(self) -> list[Path]:
        """All rasters."""
        return [path for path in (self.class_map, self.scores, self.confidence) if path]

    def refuse_existing(self) -> None:
        """Say early that a file is in the way.

        Raises:
            OutputExistsError: If one exists that is not to be replaced.
        """
        refuse_existing(*self.paths, overwrite=self.overwrite)


@dataclass(frozen=True)
class MapReport:
    """What was written."""

    path: Path
    """The class map."""

    pixels: int
    """Pixels of the map."""

    class_pixels: dict[str, int]
    """Pixels of each class."""

    @property
    def valid_share(self) -> float:
        """Share of the map that has a class, 0..1."""
        return sum(self.class_pixels.values()) / self.pixels

    @property
    def shares(self) -> str:
        """Share of each class in the valid pixels, for people."""
        total = sum(self.class_pixels.values())
        return ", ".join(f"{name} {n / total:.1%}" for name, n in self.class_pixels.items())


def write_map(
    strips: Iterable[WindowScores],
    grid: Grid,
    legend: Legend,
    outputs: MapOutputs,
    *,
    provenance: Mapping[str, Any],
) -> MapReport:
    """Turn finished scores into rasters.

    Args:
        strips: Windows that cover the map without overlap.
        grid: Of the map.
        legend: Its classes.
        outputs: Files to write.
        provenance: What the map was made of.

    Raises:
        EmptyError: If no pixel is valid.
        OutputError: If a file cannot be written.
    """
    outputs.refuse_existing()
    tags = {"legend": legend.to_dict(), "provenance": dict(provenance)}
    counts = np.zeros(IGNORE + 1, np.int64)
    with ExitStack() as stack:

        def create(path: Path, kind: RasterFormat) -> RasterWriter:
            return stack.enter_context(create_raster(path, grid, kind, overwrite=outputs.overwrite))

        classes = create(outputs.class_map, _class_format(legend, tags))
        scores = outputs.scores and create(outputs.scores, _score_format(legend, outputs, tags))
        certainty = outputs.confidence and create(outputs.confidence, _confidence_format(outputs))
        for strip in strips:
            indices = classify(strip.scores, strip.valid)
            counts += np.bincount(indices.ravel(), minlength=IGNORE + 1)
            classes.write(strip.window, legend.decode_map(indices))
            if scores:
                scores.write(strip.window, _stored(strip, outputs.score_type))
            if certainty:
                figure = confidence(strip.scores, outputs.confidence_kind)
                certainty.write(strip.window, encode_scores(figure, strip.valid))
        if not counts[: len(legend)].any():
            raise EmptyError(f"{outputs.class_map}: would have no pixel with a class")
    pixels = counts[: len(legend)]
    if outputs.sidecars:
        write_sidecars(outputs.class_map, legend, pixels)
    names = dict(zip(legend.names, pixels.tolist(), strict=True))
    return MapReport(outputs.class_map, int(counts.sum()), names)


def _stored(strip: WindowScores, score_type: ScoreType) -> NDArray[Any]:
    if score_type == "uint8":
        return encode_scores(strip.scores, strip.valid)
    return np.where(strip.valid, strip.scores, np.float32("nan"))


def _class_format(legend: Legend, tags: Mapping[str, Any]) -> RasterFormat:
    return RasterFormat(
        nodata=IGNORE,
        colormap=colormap(legend),
        band_names=("class",),
        overviews="mode",
        tags=dict(tags) | {"kind": CLASS_MAP},
    )


def _score_format(legend: Legend, outputs: MapOutputs, tags: Mapping[str, Any]) -> RasterFormat:
    small = outputs.score_type == "uint8"
    return RasterFormat(
        bands=len(legend),
        dtype=outputs.score_type,
        nodata=SCORE_NODATA if small else float("nan"),
        band_names=tuple(legend.names),
        tags=dict(tags) | {"kind": SCORES, "scale": "score x 254" if small else "score"},
    )


def _confidence_format(outputs: MapOutputs) -> RasterFormat:
    return RasterFormat(
        nodata=SCORE_NODATA,
        band_names=(outputs.confidence_kind,),
        tags={"kind": "confidence", "scale": "x 254", "figure": outputs.confidence_kind},
    )
