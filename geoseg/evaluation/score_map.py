"""Scores of a class map, as ``geoseg predict --scores`` writes them."""

from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import EmptyError, GridMismatchError, InputError, RasterError
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.legend_map import bands_of
from geoseg.prediction.scores import decode_scores, refuse_non_scores
from geoseg.raster.grid import Grid
from geoseg.raster.reader import Pixels, RasterReader
from geoseg.raster.window import Window


class ScoreMap:
    """Scores open for reading in windows of a class map's grid, a band per class.

    Bands are told by their names if these are the classes', and by their order if they have
    none. Scores of classes that a legend map merges are added up.

    Raises:
        GridMismatchError: If they lie on another grid than the class map.
        InputError: If they are of other classes.
        RasterError: If the file cannot be read, or holds no scores.
    """

    def __init__(self, path: Path, legend: Legend, grid: Grid) -> None:
        """Open.

        Args:
            path: uint8 (score x 254, 255 without data) or floats 0..1.
            legend: The classes.
            grid: The class map's.
        """
        self.path = path
        self._classes = len(legend)
        self._reader = RasterReader(path, palette_index=True)
        try:
            self._indices = self._match(bands_of(legend))
            self._window = self._place(grid)
        except (GridMismatchError, InputError, EmptyError):
            self.close()
            raise

    def _match(self, classes: tuple[tuple[str, int], ...]) -> list[int]:
        """The class of each band; `IGNORE` for one that is left out."""
        names, known = list(self._reader.band_names), dict(classes)
        if self._reader.dtype != np.uint8 and self._reader.dtype.kind != "f":
            raise RasterError(f"{self.path}: scores are uint8 or floats, not {self._reader.dtype}")
        if len(names) != len(known):
            raise InputError(
                f"{self.path}: has {len(names)} bands, and the map's classes are {list(known)}; "
                f"scores have a band for each"
            )
        if set(names) == set(known):
            return [known[name] for name in names]
        if not all(_is_unnamed(name) for name in names):
            raise InputError(
                f"{self.path}: holds scores of {names}, and the map's classes are {list(known)}"
            )
        return list(known.values())

    def _place(self, grid: Grid) -> Window:
        own = self._reader.grid
        if not own.is_georeferenced and (own.height, own.width) == (grid.height, grid.width):
            return grid.window
        try:
            window = own.window_of(grid)
        except GridMismatchError as error:
            raise GridMismatchError(f"{self.path}: not on the grid of the map: {error}") from error
        if window.clip(own.height, own.width) is None:
            raise EmptyError(f"{self.path}: does not overlap the map")
        return window

    def read(self, window: Window) -> Pixels:
        """(classes, height, width) float32 scores, and where there are any.

        Raises:
            RasterError: If a value is no score.
        """
        scores = np.zeros((self._classes, window.height, window.width), np.float32)
        valid = np.zeros((window.height, window.width), np.bool_)
        wanted = window.moved(self._window.row_off, self._window.col_off)
        inside = wanted.clip(self._reader.grid.height, self._reader.grid.width)
        if inside is not None:
            place = inside.relative_to(wanted).slices
            image, valid[place] = self._reader.read(inside)
            part = scores[:, *place]
            for index, band in zip(self._indices, self._decoded(image), strict=True):
                if index != IGNORE:
                    part[index] += band
        np.copyto(scores, 0, where=~valid)
        refuse_non_scores(scores, self.path)
        return Pixels(scores.clip(max=1, out=scores), valid)

    def _decoded(self, image: NDArray[Any]) -> NDArray[np.float32]:
        if image.dtype == np.uint8:
            return decode_scores(image)
        return image.astype(np.float32, copy=False)

    def close(self) -> None:
        """Release files."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _is_unnamed(name: str) -> bool:
    """Whether a band bears no name of its own, as told by `geoseg.raster.storage.band_names`."""
    return name in {"red", "green", "blue", "gray"} or name.startswith("band ")
