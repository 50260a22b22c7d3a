from dataclasses import replace

import pytest

from geoseg.errors import OutputExistsError, TrainingError
from geoseg.training.cross_validation import check_folds
from geoseg.training.dry_run import estimate_training
from geoseg.training.train import train


def files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_dry_run_counts_and_measures_and_writes_nothing(patches, tmp_path, quick):
    before = files(tmp_path), files(patches)

    plan = estimate_training(
        patches, tmp_path / "run", options=replace(quick, epochs=7, accumulate=2)
    )

    assert (plan.training_patches, plan.validation_patches) == (14, 6)
    assert (plan.epochs, plan.steps_per_epoch, plan.batch_size) == (7, 2, 4)
    assert list(plan.classes) == ["dark", "bright"]
    assert sum(plan.classes.values()) == pytest.approx(1)
    assert 0 < plan.seconds_per_step < 30
    each = 2 * plan.seconds_per_step + plan.seconds_per_validation
    assert plan.seconds == pytest.approx(7 * each)
    assert 50e6 < plan.memory < 50e9
    assert (files(tmp_path), files(patches)) == before


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"arch": "nothing"}, "known are unet"),
        ({"oversample": "car=3"}, "no class is named 'car'"),
        ({"devices": 3, "batch_size": 4}, "give a multiple"),
    ],
)
def test_a_dry_run_refuses_what_the_training_refuses(patches, quick, change, reason):
    options = replace(quick, **change)

    with pytest.raises(TrainingError, match=reason):
        estimate_training(patches, None, options=options)
    with pytest.raises(
        TrainingError, match=reason.replace("give a multiple", "leave --devices out")
    ):
        check_folds(patches, None, options=options, folds=2)


def test_a_dry_run_refuses_a_folder_and_counts_what_is_left_of_a_training(patches, tmp_path, quick):
    train(patches, tmp_path / "run", options=quick, quiet=True)
    before = files(tmp_path)
    more = replace(quick, epochs=5)

    with pytest.raises(OutputExistsError, match="--overwrite"):
        estimate_training(patches, tmp_path / "run", options=quick)
    with pytest.raises(TrainingError, match=r"lr was 0\.002 and is 0\.5"):
        estimate_training(patches, tmp_path / "run", options=replace(more, lr=0.5), resume=True)
    plan = estimate_training(patches, tmp_path / "run", options=more, resume=True)

    assert plan.epochs == 3
    assert files(tmp_path) == before


def test_a_dry_run_of_folds_is_of_all_of_them(patches, quick):
    limited = replace(quick, epochs=None, max_time=60.0)

    parts = check_folds(patches, None, options=limited, folds=2)
    plan = estimate_training(parts[0], None, options=limited, trainings=2)

    assert (plan.trainings, plan.epochs, plan.seconds) == (2, None, 120)
