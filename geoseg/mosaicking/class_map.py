"""Finished parts of a map are painted into pieces, stored, and put together as rasters."""

from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.core.blend import WindowScores
from geoseg.core.grid import Grid
from geoseg.core.legend import Legend
from geoseg.core.scores import IGNORE
from geoseg.core.window import Window, blocks
from geoseg.errors import EmptyError
from geoseg.io.outputs import put_in_place, scratch, write_text, writing
from geoseg.io.pieces import Pieces
from geoseg.io.style import sidecars, write_sidecars
from geoseg.io.writer import BLOCK
from geoseg.mosaicking.layers import (
    CLASS_MAP,
    CONFIDENCE,
    SCORES,
    layer_formats,
    layer_pixels,
    raster_styles,
)
from geoseg.mosaicking.outputs import MapOutputs, MapReport

DECODED = 1 << 18
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
    """A map, or the region of one, that is painted part by part and stored piece by piece.

    What is stored outlives the process: a writer on the same folder goes on from there.
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
        """Prepare.

        Args:
            folder: Where pieces are kept.
            region: Of the orthophoto's pixels, which parts are counted in.
            grid: Of the region.
            legend: The classes.
            outputs: Files to write.
            tags: What the files are to say of themselves, besides legend and kind.
        """
        self.region = region
        self.legend = legend
        self.outputs = outputs
        tags = dict(tags) | {"legend": legend.to_dict()}
        self.formats = layer_formats(legend, outputs, tags)
        self._pieces = Pieces(folder, grid, self.formats)

    def unfinished(self, band: Window) -> Window | None:
        """What is still to be written of a band of columns: some rows at its bottom, or nothing."""
        for piece in self._blocks(band):
            if piece.relative_to(self.region) not in self._pieces.finished:
                return Window(
                    row_off=piece.row_off,
                    col_off=band.col_off,
                    height=band.row_stop - piece.row_off,
                    width=band.width,
                )
        return None

    def write(self, parts: Iterable[WindowScores], within: Window) -> None:
        """Paint parts of the map; store each piece when no later part can reach it.

        Args:
            parts: Inside ``within``, without overlap, none above the one before it.
            within: What is written: begins where a piece begins.

        Raises:
            OutputError: If there is no space.
        """
        waiting = deque(self._blocks(within))
        painted: dict[Window, dict[str, NDArray[Any]]] = {}
        for part in parts:
            while waiting and waiting[0].row_stop <= part.window.row_off:
                self._store(waiting[0], painted.pop(waiting.popleft(), None))
            layers = layer_pixels(part, self.outputs)
            for piece in waiting:
                shared = piece.intersection(part.window)
                if shared is None:
                    break
                if piece not in painted:
                    painted[piece] = self._blank(piece)
                for name, image in layers.items():
                    source = shared.relative_to(part.window).slices
                    painted[piece][name][:, *shared.relative_to(piece).slices] = image[:, *source]
        for piece in waiting:
            self._store(piece, painted.pop(piece, None))

    def finish(
        self, *, may_be_empty: bool = False, tags: Mapping[str, Any] | None = None
    ) -> MapReport:
        """Put the pieces together and the outputs in place.

        Args:
            may_be_empty: Whether a map without any class is wanted nevertheless.
            tags: What the files are to say besides what they were opened with.

        Raises:
            EmptyError: If no pixel has a class.
            OutputError: If a file cannot be written.
        """
        counts = [piece.counts for piece in self._pieces.finished.values()]
        pixels = [sum(each) for each in zip(*counts, strict=True)]
        target, folder = self.outputs.class_map, self._pieces.folder
        if not any(pixels) and not may_be_empty:
            raise EmptyError(f"{target}: would have no pixel with a class")
        names = dict(zip(self.legend.names, pixels, strict=True))
        area = self.region.height * self.region.width
        own = {"pixels": area, "class_pixels": names} | dict(tags or {})
        with writing(target):
            for name in self.formats:
                self._pieces.assemble(name, folder / f"{name}.tif", own)
        place_outputs(folder, self.outputs, self.legend, pixels)
        return MapReport(target, area, names)

    def _blocks(self, within: Window) -> Iterable[Window]:
        """The pieces of a band, or of its lower end, top to bottom."""
        for block in blocks(within.height, within.width, rows=BLOCK, cols=within.width):
            yield block.moved(within.row_off, within.col_off)

    def _blank(self, piece: Window) -> dict[str, NDArray[Any]]:
        shape = (piece.height, piece.width)
        return {
            name: np.full((kind.bands, *shape), kind.nodata, kind.dtype)
            for name, kind in self.formats.items()
        }

    def _store(self, piece: Window, layers: dict[str, NDArray[Any]] | None) -> None:
        counts = np.zeros(len(self.legend), np.int64)
        if layers is not None:
            counts += self._decode(layers[CLASS_MAP][0])
        if not counts.any():
            layers = None
        with writing(self.outputs.class_map):
            self._pieces.write(piece.relative_to(self.region), layers, counts.tolist())

    def _decode(self, indices: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Turn class indices into values, in place; some rows at a time, as numpy widens them.

        Returns:
            (classes,) pixels of each class.
        """
        counts = np.zeros(IGNORE + 1, np.int64)
        rows = max(DECODED // indices.shape[1], 1)
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
        own = folder / target.name
        write_sidecars(own, legend, np.array(pixels))
        for number, (path, style) in enumerate(raster_styles(legend, outputs).items()):
            file = folder / f"style{number}.qml"
            write_text(file, style)
            made = {path: file} | made
        made |= dict(zip(sidecars(target), sidecars(own), strict=True))
        made[target] = made.pop(target)  # last: when it is there, all are
    put_in_place(made, folder, overwrite=outputs.overwrite)
