import json
from dataclasses import replace

import pystac
import pytest
from affine import Affine
from pystac.extensions.mlm import MLMExtension
from rasterio.crs import CRS
from shapely.geometry import Point, shape

from geoseg.labels.legend import Legend
from geoseg.model.bundle import ModelBundle
from geoseg.model.mlm import MLM, write_bundle_item, write_onnx_item
from geoseg.model.network import load_network, parameter_count
from geoseg.patches.training_ground import SourceGround, TrainingGround
from geoseg.raster.grid import Grid
from geoseg.raster.window import Window

SCHEMA = "https://stac-extensions.github.io/mlm/v1.5.2/schema.json"


@pytest.fixture
def written(bundle):
    """The item of the bundle as it would be with other entries."""

    def write(**changed):
        write_bundle_item(replace(bundle, **changed))
        return json.loads((bundle.folder / MLM).read_text())

    return write


def test_pystac_reads_what_the_bundle_knows(bundle, written):
    written()

    item = pystac.Item.from_file(bundle.folder / MLM)

    found = MLMExtension.ext(item)
    assert item.stac_extensions == [SCHEMA]
    assert found.tasks == ["semantic-segmentation"]
    assert found.architecture == "unet with tu-test_resnet"
    (entry,), (scores,) = found.input, found.output
    assert entry.bands == ["red", "green", "blue"]
    assert entry.input.shape == [-1, 3, 32, 32]
    assert entry.to_dict()["value_scaling"] == [
        {"type": "z-score", "mean": 100 + 10 * band, "stddev": 30 + band} for band in range(3)
    ]
    assert [each.to_dict()["name"] for each in scores.classes] == ["a", "b", "c"]
    assert item.assets["model"].href == "./model.safetensors"
    assert found.total_parameters == parameter_count(load_network(bundle.folder))


def test_what_the_schema_forbids_is_not_there(written):
    properties = written()["properties"]

    assert properties["mlm:accelerator"] is None  # "cpu" is none of them
    assert "classification:classes" in properties["mlm:output"][0]
    assert "mlm:artifact_type" not in properties
    assert [each["name"] for each in properties["bands"]] == ["red", "green", "blue"]


@pytest.mark.parametrize(
    ("weights", "origin", "pretrained", "source"),
    [
        ("none", None, False, None),
        ("imagenet", None, True, "ImageNet"),
        ("package:lite0", None, True, "ImageNet"),
        ("/home/me/weights.pt", None, True, "weights.pt"),
        ("none", "/home/me/town", True, "town"),
    ],
)
def test_the_start_of_a_training_is_named_without_its_path(
    written, weights, origin, pretrained, source
):
    options = {"encoder_weights": weights, "init_from": origin, "lr": 0.001}

    properties = written(training={"options": options})["properties"]

    assert properties["mlm:pretrained"] is pretrained
    assert properties["mlm:pretrained_source"] == source
    assert properties["mlm:hyperparameters"] == {"lr": 0.001}


def test_names_of_classes_are_plain_and_described_in_full(written):
    names = ["bare soil (dry)", "été"]
    colors = ["#0A0b0c", "#ffffff"]
    legend = Legend.from_dict(
        {"class": [{"name": name, "color": each} for name, each in zip(names, colors, strict=True)]}
    )

    (scores,) = written(legend=legend)["properties"]["mlm:output"]

    assert scores["classification:classes"] == [
        {"value": 0, "name": "bare_soil_dry", "description": names[0], "color_hint": "0A0B0C"},
        {"value": 1, "name": "ete", "description": names[1], "color_hint": "FFFFFF"},
    ]


def test_the_place_is_that_of_the_training_windows(bundle):
    grid = Grid(CRS.from_epsg(32632), Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000), 4000, 4000)
    windows = {
        "train": (Window(row_off=0, col_off=0, height=2000, width=2000),),
        "val": (Window(row_off=2000, col_off=2000, height=2000, width=2000),),
        "test": (),
    }
    source = SourceGround(content=None, grid=grid, windows=windows)
    TrainingGround(sources=(source,)).write(bundle.folder)
    write_bundle_item(ModelBundle.load(bundle.folder))

    item = pystac.Item.from_file(bundle.folder / MLM)

    place = shape(item.geometry)
    assert place.bounds == pytest.approx((9, 45.1445, 9.0127, 45.1535), abs=1e-4)
    assert tuple(item.bbox) == place.bounds
    assert place.contains(Point(9.006, 45.148))
    assert place.exterior.is_ccw


def test_a_model_of_unknown_ground_is_nowhere(written):
    item = written()

    assert item["geometry"] is None
    assert "bbox" not in item


def test_the_item_of_a_file_leads_to_it_from_its_own_folder(bundle, tmp_path):
    write_onnx_item(bundle, tmp_path / "item.json", tmp_path / "models/town.onnx", size=64)

    item = pystac.Item.from_file(tmp_path / "item.json")

    (entry,) = MLMExtension.ext(item).input
    assert item.assets["model"].href == "./models/town.onnx"
    assert entry.input.shape == [-1, 3, 64, 64]
    assert (
        entry.to_dict()["value_scaling"] == [{"type": "min-max", "minimum": 0, "maximum": 255}] * 3
    )


def test_an_item_ends_with_the_bundle_that_opens_without_it(bundle, written):
    written()
    (bundle.folder / MLM).unlink()

    assert ModelBundle.load(bundle.folder) == bundle
