"""Small patch sets of pictures made up for a purpose."""

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS
from scenes import blobs

from geoseg.labels.legend import Legend
from geoseg.labels.reference import ReferenceOptions
from geoseg.patches.index import write_index
from geoseg.patches.patch_set import PatchSet
from geoseg.patches.record import Patch, PatchSetRecord, Source, TileOptions
from geoseg.patches.tile import tile
from geoseg.raster.grid import Grid
from geoseg.raster.reader import ReadOptions
from geoseg.raster.window import Window

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
    from geoseg.patches.check import check

    def run(patch_set):
        report = check(patch_set.folder, workers=1, watch=lambda _: lambda items, _: items)
        return {finding.kind: finding for finding in report.findings}

    return run


TILING_LEGEND = Legend.from_dict(
    {
        "ignore": [255],
        "class": [{"value": 3, "name": "a"}, {"value": 7, "name": "b"}, {"value": 1, "name": "c"}],
    }
)


SMALL = {"patch_size": 16, "stride": 8, "split_block": 32, "workers": 2, "val": 0.3}


@pytest.fixture
def write_source(write_raster):
    """A function that writes an orthophoto with a hole, and a reference of striped classes."""

    def write(name="one", height=64, width=80, *, split=None, dtype="uint8", bands=3, **profile):
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

    def run(sources, output, *, legend=TILING_LEGEND, overwrite=False, **changes):
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
