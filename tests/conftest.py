"""Small rasters and polygons on disk: what most tests of files begin with."""

import gc

gc.disable()  # nothing that is imported becomes garbage
# ruff: noqa: E402

import os
import re

import numpy as np
import pytest
import rasterio
from affine import Affine

from geoseg.raster import configure, translate_endpoint

TRANSFORM = Affine(0.5, 0, 500_000, 0, -0.5, 5_700_000)
"""Half-metre pixels in UTM 32 north."""


def pytest_configure(config):
    """Set up the process as the command line does; pytest resets filters of warnings."""
    configure()
    ignored = "ignore::rasterio.errors.NotGeoreferencedWarning"
    config.addinivalue_line("filterwarnings", ignored)


TOGETHER = (
    {"cluster/test_pool.py"},  # a cluster each
    {"commands/test_cluster.py"},
    {"raster/test_bucket.py", "raster/test_upload.py", "commands/test_arguments_places.py"},  # S3
    {  # torch's exporter of ONNX, which takes seconds to begin
        *("model/test_runtime.py", "model/test_export.py"),
        *("model/test_onnx_import.py", "commands/test_export.py"),
    },
    {"model/test_conversion.py"},  # NNCF
    *({name} for name in ("test_end_to_end.py", "test_api.py", "raster/test_remote.py")),
    *({f"commands/test_{name}.py"} for name in ("options_outputs", "predict_remote")),
    *({"raster/test_staging.py"}, {"report/test_browser.py"}),
)
"""Files whose tests share what takes seconds to set up: of several processes, one has them."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Deal tests to processes one by one, and those of `TOGETHER` as one, before all others."""
    from xdist.scheduler import LoadScopeScheduling  # the dealing process alone needs it

    groups = {f"tests/{name}": str(number) for number, all_ in enumerate(TOGETHER) for name in all_}

    if lost := [name for name in groups if not (config.rootpath / name).is_file()]:
        raise pytest.UsageError(f"TOGETHER names files that are not there: {lost}")

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return groups.get(nodeid.partition("::")[0], nodeid)

        def _reschedule(self, node):
            """Forget units that are done, which xdist counts again after each test."""
            work = self.assigned_work[node]
            for scope in [each for each, unit in work.items() if all(unit.values())]:
                del work[scope]
            super()._reschedule(node)

    return Scheduling(config, log)


def pytest_collection_finish():
    """Leave what all tests have imported out of later garbage collections: a million objects."""
    gc.freeze()
    gc.set_threshold(10_000)
    gc.enable()


def pytest_unconfigure():
    """Let libraries release at the end what they have been asked for."""
    gc.unfreeze()


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Converted networks are kept for the whole run of all workers, and not among the user's."""
    base = tmp_path_factory.getbasetemp()
    whole = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEOSEG_CACHE", str(whole / "converted"))
        yield


@pytest.fixture(scope="module")
def cluster():
    """Two worker processes, for the tests of a file: Dask is never idle, 4 s of each minute."""
    from geoseg.cluster.connect import connected

    with connected("local:2") as found:
        found.wait_for_workers(lambda _: None)
        yield found


@pytest.fixture(scope="session")
def _s3():
    """A server that speaks S3, for all tests of a process."""
    from buckets import serving_s3  # few tests need it

    with serving_s3() as endpoint:
        yield endpoint


@pytest.fixture
def bucket(_s3, monkeypatch, tmp_path, request):
    """An empty bucket, with keys for it in the environment; outputs are written below tmp_path."""
    from buckets import Bucket

    known = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    for name in (*known, "AWS_REGION", "AWS_S3_ENDPOINT", "AWS_HTTPS", "AWS_VIRTUAL_HOSTING"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (known | {"AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": _s3}).items():
        monkeypatch.setenv(name, value)
    translated = dict(os.environ)
    translate_endpoint(translated)
    for name in translated.keys() - os.environ.keys():
        monkeypatch.setenv(name, translated[name])
    (tmp_path / "staging").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "staging"))
    return Bucket(_s3, re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:50].strip("-"))


@pytest.fixture
def write_raster(tmp_path):
    """A function that writes an array, (height, width) or (bands, height, width), to a file.

    ``profile`` is rasterio's; besides, ``colormap``, ``colorinterp`` and ``mask`` are written.
    """

    def write(name, array, *, colormap=None, colorinterp=None, mask=None, **profile):
        bands = np.atleast_3d(array) if array.ndim < 2 else array.reshape(-1, *array.shape[-2:])
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        png = path.suffix == ".png"
        where = {} if png else {"crs": "EPSG:32632", "transform": TRANSFORM}
        count, height, width = bands.shape
        shape = {"count": count, "height": height, "width": width, "dtype": bands.dtype}
        options = {"driver": "PNG" if png else "GTiff"} | shape | where | profile
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(path, "w", **options) as file,
        ):
            if colorinterp:
                file.colorinterp = colorinterp
            file.write(bands)
            if colormap:
                file.write_colormap(1, colormap)
            if mask is not None:
                file.write_mask(mask)
        return path

    return write


@pytest.fixture
def write_polygons(tmp_path):
    """A function that writes geometries and their columns to a vector file."""

    def write(name, geometries, *, crs="EPSG:32632", layer=None, **columns):
        import geopandas as gpd  # the process that deals tests out does without

        path = tmp_path / name
        frame = gpd.GeoDataFrame(columns, geometry=geometries, crs=crs)
        if path.suffix == ".parquet":
            frame.to_parquet(path)
        else:
            frame.to_file(path, **({"layer": layer} if layer else {}))
        return path

    return write
