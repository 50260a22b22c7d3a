"""A small patch set, and options of a quick training."""

import numpy as np
import pytest
import rasterio
from affine import Affine

from geoseg.labels.legend import Legend
from geoseg.patches.patch_set import PatchSet, Sample
from geoseg.patches.record import Source, TileOptions
from geoseg.patches.tile import tile
from geoseg.training.options import TrainOptions

LEGEND = Legend.from_dict({"class": [{"value": 3, "name": "dark"}, {"value": 1, "name": "bright"}]})


COLORS = np.array([(30, 40, 50), (180, 190, 200)], np.uint8)


PLACE = {"crs": "EPSG:32632", "transform": Affine(0.5, 0, 500_000, 0, -0.5, 5_700_000)}


def write(path, image, **profile):
    count, height, width = image.shape
    shape = {"count": count, "height": height, "width": width, "dtype": image.dtype}
    with rasterio.open(path, "w", driver="GTiff", **shape, **PLACE, **profile) as file:
        file.write(image)
    return path


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """An orthophoto of 128 x 160 px with a hole, and its reference with unlabelled rows."""
    folder = tmp_path_factory.mktemp("source")
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, (8, 10)).repeat(16, axis=0).repeat(16, axis=1)
    image = COLORS[truth].transpose(2, 0, 1) + rng.integers(0, 40, (3, 128, 160), np.uint8)
    image[:, 50:60, 20:30] = 0
    values = np.array([3, 1], np.uint8)[truth]
    values[60:64] = 255
    return Source(
        name="town",
        ortho=write(folder / "ortho.tif", image, nodata=0),
        reference=write(folder / "truth.tif", values[None], nodata=255),
    )


@pytest.fixture(scope="session")
def make_patches(source, tmp_path_factory):
    """A function that tiles the orthophoto and gives the folder."""

    def make(**changes):
        folder = tmp_path_factory.mktemp("patches") / "set"
        choices = {"patch_size": 32, "stride": 32, "split_block": 32, "val": 0.3, "workers": 1}
        tile([source], LEGEND, folder, options=TileOptions(**choices | changes))
        return folder

    return make


@pytest.fixture(scope="session")
def patches(make_patches):
    """A patch set of 20 patches."""
    return make_patches()


@pytest.fixture
def quick():
    """A training of a second: a hundred thousand parameters, and dropout to be random by."""
    return TrainOptions(
        arch="pspnet", encoder="tu-test_resnet", epochs=2, batch_size=4, device="cpu", workers=0
    )


_READ = {}


@pytest.fixture(autouse=True)
def _light(request, monkeypatch):
    """What takes half of such a training is done once, or where a test looks at it.

    Stored patches are read once in a process; tests/patches reads them. Pictures of a training are
    drawn for tests that are called after the curves.
    """
    read = PatchSet.read

    def read_once(self, patch):
        if self.record.storage == "index":
            return read(self, patch)
        key = self.folder, self.record.legend, patch
        if key not in _READ:
            _READ[key] = read(self, patch)
        return Sample(*map(np.copy, _READ[key]))

    monkeypatch.setattr(PatchSet, "read", read_once)
    if "curves" not in request.node.name:
        for name in ("draw_curves", "draw_validation"):
            monkeypatch.setattr(f"geoseg.training.train.{name}", lambda *_: None)
