import json

import pytest
import torch
from torch import nn

from geoseg.errors import TrainingError
from geoseg.training.options import TrainOptions
from geoseg.training.run_folder import check_checkpoint, read_run, with_resolved_auto

NETWORK = nn.Linear(2, 1)
RECORD = {"options": {}, "patch_set": "a hash"}


def checkpoint(**changes):
    return {
        "epoch": 1,
        "state_dict": NETWORK.state_dict(),
        "callbacks": {"Record": {"rows": [{"epoch": n, "train_loss": 0.5} for n in (1, 2)]}},
        "loops": {},
        "lr_schedulers": [],
        "optimizer_states": [],
        **changes,
    }


def without(name):
    return {key: value for key, value in checkpoint().items() if key != name}


def test_a_checkpoint_says_how_many_epochs_are_complete(tmp_path):
    torch.save(checkpoint(), tmp_path / "last.ckpt")

    assert check_checkpoint(tmp_path / "last.ckpt", NETWORK) == 2


@pytest.mark.parametrize(
    "content",
    [
        [1, 2],
        torch.zeros(2),
        NETWORK.state_dict(),
        checkpoint(state_dict={"weight": torch.zeros(2)}),
        checkpoint(state_dict=[1]),
        checkpoint(epoch="two"),
        checkpoint(epoch=7),
        checkpoint(callbacks={}),
        checkpoint(callbacks={"Record": {"rows": [1, 2]}}),
        checkpoint(callbacks={"Record": {"rows": 3}}),
        without("callbacks"),
        without("loops"),
        without("optimizer_states"),
    ],
    ids=range(13),
)
def test_a_file_of_torch_that_is_no_checkpoint_of_this_network_is_named(tmp_path, content):
    torch.save(content, tmp_path / "last.ckpt")

    with pytest.raises(TrainingError, match=r"last\.ckpt: is (damaged|not the checkpoint of this)"):
        check_checkpoint(tmp_path / "last.ckpt", NETWORK)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"PK\x03\x04" + 99 * b"x", b"\x80\x02.", b"[" * 9999]
)
def test_a_file_that_is_no_checkpoint_at_all_is_named(tmp_path, content):
    (tmp_path / "last.ckpt").write_bytes(content)

    with pytest.raises(TrainingError, match=r"last\.ckpt: is damaged"):
        check_checkpoint(tmp_path / "last.ckpt", NETWORK)


@pytest.mark.parametrize(
    "content",
    [
        *("", "3", "[]", "{}", "null", "\x00", '{"options":' + "[" * 100_000),
        json.dumps(RECORD | {"options": []}),
        json.dumps(RECORD | {"patch_set": 3}),
        json.dumps(RECORD | {"found": [1]}),
    ],
    ids=range(10),
)
def test_a_record_of_other_types_or_too_deep_is_named(tmp_path, content):
    (tmp_path / "run.json").write_text(content)

    with pytest.raises(TrainingError, match=r"run\.json: is damaged"):
        read_run(tmp_path)


def test_what_was_found_is_taken(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps(RECORD | {"found": {"lr": 0.5, "lr_seconds": 9}}))

    found = with_resolved_auto(tmp_path, TrainOptions(lr=None, batch_size=7))

    assert (found.lr, found.batch_size) == (0.5, 7)


@pytest.mark.parametrize(
    "found", [{"batch_size": "all"}, {"batch_size": 0}, {"lr": -1.0}, {"lr": []}]
)
def test_what_was_found_is_checked(tmp_path, found):
    (tmp_path / "run.json").write_text(json.dumps(RECORD | {"found": found}))

    with pytest.raises(TrainingError, match=r"run\.json: `found` is damaged"):
        with_resolved_auto(tmp_path, TrainOptions())
