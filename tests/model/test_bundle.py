from pathlib import Path

import numpy as np
import pytest

from geoseg.errors import BundleError
from geoseg.model.bundle import (
    CONFIG,
    RECORD,
    WEIGHTS,
    ModelBundle,
    Normalisation,
    bundle_folders,
)

HERE = Path("ortho.tif")


def test_a_bundle_comes_back_as_it_was_written(bundle):
    again = ModelBundle.load(bundle.folder)

    assert again == bundle
    assert again.legend.names == ["a", "b", "c"]
    assert again.normalisation.std == (30.0, 31.0, 32.0)


@pytest.mark.parametrize("missing", [RECORD, CONFIG, WEIGHTS])
def test_an_incomplete_bundle_is_refused_with_the_name_of_what_is_missing(bundle, missing):
    (bundle.folder / missing).unlink()

    with pytest.raises(BundleError, match=missing):
        ModelBundle.load(bundle.folder)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(BundleError, match="no such folder"):
        ModelBundle.load(tmp_path / "nothing")


@pytest.mark.parametrize("text", ["{", "7", "{}", '{"format": 99}'])
def test_a_damaged_record_is_refused(bundle, text):
    (bundle.folder / RECORD).write_text(text)

    with pytest.raises(BundleError, match=r"damaged|format"):
        ModelBundle.load(bundle.folder)


def test_weights_of_another_model_are_refused(bundle):
    weights = bundle.folder / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")

    with pytest.raises(BundleError, match="damaged or of another model"):
        ModelBundle.load(bundle.folder)


def test_another_number_of_bands_is_refused_with_both_numbers(bundle):
    bundle.check_bands(3, HERE)

    with pytest.raises(BundleError, match="has 4 bands, the model takes 3"):
        bundle.check_bands(4, HERE)


@pytest.mark.parametrize("gsd", [0.5, 0.41, 0.59, None])
def test_a_gsd_near_the_models_or_unknown_passes(bundle, gsd):
    bundle.check_gsd(gsd, HERE)


@pytest.mark.parametrize("gsd", [0.39, 0.61, 5])
def test_a_gsd_off_by_more_than_a_fifth_is_refused(bundle, gsd):
    with pytest.raises(BundleError, match="--resample"):
        bundle.check_gsd(gsd, HERE)


def test_16_bit_files_with_8_bit_values_pass(bundle):
    bundle.check_values(np.arange(256, dtype=np.uint16), HERE)


@pytest.mark.parametrize("values", [np.arange(4000, dtype=np.uint16), np.linspace(0, 1, 9)])
def test_values_on_another_scale_are_refused(bundle, values):
    with pytest.raises(BundleError, match="rescale"):
        bundle.check_values(values, HERE)


def test_a_constant_band_is_not_divided_by_nothing():
    assert Normalisation.from_statistics({"mean": [5, 6], "std": [0, 2]}).std == (1.0, 2)


@pytest.mark.parametrize(
    ("written", "found"),
    [
        (["."], ["."]),
        (["model"], ["model"]),
        ([f"fold{n}/model" for n in (1, 2, 10)], [f"fold{n}/model" for n in (1, 2, 10)]),
        ([], ["."]),
    ],
)
def test_a_run_means_its_model_and_a_run_of_folds_all_of_theirs(tmp_path, written, found):
    for name in written:
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / name / "geoseg.json").write_text("{}")

    assert bundle_folders(tmp_path) == [tmp_path / name for name in found]
