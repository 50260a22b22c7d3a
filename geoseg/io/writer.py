"""Writing rasters in windows: whole or not at all, as cloud-optimised GeoTIFFs."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import rasterio
import rasterio.shutil
from numpy.typing import NDArray

from geoseg.core.grid import Grid
from geoseg.core.window import Window
from geoseg.io.gdal import rasterio_window
from geoseg.io.outputs import staged, writing

BLOCK = 512
"""Side of a storage tile, in pixels."""

TILES: dict[str, Any] = {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK}
"""Storage in square blocks."""

NO_ALPHA: dict[str, Any] = {"photometric": "minisblack", "alpha": "no"}
"""GDAL would take a fourth band of bytes for alpha."""

PROVENANCE = "GEOSEG"
"""The tag in which rasters carry what they were made of, as JSON."""


@dataclass(frozen=True, kw_only=True)
class RasterFormat:
    """What kind of raster is to be written."""

    bands: int = 1
    """How many."""

    dtype: str = "uint8"
    """numpy's name of the type."""

    nodata: float | None = None
    """Value without data."""

    band_names: tuple[str, ...] = ()
    """Descriptions of the bands."""

    colormap: Mapping[int, tuple[int, int, int, int]] | None = None
    """Colour table of the only band."""

    overviews: Literal["mode", "average", "nearest"] = "average"
    """How overviews are computed."""

    tags: Mapping[str, Any] | None = None
    """What the raster was made of."""


class RasterWriter:
    """A raster open for writing in windows; `create_raster` gives one."""

    def __init__(self, path: Path, dataset: Any) -> None:
        self.path = path
        self._dataset = dataset

    def write(self, window: Window, values: NDArray[Any]) -> None:
        """Write a window.

        Args:
            window: Where, inside the raster.
            values: (bands, height, width), or (height, width) for one band.

        Raises:
            OutputError: If there is no space.
        """
        bands = values if values.ndim > 2 else values[None]  # noqa: PLR2004 axes
        with writing(self.path):
            self._dataset.write(bands, window=rasterio_window(window))


@contextmanager
def create_raster(
    path: Path, grid: Grid, kind: RasterFormat, *, overwrite: bool
) -> Iterator[RasterWriter]:
    """A raster to write in windows, which appears under its name when the block ends well.

    What is written goes to a temporary file beside the target, which GDAL's COG driver
    turns into the output with overviews. If the block fails, nothing is left.

    Raises:
        OutputExistsError: If the output exists and ``overwrite`` is False.
        OutputError: If it cannot be written.
    """
    with staged(path, overwrite=overwrite) as partial:
        strips = partial.with_suffix(".strips.tif")
        try:
            with create(strips, grid, kind, compress="zstd", zstd_level=1) as dataset:
                yield RasterWriter(path, dataset)
            _copy_as_cog(strips, partial, kind)
        finally:
            strips.unlink(missing_ok=True)


def create(path: Path, grid: Grid, kind: RasterFormat, **options: Any) -> Any:
    """A rasterio dataset, open for writing."""
    dataset = rasterio.open(
        path,
        "w",
        driver="GTiff",
        crs=grid.crs,
        transform=grid.transform,
        height=grid.height,
        width=grid.width,
        count=kind.bands,
        dtype=kind.dtype,
        nodata=kind.nodata,
        bigtiff="IF_SAFER",
        **({} if "tiled" in options else TILES),
        **({} if kind.colormap else NO_ALPHA) | options,
    )
    if kind.colormap:
        dataset.write_colormap(1, kind.colormap)
    for band, name in enumerate(kind.band_names, 1):
        dataset.set_band_description(band, name)
    if kind.tags:
        dataset.update_tags(**{PROVENANCE: json.dumps(kind.tags, sort_keys=True)})
    return dataset


def _copy_as_cog(source: Path, target: Path, kind: RasterFormat) -> None:
    """Turn a tiled GeoTIFF into a cloud-optimised one with overviews."""
    rasterio.shutil.copy(
        source,
        target,
        driver="COG",
        compress="deflate",
        predictor="yes" if kind.dtype.startswith("float") else "no",
        blocksize=BLOCK,
        overview_resampling=kind.overviews,
        bigtiff="IF_SAFER",
        num_threads="ALL_CPUS",
    )
