"""A model that scores images in memory, as it scores orthophotos."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.model.bundle import ModelBundle
from geoseg.model.ensemble import LoadedModels
from geoseg.model.segmenter import check_bands
from geoseg.prediction.blend import blend
from geoseg.prediction.plan import PredictOptions
from geoseg.prediction.score import score
from geoseg.raster.reader import Pixels, reflected
from geoseg.raster.window import Window


@dataclass(frozen=True)
class ArrayOrtho:
    """An image in memory, read as an orthophoto is."""

    image: NDArray[np.float32]

    def read_floats(self, window: Window) -> Pixels:
        """Pixels of a window; what hangs over the edge is reflected and not valid."""
        _, height, width = self.image.shape
        inside = window.clip(height, width)
        if inside is None:
            raise ValueError(f"{window} lies outside of an image of {height} x {width} px")
        image = self.image[:, *inside.slices]
        valid = np.asarray(~np.isnan(image).all(axis=0))
        return reflected(Pixels(image, valid), inside, window)


@dataclass(frozen=True)
class Model:
    """A model that scores arrays."""

    bundle: ModelBundle
    """Of the first model, if there are several."""

    _loaded: LoadedModels

    def predict(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """Score an image, with windows that overlap and are blended as in maps.

        Args:
            image: (bands, height, width) in the units of the training's files; NaN without data.

        Returns:
            (classes, height, width) float32 scores, 0..1; NaN where no band has data.

        Raises:
            BundleError: If the bands are not those of the model.
        """
        array = ArrayOrtho(np.asarray(image, np.float32))
        _, height, width = array.image.shape
        check_bands(self.bundle, len(array.image), Path("the image"), "choose the model's bands")
        options = PredictOptions()
        size = options.size(self.bundle, height, width)
        grid = options.window_grid(height, width, size)
        segmenter = self._loaded.open(size, size)
        found = np.full((len(self.bundle.legend), height, width), np.nan, np.float32)
        parts = score(array, segmenter, grid.windows(grid.whole), batch_size=segmenter.batch_size)
        for window, scores, valid in blend(parts, grid):
            np.copyto(found[:, *window.slices], scores, where=valid)
        return found
