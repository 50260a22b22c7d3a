"""The five commands on the sample data, as a user would run them."""

import json
import shutil
import subprocess
import sys

import pytest
import rasterio
from town import write_part

from geoseg import cli

SIDE = 896
"""Of the part that is used, in pixels."""


def geoseg(*words):
    """A command line that must end well; in this process, which has torch already."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["geoseg", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
    assert not end.value.code


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """The folder in which the chain has run on a part of the town, with little training."""
    out = tmp_path_factory.mktemp("chain")
    ortho = write_part(out, SIDE) / "ortho.tif"
    inputs = ["--reference", out / "reference.tif", "--legend", out / "legend.toml"]
    geoseg("tile", ortho, *inputs, "-o", out / "patches", "--patch-size", 128,
           "--stride", 128, "--val", 0.2, "--index-only")  # fmt: skip
    geoseg("train", out / "patches", "-o", out / "run", "--epochs", 1, "--workers", 0,
           "--samples-per-epoch", 24, "--batch-size", 8, "--device", "cpu")  # fmt: skip
    geoseg("predict", out / "run" / "model", ortho, "-o", out / "map.tif",
           "--patch-size", 256, "--overlap", 32, "--windows", out / "windows")  # fmt: skip
    geoseg("mosaic", out / "windows", "-o", out / "mosaic.tif")
    geoseg("evaluate", out / "map.tif", *inputs, "--patches", out / "patches", "-o",
           out / "report")  # fmt: skip
    return out


def test_the_map_lies_on_the_orthophoto_and_knows_its_classes(chain):
    with rasterio.open(chain / "map.tif") as mapped, rasterio.open(chain / "ortho.tif") as ortho:
        assert (mapped.crs, mapped.transform, mapped.shape) == (
            ortho.crs, ortho.transform, ortho.shape,
        )  # fmt: skip
        assert ((mapped.read(1) == 255) == (ortho.dataset_mask() == 0)).all()
        assert mapped.colormap(1)[1][:3] == (215, 48, 31)
        assert mapped.overviews(1)
        assert mapped.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_the_mosaic_of_the_windows_is_the_map_to_the_byte(chain):
    assert (chain / "mosaic.tif").read_bytes() == (chain / "map.tif").read_bytes()


def test_the_report_counts_the_validation_ground(chain):
    report = json.loads((chain / "report" / "evaluation.json").read_text())

    assert 0 < report["pixels"] < SIDE**2 / 2
    assert [row["name"] for row in report["classes"]][:2] == ["building", "road"]
    assert 0 < report["overall_accuracy"] < 1


@pytest.mark.skipif(not shutil.which("gdalinfo"), reason="GDAL's tools are not installed")
def test_gdal_reads_the_categories(chain):
    told = subprocess.run(
        ["gdalinfo", "-json", chain / "map.tif"], capture_output=True, text=True, check=True
    )
    (band,) = json.loads(told.stdout)["bands"]

    assert band["noDataValue"] == 255
    assert "building" in json.dumps(band)
