"""Random orthophotos with references, and the whole step on them."""

import numpy as np
import pytest
import rasterio

from geoseg.core.legend import Legend
from geoseg.io.patch_record import Source
from geoseg.io.patches import PatchSet
from geoseg.tiling import TileOptions, tile

LEGEND = Legend.from_dict(
    {
        "ignore": [255],
        "class": [{"value": 3, "name": "a"}, {"value": 7, "name": "b"}, {"value": 1, "name": "c"}],
    }
)
SMALL = {"patch_size": 16, "stride": 8, "split_block": 32, "workers": 2, "val": 0.3}


@pytest.fixture
def write_source(write_raster):
    """A function that writes an orthophoto with a hole, and a reference of striped classes."""

    def write(name="one", height=96, width=112, *, split=None, dtype="uint8", bands=3, **profile):
        rng = np.random.default_rng(height + width)
        image = rng.integers(1, 200, (bands, height, width)).astype(dtype)
        image[:, height // 3 : height // 2, : width // 4] = 0
        rows, cols = np.indices((height, width))
        truth = np.choose((rows // 3 + cols // 5) % 4, [3, 7, 1, 255]).astype(np.uint8)
        where = {key: profile[key] for key in ("transform", "crs") if key in profile}
        return Source(
            name=name,
            ortho=write_raster(f"data/{name}.tif", image, **{"nodata": 0} | profile),
            reference=write_raster(f"data/{name}_truth.tif", truth, **where),
            split=split,
        )

    return write


@pytest.fixture
def run_tile():
    """A function that tiles with small patches and opens the patch set."""

    def run(sources, output, *, legend=LEGEND, overwrite=False, **changes):
        options = TileOptions(**SMALL | changes)
        report = tile(sources, legend, output, options=options, overwrite=overwrite)
        return report, PatchSet.open(output)

    return run


@pytest.fixture
def pixels_of():
    """A function that reads an orthophoto and its reference whole."""

    def read(source):
        with rasterio.open(source.ortho) as ortho, rasterio.open(source.reference) as truth:
            return ortho.read(), truth.read(1)

    return read


@pytest.fixture
def painted():
    """A function that shows where the patches of a split lie on a source: (height, width) bool."""

    def paint(patches, split, height, width, source=0):
        canvas = np.zeros((height, width), bool)
        for patch in patches.in_split(split):
            if patch.source == source:
                canvas[patch.window.clip(height, width).slices] = True
        return canvas

    return paint
