"""A raster of where a map is right, and of what it takes for what."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.core.confusion import ConfusionMatrix
from geoseg.core.grid import Grid
from geoseg.core.scores import IGNORE
from geoseg.core.window import Window
from geoseg.evaluation.block import Block
from geoseg.evaluation.error_legend import ErrorLegend
from geoseg.io.gdal import rasterio_window
from geoseg.io.outputs import put_in_place, refuse_existing, scratch, writing
from geoseg.io.style import attribute_table, colormap, sidecars, write_sidecars
from geoseg.io.writer import RasterFormat, copy_as_cog, create

KIND = "error map"


class ErrorMapTally:
    """Writes the error map block by block."""

    halo = 0

    def __init__(self, dataset: Any, errors: ErrorLegend) -> None:
        self._dataset = dataset
        self._errors = errors

    def look(self, block: Block) -> tuple[Window, NDArray[np.uint8]]:
        """The block's part of the error map."""
        return block.window, self._errors.values(block.reference, block.mapped)

    def add(self, looked: tuple[Window, NDArray[np.uint8]]) -> None:
        """Write it."""
        window, values = looked
        self._dataset.write(values, 1, window=rasterio_window(window))

    def result(self) -> dict[str, Any]:
        """Nothing is counted."""
        return {}


@contextmanager
def error_map(
    path: Path, grid: Grid, errors: ErrorLegend, confusion: ConfusionMatrix, *, overwrite: bool
) -> Iterator[ErrorMapTally]:
    """A tally that writes an error map, which is there once the block ends well.

    It is a cloud-optimised GeoTIFF with a colour table and the names of its classes, which are
    in ``.aux.xml`` and ``.qml`` beside it, too.

    Args:
        path: To write.
        grid: Of the map.
        errors: Its classes.
        confusion: Of the map.
        overwrite: Whether to replace an existing file.

    Raises:
        OutputError: If it cannot be written.
    """
    refuse_existing(path, *sidecars(path), overwrite=overwrite)
    kind = RasterFormat(
        nodata=IGNORE,
        colormap=colormap(errors.legend),
        band_names=("agreement",),
        overviews="mode",
        tags={"kind": KIND, "legend": errors.legend.to_dict()},
        attribute_table=attribute_table(errors.legend),
    )
    with scratch(path) as folder, writing(path):
        raw, whole = folder / "raw.tif", folder / "cog" / path.name
        whole.parent.mkdir()
        with create(raw, grid, kind, compress="zstd", zstd_level=1) as dataset:
            yield ErrorMapTally(dataset, errors)
        copy_as_cog(raw, whole, kind)
        write_sidecars(whole, errors.legend, errors.pixels(confusion))
        made = dict(zip(sidecars(path), sidecars(whole), strict=True)) | {path: whole}
        put_in_place(made, folder, overwrite=overwrite)
