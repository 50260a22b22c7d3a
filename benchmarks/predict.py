"""What `geoseg predict` takes besides the network, and that memory does not grow with height.

    python benchmarks/predict.py                 # 4096 wide, up to 65536 high
    python benchmarks/predict.py --side 1024     # in seconds

A rule that costs next to nothing stands in for the network (six classes by brightness), so that
reading, blending, argmax, writing and the COG with its overviews are all that is measured. Windows
of 512 px overlap by half, which is the dearest that people use. The orthophoto is the town, set
below itself 1, 4 and 16 times by a VRT.
"""

import tempfile
from pathlib import Path

import numpy as np
import rasterio
from common import LEGEND, arguments, print_race, race, report, town
from rasterio.io import DatasetReader

from geoseg.core.blend import Lattice, blend
from geoseg.io.legends import load_legend
from geoseg.io.raster import RasterReader
from geoseg.mosaicking import MapOutputs, write_map
from geoseg.prediction import score

SIZE, STRIDE = 512, 256
CLASSES = 6


def by_brightness(images: np.ndarray) -> np.ndarray:
    """Scores that sum to 1: the nearer a pixel's brightness to a class's, the higher."""
    brightness = np.nan_to_num(images).mean(axis=1, keepdims=True) / 255
    centres = np.linspace(0, 1, CLASSES, dtype=np.float32)[None, :, None, None]
    nearness = 1 / (np.abs(brightness - centres) + np.float32(0.05))
    return nearness / nearness.sum(axis=1, keepdims=True)


def predict(times: int, side: int) -> None:
    """Predict the town, set below itself so many times."""
    with tempfile.TemporaryDirectory() as folder:
        tall = Path(folder) / "tall.vrt"
        with rasterio.open(town(side).ortho) as ortho:
            tall.write_text(stacked(ortho, times), encoding="utf-8")
        with RasterReader(tall) as reader:
            grid = reader.grid
            lattice = Lattice(grid.height, grid.width, SIZE, STRIDE)
            strips = blend(score(reader, by_brightness, lattice), lattice)
            outputs = MapOutputs(class_map=Path(folder) / "map.tif")
            write_map(strips, grid, load_legend(str(LEGEND)), outputs, provenance={})


def stacked(ortho: DatasetReader, times: int) -> str:
    """A VRT of a raster repeated downwards."""
    side = ortho.width
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}">'
        + "".join(
            f'<SimpleSource><SourceFilename relativeToVRT="0">{ortho.name}</SourceFilename>'
            f"<SourceBand>{band}</SourceBand>"
            f'<SrcRect xOff="0" yOff="0" xSize="{side}" ySize="{side}"/>'
            f'<DstRect xOff="0" yOff="{side * n}" xSize="{side}" ySize="{side}"/></SimpleSource>'
            for n in range(times)
        )
        + "</VRTRasterBand>"
        for band in ortho.indexes
    )
    size = f'rasterXSize="{side}" rasterYSize="{side * times}"'
    return f"<VRTDataset {size}>{bands}</VRTDataset>"


CONTENDERS = {f"{times} times as high": times for times in (1, 4, 16)}


def main() -> None:
    """Print the table, or be a contender."""
    wanted = arguments(__doc__, 4096)
    if wanted.only:
        report(lambda side: predict(CONTENDERS[wanted.only], side), wanted.side)
        return
    runs = race(__file__, CONTENDERS, wanted.side, min(wanted.rounds, 3))
    print_race(runs, beside="1 times as high", megapixels=wanted.side**2 / 1e6)


if __name__ == "__main__":
    main()
