"""Finished parts of a map are painted into chunks, stored, and put together as rasters."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import EmptyError, PartlyReadError
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.style import (
    attribute_table,
    card,
    colormap,
    confidence_qml,
    map_legend,
    map_picture,
    score_qml,
    sidecar_texts,
    sidecars,
)
from geoseg.labels.tags import CLASS_MAP, CONFIDENCE, SCORES
from geoseg.options import option
from geoseg.prediction.blend import WindowScores
from geoseg.prediction.scores import (
    DISAGREEMENT,
    SCORE_NODATA,
    SCORE_STEPS,
    Confidence,
    Threshold,
    chosen_thresholds,
    classify,
    confidence,
    encode_scores,
    threshold_factors,
)
from geoseg.raster.atomic import put_in_place, refuse_existing, scratch, writing
from geoseg.raster.grid import Grid
from geoseg.raster.paths import refuse_non_tiff
from geoseg.raster.window import Window, blocks
from geoseg.raster.writer import BLOCK_PX, MapChunks, RasterFormat

if TYPE_CHECKING:
    from geoseg.model.bundle import ModelBundle

ScoreType = Literal["uint8", "float32"]

LAYERS = "Layers"


@dataclass(frozen=True, kw_only=True)
class LayerOptions:
    """How classes are chosen, and what is written beside a class map."""

    thresholds: tuple[Threshold | Literal["auto"], ...] = option(
        (),
        group=LAYERS,
        names=("--threshold",),
        metavar="CLASS=SCORE|auto",
        parse=Threshold.parse,
        repeat=True,
        help="Take a class from this score on, such as building=0.35, instead of where it has the "
        "highest; may be repeated. auto: as suits the model on its validation ground.",
    )
    scores: bool = option(
        False,
        group=LAYERS,
        help="Write class scores beside the map as well: NAME_scores.tif.",
    )
    score_type: ScoreType = option("uint8", group=LAYERS, help="uint8 holds score x 254.")
    confidence: Confidence | None = option(
        None,
        group=LAYERS,
        help="Write confidence of this kind beside the map as well: NAME_confidence.tif. "
        "disagreement: of the windows, views and models that show a pixel.",
    )

    def outputs(
        self, class_map: Path, *, overwrite: bool, bundle: "ModelBundle | None" = None
    ) -> "MapOutputs":
        """The files of a map: its layers lie beside it.

        Args:
            class_map: The map.
            overwrite: Whether existing files are replaced.
            bundle: The model, whose thresholds may be wanted.

        Raises:
            GeosegError: If thresholds are not of the model's classes, or it has none of its own.
        """
        name = class_map.stem
        return MapOutputs(
            class_map=class_map,
            thresholds=chosen_thresholds(self.thresholds, bundle),
            scores=class_map.with_name(f"{name}_scores.tif") if self.scores else None,
            score_type=self.score_type,
            confidence=class_map.with_name(f"{name}_confidence.tif") if self.confidence else None,
            confidence_kind=self.confidence or "margin",
            overwrite=overwrite,
        )


@dataclass(frozen=True, kw_only=True)
class MapOutputs:
    """Which files are to be written."""

    class_map: Path
    """Class map, with ``.aux.xml`` and ``.qml`` beside it."""

    thresholds: tuple[Threshold, ...] = ()
    """Of some of its classes."""

    scores: Path | None = None
    """Scores, a band per class."""

    score_type: ScoreType = "uint8"
    """uint8 holds score x 254 and 255 without data; float32 the score and NaN."""

    confidence: Path | None = None
    """How certain each pixel is, uint8 as the scores."""

    confidence_kind: Confidence = "margin"
    sidecars: bool = True
    """Whether ``.aux.xml`` is written beside the class map, and ``.qml`` beside all."""

    overwrite: bool = False

    def __post_init__(self) -> None:
        refuse_non_tiff(*self.paths)

    @property
    def paths(self) -> list[Path]:
        """All rasters, the class map last: when it is there, all are."""
        return [path for path in (self.scores, self.confidence, self.class_map) if path]

    @property
    def has_squares(self) -> bool:
        """Whether scores come with a band more, for the confidence that needs it."""
        return self.confidence is not None and self.confidence_kind == DISAGREEMENT

    @property
    def threshold_tag(self) -> dict[str, float] | None:
        """What the class map says of thresholds."""
        return {each.name: each.value for each in self.thresholds} or None

    @property
    def files(self) -> list[Path]:
        """All files that are written, the class map last."""
        if not self.sidecars:
            return self.paths
        styles = [path.with_suffix(".qml") for path in (self.scores, self.confidence) if path]
        return [*sidecars(self.class_map), *styles, *self.paths]

    def refuse_existing(self) -> None:
        """Say early that a file is in the way.

        Raises:
            OutputExistsError: If one exists that is not to be replaced.
        """
        refuse_existing(*self.files[::-1], overwrite=self.overwrite)


@dataclass(frozen=True)
class MapReport:
    """What was written."""

    path: Path
    pixels: int
    class_pixels: dict[str, int]

    @property
    def valid_share(self) -> float:
        """Share of the map that has a class, 0..1."""
        return sum(self.class_pixels.values()) / self.pixels

    @property
    def shares(self) -> str:
        """Share of each class in the valid pixels, for people."""
        total = max(sum(self.class_pixels.values()), 1)
        return ", ".join(f"{name} {n / total:.1%}" for name, n in self.class_pixels.items())

    def _repr_html_(self) -> str:
        """The map and its classes, for notebooks."""
        total = max(sum(self.class_pixels.values()), 1)
        return card(
            self.path.name,
            [f"{self.pixels:,} px, {self.valid_share:.1%} valid"],
            rows=[{"class": k, "share": f"{n / total:.1%}"} for k, n in self.class_pixels.items()],
            legend=map_legend(self.path),
            picture=map_picture(self.path),
        )


def partly_read(path: Path, pixels: int, reason: str | None = None) -> PartlyReadError:
    """What is to be said of a map that lacks what could not be read.

    Args:
        path: The class map.
        pixels: Of all blocks of the source of which something could not be read.
        reason: What went wrong at the first of them.
    """
    lost = f"{pixels} px could not be read and have no data in it"
    return PartlyReadError(f"{path}: written, but {lost}{f': {reason}' if reason else ''}")


REGION = "region"
"""In the provenance: ``[row_off, col_off, height, width]`` of the map on the orthophoto's pixels,
where it is not all of it."""


def layer_formats(
    legend: Legend, outputs: MapOutputs, tags: Mapping[str, Any]
) -> dict[str, RasterFormat]:
    """How the layers that are asked for are stored, by name."""
    chosen = {"thresholds": outputs.threshold_tag} if outputs.thresholds else {}
    formats = {
        CLASS_MAP: RasterFormat(
            nodata=IGNORE,
            colormap=colormap(legend),
            band_names=("class",),
            overviews="mode",
            tags=dict(tags) | {"kind": CLASS_MAP} | chosen,
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


def layer_pixels(
    part: WindowScores, outputs: MapOutputs, factors: NDArray[np.float32] | None = None
) -> dict[str, NDArray[Any]]:
    """The layers that are asked for of a part of the map, (bands, height, width) each.

    Classes are indices; `Legend.decode_map` makes values of them.
    """
    scores, valid = part.scores[:-1] if outputs.has_squares else part.scores, part.valid
    layers: dict[str, NDArray[Any]] = {CLASS_MAP: classify(scores, valid, factors)[None]}
    if outputs.scores and outputs.score_type == "uint8":
        layers[SCORES] = encode_scores(scores, valid)
    elif outputs.scores:
        layers[SCORES] = np.where(valid, scores, np.float32("nan"))
    if outputs.confidence:
        figure = confidence(part.scores, outputs.confidence_kind)
        known = valid & ~np.isnan(figure)
        layers[CONFIDENCE] = encode_scores(np.where(known, figure, 0), known)[None]
    return layers


DECODED_PX = 1 << 18
"""Pixels that become values at a time."""


def write_map(
    parts: Iterable[WindowScores],
    grid: Grid,
    legend: Legend,
    outputs: MapOutputs,
    *,
    provenance: Mapping[str, Any],
) -> MapReport:
    """Turn finished scores into rasters.

    Args:
        parts: Windows of the map without overlap, top to bottom; what they leave out has
            no data.
        grid: Of the map.
        legend: Its classes.
        outputs: Files to write.
        provenance: What the map was made of.

    Raises:
        EmptyError: If no pixel is valid.
        OutputError: If a file cannot be written.
    """
    outputs.refuse_existing()
    with scratch(outputs.class_map) as folder:
        tags = {"provenance": dict(provenance)}
        writer = MapWriter(
            folder, region=grid.window, grid=grid, legend=legend, outputs=outputs, tags=tags
        )
        writer.write(parts, grid.window)
        return writer.finish()


class MapWriter:
    """A map, or the region of one, that is painted part by part and stored chunk by chunk.

    What is stored outlives the process: a writer on the same folder goes on from there. Parts are
    counted on the orthophoto's pixels, like `region`; `grid` is the region's; `tags` are what the
    files say besides legend and kind.
    """

    def __init__(
        self,
        folder: Path,
        *,
        region: Window,
        grid: Grid,
        legend: Legend,
        outputs: MapOutputs,
        tags: Mapping[str, Any],
    ) -> None:
        self.region = region
        self.legend = legend
        self.outputs = outputs
        tags = dict(tags) | {"legend": legend.to_dict()}
        self.formats = layer_formats(legend, outputs, tags)
        self._factors = threshold_factors(legend.names, outputs.thresholds)
        self._chunks = MapChunks(folder, grid, self.formats)

    def unfinished(self, band: Window) -> Window | None:
        """What is still to be written of a band of columns: some rows at its bottom, or nothing."""
        for chunk in self._blocks(band):
            if chunk.relative_to(self.region) not in self._chunks.finished:
                return Window(
                    row_off=chunk.row_off,
                    col_off=band.col_off,
                    height=band.row_stop - chunk.row_off,
                    width=band.width,
                )
        return None

    def write(self, parts: Iterable[WindowScores], within: Window) -> None:
        """Paint the layers of finished scores, as `paint` does."""
        self.paint(((part.window, self._layers(part)) for part in parts), within)

    def _layers(self, part: WindowScores) -> dict[str, NDArray[Any]]:
        if len(part.scores) != len(self.legend) + self.outputs.has_squares:
            raise ValueError(f"{len(part.scores)} bands of scores for {len(self.legend)} classes")
        return layer_pixels(part, self.outputs, self._factors)

    def paint(
        self, parts: Iterable[tuple[Window, Mapping[str, NDArray[Any]]]], within: Window
    ) -> None:
        """Paint parts of the map; store each chunk when no later part can reach it.

        Args:
            parts: Windows inside ``within``, without overlap, none above the one before it; with
                the layers of each, (bands, height, width), of which the class map holds indices.
            within: What is written: begins where a chunk begins.

        Raises:
            OutputError: If there is no space.
        """
        waiting = deque(self._blocks(within))
        painted: dict[Window, dict[str, NDArray[Any]]] = {}
        for window, layers in parts:
            while waiting and waiting[0].row_stop <= window.row_off:
                self._store(waiting[0], painted.pop(waiting.popleft(), None))
            for chunk in waiting:
                shared = chunk.intersection(window)
                if shared is None:
                    break
                if chunk not in painted:
                    painted[chunk] = self._blank(chunk)
                for name, image in layers.items():
                    source = shared.relative_to(window).slices
                    painted[chunk][name][:, *shared.relative_to(chunk).slices] = image[:, *source]
        for chunk in waiting:
            self._store(chunk, painted.pop(chunk, None))

    def finish(
        self, *, may_be_empty: bool = False, tags: Mapping[str, Any] | None = None
    ) -> MapReport:
        """Put the chunks together and the outputs in place.

        Raises:
            EmptyError: If no pixel has a class.
            OutputError: If a file cannot be written.
        """
        counts = [chunk.counts for chunk in self._chunks.finished.values()]
        pixels = [sum(each) for each in zip(*counts, strict=True)]
        target, folder = self.outputs.class_map, self._chunks.folder
        if not any(pixels) and not may_be_empty:
            raise EmptyError(f"{target}: would have no pixel with a class")
        names = dict(zip(self.legend.names, pixels, strict=True))
        area = self.region.height * self.region.width
        own = {"pixels": area, "class_pixels": names} | dict(tags or {})
        with writing(target):
            for name in self.formats:
                self._chunks.assemble(name, folder / f"{name}.tif", own)
        place_outputs(folder, self.outputs, self.legend, pixels)
        return MapReport(target, area, names)

    def _blocks(self, within: Window) -> Iterable[Window]:
        """The chunks of a band, or of its lower end, top to bottom."""
        for block in blocks(within.height, within.width, rows=BLOCK_PX, cols=within.width):
            yield block.moved(within.row_off, within.col_off)

    def _blank(self, chunk: Window) -> dict[str, NDArray[Any]]:
        shape = (chunk.height, chunk.width)
        return {
            name: np.full((kind.bands, *shape), kind.nodata, kind.dtype)
            for name, kind in self.formats.items()
        }

    def _store(self, chunk: Window, layers: dict[str, NDArray[Any]] | None) -> None:
        counts = np.zeros(len(self.legend), np.int64)
        if layers is not None:
            counts += self._decode(layers[CLASS_MAP][0])
        if not counts.any():
            layers = None
        with writing(self.outputs.class_map):
            self._chunks.write(chunk.relative_to(self.region), layers, counts.tolist())

    def _decode(self, indices: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Turn class indices into values, in place; some rows at a time, as numpy widens them.

        Returns:
            (classes,) pixels of each class.
        """
        counts = np.zeros(IGNORE + 1, np.int64)
        rows = max(DECODED_PX // indices.shape[1], 1)
        for start in range(0, len(indices), rows):
            few = indices[start : start + rows]
            counts += np.bincount(few.ravel(), minlength=IGNORE + 1)
            few[...] = self.legend.decode_map(few)
        return counts[: len(self.legend)]


def place_outputs(folder: Path, outputs: MapOutputs, legend: Legend, pixels: list[int]) -> None:
    """Give the layers of a map that lie in a folder their names, and sidecars.

    Raises:
        OutputError: If a file cannot be moved.
    """
    target = outputs.class_map
    paths = {outputs.scores: SCORES, outputs.confidence: CONFIDENCE, target: CLASS_MAP}
    made = {path: folder / f"{layer}.tif" for path, layer in paths.items() if path}
    if outputs.sidecars:
        styles = raster_styles(legend, outputs)
        texts = styles | sidecar_texts(target, legend, np.array(pixels))
        files = {path: folder / f"text{number}" for number, path in enumerate(texts)}
        made = {path: files[path] for path in styles} | made | files
        made[target] = made.pop(target)  # last: when it is there, all are
        for path, text in texts.items():
            with writing(path):  # nobody else has the folder
                files[path].write_text(text, encoding="utf-8", newline="\n")
    put_in_place(made, folder, overwrite=outputs.overwrite)
