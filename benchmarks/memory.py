"""That memory does not grow with the raster: 6,000 and 24,000 px dense, 60,000 px mostly nodata.

    python benchmarks/memory.py                 # int8 U-Net, --memory 200MB
    python benchmarks/memory.py --memory 2GB

The dense rasters are the town, repeated by a VRT; the sparse one holds the town in its corners
and its middle, and blocks that are not there elsewhere. With the same ``--memory`` the peaks are
to lie within a tenth of each other. Network, loading and compiling are part of the peak.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import rasterio
from common import CACHE, print_race, race, report, town
from predict import make_model, models

from geoseg.options import parse_size
from geoseg.prediction.map_writer import MapOutputs
from geoseg.prediction.plan import PredictOptions
from geoseg.prediction.predict import predict_map

TOWN = 6000
SIDES = {"dense-6000": 6000, "dense-24000": 24000, "sparse-60000": 60000}
BLOCK = 512
MEMORY = CACHE / "memory.txt"


def main() -> None:
    """Print the table, or be a contender."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--memory", type=parse_size, default=parse_size("200MB"))
    parser.add_argument("--side", type=int, default=TOWN, help=argparse.SUPPRESS)
    parser.add_argument("--contenders", type=lambda text: text.split(","), default=list(SIDES))
    parser.add_argument("--rounds", type=int, default=1, help="runs of each contender")
    parser.add_argument("--only", help="run this contender here and print what it took")
    wanted = parser.parse_args()
    if wanted.only:
        memory = int(MEMORY.read_text(encoding="utf-8"))
        report(lambda _: predict(wanted.only, memory), wanted.side)
        return
    town(TOWN)
    make_model()
    for name in wanted.contenders:
        raster(name)
    MEMORY.write_text(str(wanted.memory), encoding="utf-8")
    runs = race(__file__, wanted.contenders, TOWN, wanted.rounds)
    print_race(runs, beside=wanted.contenders[0], megapixels=TOWN**2 / 1e6)
    peaks = [max(run.megabytes for run in own) for own in runs.values()]
    print(f"highest peak over lowest: {max(peaks) / min(peaks):.3f}")


def predict(name: str, memory: int) -> None:
    """Predict one of the rasters."""
    with tempfile.TemporaryDirectory() as folder:
        outputs = MapOutputs(class_map=Path(folder) / "map.tif")
        predict_map(raster(name), models("int8"), outputs, options=PredictOptions(memory=memory))


def raster(name: str) -> Path:
    """One of the rasters, made if it is not there yet."""
    path = CACHE / f"{name}.{'vrt' if name.startswith('dense') else 'tif'}"
    if not path.exists():
        (write_dense if name.startswith("dense") else write_sparse)(path, SIDES[name])
    return path


def write_dense(path: Path, side: int) -> None:
    """The town beside and below itself, as a VRT."""
    source = town(TOWN).ortho
    places = [(row, col) for row in range(0, side, TOWN) for col in range(0, side, TOWN)]
    size = f'xSize="{TOWN}" ySize="{TOWN}"'
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}">'
        + "".join(
            f"<SimpleSource><SourceFilename>{source}</SourceFilename>"
            f'<SourceBand>{band}</SourceBand><SrcRect xOff="0" yOff="0" {size}/>'
            f'<DstRect xOff="{col}" yOff="{row}" {size}/></SimpleSource>'
            for row, col in places
        )
        + "</VRTRasterBand>"
        for band in (1, 2, 3)
    )
    text = f'<VRTDataset rasterXSize="{side}" rasterYSize="{side}">{bands}</VRTDataset>'
    path.write_text(text, encoding="utf-8")


def write_sparse(path: Path, side: int) -> None:
    """Nodata but for the town's upper left in the corners and the middle."""
    few = 4 * BLOCK
    with rasterio.open(town(TOWN).ortho) as ortho:
        pixels = ortho.read(window=rasterio.windows.Window(0, 0, few, few))
    far = (side - few) // BLOCK * BLOCK
    partial = path.with_suffix(".partial")
    options = {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "compress": "deflate"}
    with rasterio.open(
        partial,
        "w",
        driver="GTiff",
        height=side,
        width=side,
        count=3,
        dtype=np.uint8,
        nodata=0,
        sparse_ok=True,
        bigtiff=True,
        **options,
    ) as file:
        for row, col in [(0, 0), (0, far), (far, 0), (far, far), (far // 2, far // 2)]:
            file.write(pixels, window=rasterio.windows.Window(col, row, few, few))
    partial.replace(path)


if __name__ == "__main__":
    main()
