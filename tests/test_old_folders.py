"""Folders and files of the first edition, before its modules were moved, are read as they were."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

import geoseg
from geoseg.commands.arguments import Choices
from geoseg.evaluation.compare import compare
from geoseg.evaluation.comparison import Measures, Pair
from geoseg.patches.patch_set import PatchSet
from geoseg.report.info import inform
from geoseg.report.runs import read_entries
from geoseg.training.options import TrainOptions

OLD = Path(__file__).parent / "data" / "first_edition"


def test_a_patch_set():
    patch_set = PatchSet.open(OLD / "patches")

    assert [len(patch_set.in_split(each)) for each in ("train", "val")] == [12, 4]
    first = patch_set.read(patch_set.patches[0])
    with rasterio.open(OLD / "ortho.tif") as file:
        assert (first.image[: file.count] == file.read()[:, :64, :64]).all()


def test_a_bundle_gives_the_map_that_it_gave(tmp_path):
    geoseg.predict(
        OLD / "run/model", OLD / "ortho.tif", tmp_path / "m.tif", runtime="torch", precision="fp32"
    )

    with rasterio.open(OLD / "map.tif") as old, rasterio.open(tmp_path / "m.tif") as new:
        assert np.mean(old.read() == new.read()) > 0.999  # other processors round otherwise


def test_an_evaluation_counts_what_it_counted():
    record = json.loads((OLD / "report/evaluation.json").read_text())
    legend = geoseg.open_legend(OLD / "legend.toml")

    found = compare(Pair("m", OLD / "map.tif", OLD / "reference.tif"), legend,
                    measures=Measures())  # fmt: skip

    assert found.confusion.mean_iou == pytest.approx(record["mean_iou"], rel=1e-12)
    assert found.confusion.kappa == pytest.approx(record["kappa"], rel=1e-12)


def test_a_run_and_an_evaluation_stand_in_one_table():
    entries = read_entries([OLD / "run", OLD / "report"])

    assert len(entries) == 2


def test_the_options_of_a_run_are_read_again():
    choices = Choices(TrainOptions)
    options = json.loads((OLD / "run/run.json").read_text())["options"]

    values = {name: choices.value(name, value) for name, value in options.items()
              if value is not None}  # fmt: skip

    assert values["arch"] == "pspnet"
    assert values["batch_size"] == 4


@pytest.mark.parametrize("name", ["patches", "run", "run/model", "report", "map.tif"])
def test_info_knows_what_each_is(name):
    assert inform(OLD / name, defaults={}).to_dict()
