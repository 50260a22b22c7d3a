"""How fast, and in how much memory, `geoseg tile` cuts an orthophoto into patches.

    python benchmarks/tile.py                 # 576 pairs of 512 px out of 12288 x 12288
    python benchmarks/tile.py --side 4096     # 64 pairs, in seconds

geoseg surveys the classes, writes images and masks with their georeference, measures the bands
and writes footprints. Beside it run

- decoding alone: every block of orthophoto and reference, in one thread;
- encoding alone: the same number of patches from memory, compressed as geoseg does (zstd 1);
- the naive loop: read a window, open a deflated GeoTIFF, write the window, as in every notebook;
- the same loop with geoseg's compression, to tell what that alone brings.

A second table is about memory: up to the 256 MB of blocks that GDAL may keep it grows with the
raster, and then no more. `index, stride 1/8` writes no pixels, but has 64 windows over each.
"""

import tempfile
from itertools import product
from pathlib import Path
from typing import Any

import geopandas  # noqa: F401 with which footprints are written: loading it is not timed
import rasterio
from common import LEGEND, arguments, print_race, race, report, town
from rasterio.windows import Window

from geoseg.labels.legend_files import load_legend
from geoseg.patches.record import TileOptions
from geoseg.patches.tile import pair_by_order
from geoseg.patches.tile import tile as tile_orthos

PATCH = 512
QUICK = {"compress": "zstd", "zstd_level": 1}
SMALL, LARGE = 4096, 12288


def decode(side: int) -> None:
    """Read every block and forget it."""
    here = town(side)
    for path in (here.ortho, here.reference):
        with rasterio.open(path) as dataset:
            for _, block in dataset.block_windows():
                dataset.read(window=block)


def encode(side: int) -> None:
    """Write one and the same patch under many names."""
    here = town(side)
    for path, predictor in ((here.ortho, 2), (here.reference, 1)):
        with rasterio.open(path) as dataset, tempfile.TemporaryDirectory() as folder:
            pixels = dataset.read(window=Window(0, 0, PATCH, PATCH))
            for number in range((side // PATCH) ** 2):
                output = Path(folder, f"{number}.tif")
                write(output, pixels, **QUICK, predictor=predictor, blockysize=PATCH)


def loop(side: int, **options: Any) -> None:
    """Cut patches as one would without geoseg."""
    here = town(side)
    for path in (here.ortho, here.reference):
        with rasterio.open(path) as dataset, tempfile.TemporaryDirectory() as folder:
            for row, col in product(range(0, side, PATCH), repeat=2):
                window = Window(col, row, PATCH, PATCH)
                transform = dataset.window_transform(window)
                output = Path(folder, f"{row}_{col}.tif")
                where = {"crs": dataset.crs, "transform": transform}
                write(output, dataset.read(window=window), **where, **options)


def quick_loop(side: int) -> None:
    """The same with geoseg's compression."""
    loop(side, **QUICK)


def write(path: Path, pixels: Any, **options: Any) -> None:
    """Write a GeoTIFF, deflated unless told otherwise."""
    count, height, width = pixels.shape
    profile = {"driver": "GTiff", "dtype": pixels.dtype, "compress": "deflate", **options}
    with rasterio.open(path, "w", count=count, height=height, width=width, **profile) as dataset:
        dataset.write(pixels)


def tile(side: int, **options: Any) -> None:
    """The step itself, with all patches for training."""
    here = town(side)
    choices = TileOptions(**{"patch_size": PATCH, "stride": PATCH, "split": "none"} | options)
    sources = pair_by_order([here.ortho], [here.reference])
    with tempfile.TemporaryDirectory() as folder:
        tile_orthos(sources, load_legend(str(LEGEND)), Path(folder, "patches"), options=choices)


def index(side: int) -> None:
    """The step with windows that overlap by seven eighths and no pixels written."""
    tile(side, stride=PATCH // 8, storage="index")


SPEED = {
    "decoding alone": decode,
    "encoding alone": encode,
    "naive loop": loop,
    "naive loop, zstd 1": quick_loop,
    "geoseg tile": tile,
}
MEMORY = {"geoseg tile": tile, "index, stride 1/8": index}


def main() -> None:
    """Print both tables, or be a contender."""
    wanted = arguments(__doc__, LARGE)
    if wanted.only:
        report((SPEED | MEMORY)[wanted.only], wanted.side)
        return
    runs = race(__file__, SPEED, wanted.side, wanted.rounds)
    print_race(runs, beside="naive loop", megapixels=wanted.side**2 / 1e6)
    print(f"\n{'peak MB':<24}{SMALL:>8}{LARGE:>8}  px")
    small, large = (race(__file__, MEMORY, side, rounds=1) for side in (SMALL, LARGE))
    for name in MEMORY:
        print(f"{name:<24}{small[name][0].megabytes:>8.0f}{large[name][0].megabytes:>8.0f}")


if __name__ == "__main__":
    main()
