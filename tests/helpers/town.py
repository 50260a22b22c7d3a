"""A part of the artificial town, as files of the same names."""

import shutil
from pathlib import Path

import rasterio
import rasterio.windows

SAMPLE = Path(__file__).parents[2] / "sample_data"


def write_part(folder, side):
    """Write the lower left square of orthophoto and reference, and the legend."""
    for name in ("ortho.tif", "reference.tif"):
        with rasterio.open(SAMPLE / name) as whole:
            window = rasterio.windows.Window(0, whole.height - side, side, side)
            place = {"transform": whole.window_transform(window)}
            profile = whole.profile | {"height": side, "width": side} | place
            with rasterio.open(folder / name, "w", **profile) as part:
                part.write(whole.read(window=window))
    shutil.copy(SAMPLE / "legend.toml", folder)
    return folder
