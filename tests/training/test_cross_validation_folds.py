from dataclasses import replace

import numpy as np
import pytest

from geoseg.errors import TrainingError
from geoseg.model.bundle import ModelBundle
from geoseg.patches.patch_set import PatchSet
from geoseg.training.cross_validation import fold, train_folds
from geoseg.training.train import train


def painted(patch_set, split):
    """(128, 160) bool, the ground of a split."""
    canvas = np.zeros((128, 160), bool)
    for patch in patch_set.in_split(split):
        canvas[patch.window.slices] = True
    return canvas


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_every_fold_leaves_out_ground_that_the_others_have(make_patches, folds):
    patch_set = PatchSet.open(make_patches(stride=16, split_block=64, storage="index"))

    parts = [fold(patch_set, number, folds, seed=0) for number in range(folds)]

    left_out = [painted(part, "val") for part in parts]
    assert all(ground.any() for ground in left_out)
    assert np.sum(left_out, axis=0).max() == 1
    for part, ground in zip(parts, left_out, strict=True):
        assert painted(part, "train").any()
        assert not (painted(part, "train") & ground).any()


def test_the_patches_for_testing_stay_out_of_all_folds(make_patches):
    patch_set = PatchSet.open(make_patches(test=0.2, storage="index"))

    parts = [fold(patch_set, number, 2, seed=0) for number in range(2)]

    kept = painted(patch_set, "test")
    assert kept.any()
    assert not any(
        (painted(part, split) & kept).any() for part in parts for split in ("train", "val")
    )


def test_a_fold_weighs_classes_by_what_it_trains_on(make_patches):
    patch_set = PatchSet.open(make_patches(stride=32, split_block=64))

    part = fold(patch_set, 0, 3, seed=0)

    masks = np.stack([part.read(patch).mask for patch in part.in_split("train")])
    assert part.record.class_pixels == tuple(np.bincount(masks.ravel(), minlength=2)[:2])
    assert part.record.class_pixels != patch_set.record.class_pixels


def test_the_same_seed_deals_the_same(patches):
    deals = [
        [patch.window for patch in fold(PatchSet.open(patches), 0, 2, seed=seed).in_split("val")]
        for seed in (1, 1, 2)
    ]

    assert deals[0] == deals[1] != deals[2]


def test_several_processes_cannot_train_folds(patches, tmp_path, quick):
    options = replace(quick, devices=2, batch_size=2)

    with pytest.raises(TrainingError, match="leave --devices out"):
        train_folds(patches, tmp_path / "run", folds=2, options=options)

    assert not (tmp_path / "run").exists()


def test_more_folds_than_ground_are_refused(patches):
    with pytest.raises(TrainingError, match=r"--folds 99: the patches lie in .* use fewer folds"):
        fold(PatchSet.open(patches), 0, 99, seed=0)


def test_each_fold_gives_a_model_and_all_together_a_table(patches, tmp_path, quick):
    options = replace(quick, epochs=1)

    report = train_folds(patches, tmp_path / "run", folds=2, options=options, quiet=True)

    assert [ModelBundle.load(run.model).patch_size for run in report.runs] == [32, 32]
    mious = [run.best["val_miou"] for run in report.runs]
    assert report.mean["val_miou"] == pytest.approx(np.mean(mious))
    assert report.deviation["val_miou"] == pytest.approx(np.std(mious, ddof=1))
    lines = (tmp_path / "run" / "folds.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["fold", "1", "2", "mean", "deviation"]
    again = train_folds(
        patches, tmp_path / "run", folds=2, options=options, resume=True, quiet=True
    )
    assert again.mean == report.mean
    with pytest.raises(TrainingError, match="folds was 2 and is 3"):
        train_folds(patches, tmp_path / "run", folds=3, options=options, resume=True, quiet=True)
    with pytest.raises(TrainingError, match="folds was 2 and is None"):
        train(patches, tmp_path / "run", options=options, resume=True, quiet=True)
