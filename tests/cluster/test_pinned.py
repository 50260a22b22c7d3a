from dataclasses import replace

import numpy as np
import pytest
from rules import LEGEND, Rule, like_a_network

from geoseg.cluster.pinned import PinnedModels, scores_sha256
from geoseg.cluster.worker import RefusedError
from geoseg.model.bundle import ModelBundle, Normalisation


@pytest.fixture
def rule():
    bundle = ModelBundle(
        arch="rule", encoder="none", legend=LEGEND, bands=3, band_names=("r", "g", "b"),
        dtype="uint8", value_range=(0.0, 255.0), patch_size=32, gsd=None,
        normalisation=Normalisation(mean=(0.0,) * 3, std=(1.0,) * 3),
    )  # fmt: skip
    return Rule(like_a_network, bundle)


def nearly(images):
    """Another processor's scores: off by a bit."""
    return np.nextafter(like_a_network(images), np.float32(1))


def test_models_that_compute_as_expected_are_opened(rule):
    expected = {(32, 32, None): scores_sha256(rule.bundle, 32, rule)}

    assert PinnedModels(rule, expected).open(32, 32) is rule


@pytest.mark.parametrize("change", [{"score": nearly}, {"batch_size": 2}])
def test_models_that_compute_otherwise_are_refused(rule, change):
    expected = {(32, 32, None): scores_sha256(rule.bundle, 32, rule)}

    with pytest.raises(RefusedError, match="rule computes otherwise there"):
        PinnedModels(replace(rule, **change), expected).open(32, 32)
