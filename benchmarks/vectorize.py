"""How fast, and in how much memory, `geoseg vectorize` turns a class map into polygons.

    python benchmarks/vectorize.py                                # 4096, 12288 and 24576 px
    python benchmarks/vectorize.py --sides 4096 --kinds smooth    # in a minute

Class maps of three kinds: the town of the samples, as a network maps one; noise, where one pixel
in fifty is of another class; and large smooth regions. geoseg simplifies by 1 px, stores areas and
pixel counts, and writes a GeoPackage. Beside it run, without simplification and with the class as
the only column,

- gdal_polygonize, of GDAL's own programs, into a GeoPackage;
- rasterio.features.shapes into a GeoDataFrame, written by geopandas: what every notebook does.

They are left out where they would take many times as long (``--all`` runs them everywhere).
`sparse` is a map of 60,000 x 60,000 px, empty but for a hundredth.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from common import CACHE, Run, report, run, town
from rasterio.features import shapes
from rasterio.windows import Window
from scipy import ndimage

from geoseg.labels.legend import Legend, LegendClass
from geoseg.vectorize.options import VectorizeOptions
from geoseg.vectorize.vectorize import vectorize

KINDS = ("town", "noise", "smooth", "sparse")

LEGEND = Legend(
    classes=tuple(
        LegendClass(value=value, name=f"class {value}", color=(value, 0, 0)) for value in range(8)
    )
)

TILE = 2048
"""Rows and columns of a map that are painted at a time."""

MAX_PEERS_PX = {"gdal_polygonize": {"town": 12288, "noise": 4096, "smooth": 24576}, "shapes": {}}
"""Largest maps of which a peer is timed; without an entry 4096 px."""

SPARSE_SIDE = 60_000


def main() -> None:
    """Print a table for each kind and side, or be a contender."""
    wanted = arguments()
    if wanted.only:
        report(partial(CONTENDERS[wanted.only], wanted.kind), wanted.side)
        return
    for kind in wanted.kinds:
        sides = [SPARSE_SIDE] if kind == "sparse" else wanted.sides
        for side in sides:
            path = class_map(kind, side)
            names = [name for name in CONTENDERS if wanted.all or is_run(name, kind, side)]
            turns = [[turn(name, kind, side) for name in names] for _ in range(wanted.rounds)]
            print_table(
                f"{kind}, {side} x {side} px ({path.stat().st_size >> 20} MB)", names, turns
            )


def arguments() -> argparse.Namespace:
    """What the user wants, or which contender a process is to be."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sides", type=int, nargs="+", default=[4096, 12288, 24576])
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each contender")
    parser.add_argument("--all", action="store_true", help="run the peers on large maps, too")
    parser.add_argument("--only", help="run this contender here and print what it took")
    parser.add_argument("--kind", default="town", help="of the contender's map")
    parser.add_argument("--side", type=int, default=4096, help="of the contender's map")
    return parser.parse_args()


def class_map(kind: str, side: int) -> Path:
    """The class map of a kind and a side in pixels, painted if it is not there yet."""
    path = CACHE / f"vectorize-{kind}-{side}.tif"
    if not path.exists():
        CACHE.mkdir(exist_ok=True)
        partial_path = path.with_suffix(".partial")
        paint(kind, side, partial_path)
        partial_path.replace(path)
    return path


def paint(kind: str, side: int, path: Path) -> None:
    """Write a class map tile by tile."""
    options = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate"}
    place = {"crs": "EPSG:32632", "transform": rasterio.Affine(0.25, 0, 4e5, 0, -0.25, 5.8e6)}
    shape = {"height": side, "width": side, "count": 1, "dtype": "uint8", "nodata": 255}
    with rasterio.open(
        path, "w", driver="GTiff", sparse_ok=True, **shape, **place, **options
    ) as file:
        for row in range(0, side, TILE):
            for col in range(0, side, TILE):
                window = Window(col, row, min(TILE, side - col), min(TILE, side - row))
                if kind != "sparse" or (row // TILE % 10, col // TILE % 10) == (0, 0):
                    file.write(tile(kind, window), 1, window=window)


def tile(kind: str, window: Window) -> np.ndarray:
    """The pixels of a tile; of smooth regions they go on in the next."""
    shape = (window.height, window.width)
    draw = np.random.default_rng((window.row_off, window.col_off))
    if kind == "noise":
        return np.where(draw.random(shape) < 0.02, draw.integers(1, 4, shape), 0).astype(np.uint8)
    if kind == "smooth":
        rows = np.arange(window.row_off, window.row_off + window.height)[:, None]
        cols = np.arange(window.col_off, window.col_off + window.width)[None]
        waves = sum(
            np.sin(rows / scale + 7 * scale) * np.cos(cols / scale + np.sin(rows / 310) * 2)
            for scale in (97, 211, 503)
        )
        return np.digitize(waves, [-0.8, 0, 0.8]).astype(np.uint8)
    with rasterio.open(town(4096).class_map) as file:
        pixels = file.read(1, window=Window(0, 0, TILE, TILE))[: shape[0], : shape[1]]
    speckled = draw.random(shape) < 0.001
    return np.where(speckled, ndimage.grey_dilation(pixels, 3), pixels)


def ours(workers: int, kind: str, side: int) -> None:
    """All of `geoseg vectorize`."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "map.gpkg")
        vectorize(class_map(kind, side), LEGEND, output, VectorizeOptions(workers=workers))


def gdal_polygonize(kind: str, side: int) -> None:
    """GDAL's program."""
    with tempfile.TemporaryDirectory() as folder:
        output = str(Path(folder, "map.gpkg"))
        command = ["gdal_polygonize.py", "-q", str(class_map(kind, side)), "-f", "GPKG", output]
        subprocess.run(command, check=True)


def features_shapes(kind: str, side: int) -> None:
    """What every notebook does."""
    with tempfile.TemporaryDirectory() as folder, rasterio.open(class_map(kind, side)) as file:
        found = list(shapes(file.read(1), transform=file.transform))
        frame = gpd.GeoDataFrame(
            {"class": [value for _, value in found]},
            geometry=[shapely.geometry.shape(each) for each, _ in found],
            crs=file.crs,
        )
        frame.to_file(Path(folder, "map.gpkg"))


CONTENDERS: dict[str, Callable[[str, int], None]] = {
    "geoseg, 1 worker": partial(ours, 1),
    "geoseg, 2 workers": partial(ours, 2),
    "gdal_polygonize": gdal_polygonize,
    "shapes": features_shapes,
}


def is_run(name: str, kind: str, side: int) -> bool:
    """Whether a contender is timed on a map."""
    if name == "gdal_polygonize" and shutil.which("gdal_polygonize.py") is None:
        return False
    return name.startswith("geoseg") or side <= MAX_PEERS_PX[name].get(kind, 4096)


def turn(name: str, kind: str, side: int) -> Run:
    """Run a contender in a process of its own."""
    return run(__file__, name, side, "--kind", kind)


def print_table(title: str, names: list[str], turns: list[list[Run]]) -> None:
    """A line of medians for each contender; ratios are those within a round."""
    print(f"\n{title}")
    print(f"{'':<20}{'seconds':>10}{'cpu s':>10}{'peak MB':>10}{'x GDAL':>10}")
    for place, name in enumerate(names):
        own = [each[place] for each in turns]
        seconds, processor, peak = map(median, zip(*own, strict=True))
        ratio = ""
        if "gdal_polygonize" in names:
            beside = [each[names.index("gdal_polygonize")] for each in turns]
            ratios = (b.seconds / a.seconds for a, b in zip(own, beside, strict=True))
            ratio = f"{median(ratios):.2f}"
        print(f"{name:<20}{seconds:>10.1f}{processor:>10.1f}{peak:>10.0f}{ratio:>10}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
