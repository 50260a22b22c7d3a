"""Folders as `geoseg train` and `geoseg evaluate` leave them."""

import json

import pytest


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

    def make(name, miou, **figures):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        classes = [{"name": "roof", "iou": miou, "f1": 0.9, "precision": 0.8, "recall": None}]
        record = {"overall_accuracy": 0.75, "mean_iou": miou, "classes": classes} | figures
        (folder / "evaluation.json").write_text(json.dumps(record))
        return folder

    return make
