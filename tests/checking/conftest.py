"""Small patch sets of pictures made up for a purpose."""

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS
from scenes import blobs

from geoseg.core.grid import Grid
from geoseg.core.legend import Legend
from geoseg.core.window import Window
from geoseg.io.patch_index import write_index
from geoseg.io.patch_record import Patch, PatchSetRecord, Source
from geoseg.io.patches import PatchSet
from geoseg.io.raster import ReadOptions
from geoseg.io.reference import ReferenceOptions

LEGEND = Legend.from_dict({"ignore": [255], "class": [{"name": "a"}, {"name": "b"}]})


@pytest.fixture
def make_set(tmp_path, write_raster):
    """A function that makes an index over pictures cut into squares.

    Each source is a dictionary: ``image``, and perhaps ``mask``, ``split``, ``corner`` (its place
    on the ground, in pixels; None: it has none) or ``place`` (its CRS and transform);
    ``reference``: the number of a source before it, whose reference it shares.
    """

    def make(*sources, size=32, **changes):
        folder = tmp_path / "set"
        folder.mkdir(exist_ok=True)
        rows, patches, grids = [], [], []
        for number, each in enumerate(sources):
            image = each["image"]
            height, width = image.shape[-2:]
            mask = each.get("mask", blobs(height, width, number))
            crs, transform = each.get("place") or _place(each.get("corner"))
            grid = Grid(crs, transform, height, width)
            where = {"crs": grid.crs, "transform": grid.transform, "photometric": "minisblack"}
            name = f"scene{number}"
            ortho = write_raster(f"data/{name}.tif", image, alpha="no", **where)
            truth = write_raster(f"data/{name}_truth.tif", mask, **where)
            if "reference" in each:
                truth = rows[each["reference"]].reference
            rows.append(Source(name=name, ortho=ortho, reference=truth))
            grids.append(grid)
            patches += _patches(number, height, width, size, each.get("split", "train"), mask)
        image = sources[0]["image"]
        record = PatchSetRecord(
            **{
                "size": size,
                "stride": size,
                "storage": "index",
                "legend": LEGEND,
                "sources": tuple(rows),
                "read": ReadOptions(),
                "reference": ReferenceOptions(),
                "bands": len(image),
                "band_names": tuple(f"band {n + 1}" for n in range(len(image))),
                "dtype": image.dtype.name,
                "gsd": None,
                "statistics": {},
                "class_pixels": (1000, 1000),
                **changes,
            }
        )
        write_index(folder, record, patches, grids)
        return PatchSet.open(folder)

    return make


def _place(corner):
    if corner is None:
        return None, Affine.identity()
    row, col = corner
    return CRS.from_epsg(32632), Affine(1, 0, 500_000 + col, 0, -1, 5_700_000 - row)


def _patches(source, height, width, size, split, mask):
    for row_off in range(0, height - size + 1, size):
        for col_off in range(0, width - size + 1, size):
            window = Window(row_off=row_off, col_off=col_off, height=size, width=size)
            part = mask[window.slices]
            shares = tuple(float(np.mean(part == index)) for index in (0, 1))
            yield Patch(
                source=source, window=window, split=split, valid_share=1.0, class_shares=shares
            )


@pytest.fixture
def find():
    """A function that checks a set and gives its findings by kind."""
    from geoseg.checking import check

    def run(patch_set):
        report = check(patch_set.folder, workers=1, watch=lambda _: lambda items, _: items)
        return {finding.kind: finding for finding in report.findings}

    return run
