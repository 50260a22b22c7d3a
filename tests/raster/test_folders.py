import json

import pytest

from geoseg.patches.findings import ADVICE
from geoseg.raster.folders import (
    CHECK,
    EVALUATION,
    FINDINGS,
    PATCH_SET,
    TRAINING,
    WINDOWS,
    list_entries,
)

KINDS = [CHECK, EVALUATION, PATCH_SET, TRAINING, WINDOWS]


@pytest.fixture
def folder(tmp_path):
    """A function that makes a folder of empty files."""

    def make(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return tmp_path

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_is_of_the_kind_that_its_record_names(tmp_path, kind):
    (tmp_path / kind.record).write_text(json.dumps({"kind": kind.name}))

    assert kind.is_kind_of(tmp_path)
    assert not any(other.is_kind_of(tmp_path) for other in KINDS if other is not kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_without_a_kind_is_known_by_all_of_its_own_keys(tmp_path, kind):
    keys = sorted(kind.proof)
    (tmp_path / kind.record).write_text(json.dumps(dict.fromkeys(keys)))
    assert kind.is_kind_of(tmp_path)

    (tmp_path / kind.record).write_text(json.dumps(dict.fromkeys(keys[1:])))
    assert not kind.is_kind_of(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "[]", "7", '{"of": "another program"}', '{"kind": ["evaluation"]}', "[" * 9999]
)
def test_what_is_no_record_of_geoseg_proves_nothing(tmp_path, text):
    (tmp_path / EVALUATION.record).write_text(text)

    assert not EVALUATION.is_kind_of(tmp_path)


def test_what_a_kind_never_writes_is_foreign_at_any_depth(folder):
    own = ["patches.json", "patches.gpkg", "images/o_r000000_c000032.tif", "check/check.json"]
    by_others = [
        "thesis.doc",
        "images/holiday.tif",
        "masks/deep/x",
        "check/leaks.txt",
        ".git/config",
    ]

    found = PATCH_SET.foreign(folder(*own, *by_others))

    assert found == [".git", "check/leaks.txt", "images/holiday.tif", "masks/deep", "thesis.doc"]


def test_what_systems_and_killed_processes_leave_is_not_foreign(folder):
    left = [".DS_Store", "images/Thumbs.db", "patches.gpkg-wal", ".patches.json.part/x"]
    locks = [".images.lock", "images/.o_r0_c0.tif.part"]

    assert PATCH_SET.foreign(folder(*left, *locks, "images/o_r0_c0.tif.aux.xml")) == []


def test_only_what_is_left_of_own_entries_is_nobody_s_work(folder):
    others = [".thesis.old/1.doc", ".x.part/a", "images/.holiday.tif.lock"]

    assert PATCH_SET.foreign(folder(*others)) == [
        ".thesis.old",
        ".x.part",
        "images/.holiday.tif.lock",
    ]


def test_only_what_loggers_write_may_lie_in_logs(folder):
    logs = ["logs/version_0/hparams.yaml", "logs/version_1/events.out.tfevents.1.host.2.0"]
    wandb = ["wandb/offline-run-1/run-1.wandb", "wandb/debug-internal.log", "wandb/latest-run"]
    others = ["logs/ortho.tif", "logs/version_0/ortho.tif", "wandb/ortho.tif"]

    found = TRAINING.foreign(folder("logs/mlflow.db", *logs, *wandb, *others))

    assert found == sorted(others)


def test_a_training_may_hold_folds_models_and_logs(folder):
    one = ["run.json", "history.csv", "last.ckpt", "model/geoseg.json", "model/int8/network.xml"]
    logs = ["logs/version_0/metrics.csv", "wandb/run-1/files/x"]

    assert TRAINING.foreign(folder(*one, *logs, "folds.csv", *(f"fold2/{n}" for n in one))) == []
    assert TRAINING.foreign(folder("model/notes.txt")) == ["model/notes.txt"]


def test_a_folder_with_a_file_in_place_of_a_folder_is_no_traceback(folder):
    assert PATCH_SET.foreign(folder("images")) == ["images"]


def test_images_of_all_findings_are_known():
    earlier = {"not-compared", "repeated-ground"}

    assert set(FINDINGS) == set(ADVICE) | earlier


def test_a_message_names_some_of_many():
    assert list_entries(list("abcdefg")) == "a, b, c, d, e and 2 more"
