"""What a page shows of a raster: its picture, or the class of each pixel."""

from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from geoseg.core.grid import Grid
from geoseg.core.scores import IGNORE
from geoseg.core.window import Window, blocks
from geoseg.io.pixel_classes import PixelClasses
from geoseg.io.raster import RasterReader
from geoseg.io.window_scores import read_tags
from geoseg.reporting.on_grid import OnGrid, shrunk
from geoseg.reporting.stretch import BandChoice, averaged, painter_of, with_alpha

FINER = (4, 2, 1)
"""A pixel of a shrunk picture is the mean of so many along a side, where that comes out even."""

AT_A_TIME = 4096
"""Side of the squares that are read at a time where every pixel is to be seen, in pixels."""


class Layer(Protocol):
    """A raster, or polygons, as a page shows them."""

    @property
    def kind(self) -> Literal["picture", "classes"]:
        """Whether a read gives colours or class indices."""
        ...

    @property
    def title(self) -> str:
        """What the page calls it."""
        ...

    def read(self, window: Window, step: int) -> NDArray[np.uint8]:
        """Pixels of a window of the frame's grid, one for each square of ``step`` pixels.

        Returns:
            (height, width, 4) red, green, blue, alpha; or (height, width) class indices, 255
            where there is none.
        """
        ...

    def close(self) -> None:
        """Release files."""


class PictureLayer:
    """An orthophoto or any other raster in the colours of `painter_of`.

    Raises:
        GridMismatchError: If it has no georeference and is not of the grid's size.
        RasterError: If the file cannot be read.
    """

    kind: Literal["picture"] = "picture"

    def __init__(
        self, path: Path, grid: Grid, *, title: str, bands: BandChoice | None = None
    ) -> None:
        self.title = title
        options = (bands or BandChoice()).options_for(path)
        with RasterReader(path, options) as reader:
            self._paint = painter_of(reader, read_tags(path))
        self._file = OnGrid(path, grid, options)

    def read(self, window: Window, step: int) -> NDArray[np.uint8]:
        """(height, width, 4) red, green, blue, alpha."""
        finer = next(side for side in FINER if step % side == 0)
        image, valid = self._file.read(window, step // finer)
        return averaged(with_alpha(self._paint(image), valid), finer)

    def close(self) -> None:
        """Release files."""
        self._file.close()


class RasterClasses:
    """A class map or a reference raster.

    Raises:
        GridMismatchError: If it has no georeference and is not of the grid's size.
        RasterError: If the file cannot be read.
    """

    kind: Literal["classes"] = "classes"

    def __init__(
        self,
        classes: PixelClasses,
        grid: Grid,
        *,
        exact: bool = False,
    ) -> None:
        """Open.

        Args:
            classes: What the raster's pixels mean.
            grid: To read it on.
            exact: Take the pixel in the middle of each square, rather than what overviews
                hold: slower, and two maps then differ only where their pixels do.
        """
        self.title = classes.path.name
        self._classes, self._exact = classes, exact
        self._file = OnGrid(classes.path, grid, palette_index=classes.by_index)

    def read(self, window: Window, step: int) -> NDArray[np.uint8]:
        """(height, width) class indices.

        Raises:
            LegendError: If a value or colour has no class in the legend.
        """
        if not self._exact or step == 1:
            return self._indices(window, step)
        frame = shrunk(window, step)
        indices = np.full((frame.height, frame.width), IGNORE, np.uint8)
        side = max(AT_A_TIME // step, 1)
        for part in blocks(frame.height, frame.width, rows=side, cols=side):
            rows, cols = (
                np.minimum(np.arange(each.start, each.stop) * step + step // 2, length - 1)
                for each, length in zip(part.slices, (window.height, window.width), strict=True)
            )
            place = Window(
                row_off=window.row_off + int(rows[0]),
                col_off=window.col_off + int(cols[0]),
                height=int(rows[-1] - rows[0]) + 1,
                width=int(cols[-1] - cols[0]) + 1,
            )
            read = self._indices(place, 1)
            indices[part.slices] = read[np.ix_(rows - rows[0], cols - cols[0])]
        return indices

    def _indices(self, window: Window, step: int) -> NDArray[np.uint8]:
        return self._classes.encode(*self._file.read(window, step))

    def close(self) -> None:
        """Release files."""
        self._file.close()
