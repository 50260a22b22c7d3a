"""A small world to show: an orthophoto, a class map, a reference, runs and evaluations."""

import json

import numpy as np
import pytest
import rasterio

from geoseg.labels.legend import Legend

RED, GREEN = (215, 48, 31), (0, 255, 1)

LEGEND = Legend.from_dict(
    {
        "class": [
            {"value": 1, "name": "building", "color": "#d7301f"},
            {"value": 0, "name": "tree", "color": "#00ff01"},
        ]
    }
)


@pytest.fixture
def write_map(write_raster):
    """A function that writes values 1 (building), 0 (tree) and 255 as a class map of geoseg's."""

    def write(name, values, *, source="ortho.tif", legend=LEGEND, **profile):
        path = write_raster(name, np.asarray(values, np.uint8), nodata=255, **profile)
        provenance = {"source": source, "model": "unet/resnet18", "geoseg": "0.1.0"}
        tags = {"kind": "class map", "legend": legend.to_dict(), "provenance": provenance}
        with rasterio.open(path, "r+") as file:
            file.update_tags(GEOSEG=json.dumps(tags))
        return path

    return write


@pytest.fixture
def files(write_raster, write_map):
    """Blue ground of 60 x 100 pixels; building left and tree right; the reference all building."""
    blue = np.zeros((3, 60, 100), np.uint8)
    blue[2] = 200
    values = np.ones((60, 100), np.uint8)
    reference = write_raster("reference.tif", values)
    values[:, 50:] = 0
    return {
        "ortho": write_raster("ortho.tif", blue),
        "map": write_map("map.tif", values),
        "reference": reference,
    }


@pytest.fixture
def make_run(tmp_path):
    """A function that writes a run folder: options, and a row for each epoch."""

    def make(name, options=None, rows=(), **record):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        known = {"epochs": 3, "max_time": None, "early_stopping": 0, "monitor": "loss"}
        content = {
            "patches": "patches",
            "options": known | (options or {}),
            "parameters": 14_300_000,
            "ended": "epochs",
        }
        (folder / "run.json").write_text(json.dumps(content | record))
        if rows:
            lines = ["epoch,train_loss,val_loss,val_miou,iou_roof,iou_tree,lr,seconds"]
            lines += [
                f"{number},1,{loss},{miou},{miou},,0.1,40.0"
                for number, (loss, miou) in enumerate(rows, start=1)
            ]
            (folder / "history.csv").write_text("\n".join(lines) + "\n")
        return folder

    return make


@pytest.fixture
def make_evaluation(tmp_path):
    """A function that writes a folder of an evaluation."""

    def make(name, miou, **metrics):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        classes = [{"name": "roof", "iou": miou, "f1": 0.9, "precision": 0.8, "recall": None}]
        record = {"overall_accuracy": 0.75, "mean_iou": miou, "classes": classes} | metrics
        (folder / "evaluation.json").write_text(json.dumps(record))
        return folder

    return make
