import numpy as np
import pytest
import torch
from torch.nn import functional

from geoseg.errors import BundleError
from geoseg.model.bundle import Normalisation
from geoseg.model.network import load_network
from geoseg.model.torch_runtime import Normalise, Preprocess, load_pipeline, to_scores


def test_normalisation_centres_and_what_is_missing_becomes_the_mean():
    normalise = Normalise(Normalisation(mean=(10.0, 20.0), std=(2.0, 5.0)))
    pixels = torch.tensor([[[[10.0, 14.0]], [[float("nan"), 25.0]]]])

    assert normalise(pixels).tolist() == [[[[0.0, 2.0]], [[0.0, 1.0]]]]


def test_scores_are_resampled_as_logits_and_then_sum_to_one():
    logits = torch.tensor([[[[0.0, 4.0]], [[0.0, 0.0]]]]).expand(1, 2, 2, 2)

    scores = to_scores(logits, 4)

    between = torch.tensor([0.0, 1.0, 3.0, 4.0])
    assert torch.allclose(scores[0, 0, 0], torch.sigmoid(between))
    assert torch.allclose(scores.sum(dim=1), torch.ones(1, 4, 4))


def test_a_temperature_of_two_halves_the_logits_and_keeps_the_class():
    logits = torch.randn(2, 3, 16, 16, generator=torch.manual_seed(0)).bfloat16()

    scores = to_scores(logits, 16, 2.0)

    assert torch.allclose(scores, (logits.float() / 2).softmax(dim=1))
    assert torch.equal(scores.argmax(dim=1), logits.argmax(dim=1))
    assert torch.equal(to_scores(logits, 16, 1.0), logits.float().softmax(dim=1))


def test_windows_are_resampled_for_the_network_and_back(bundle):
    images = torch.rand(1, 3, 80, 80) * 200
    pipeline = load_pipeline(bundle, 32)

    with torch.inference_mode():
        small = functional.interpolate(
            pipeline.entry.normalise(images), (32, 32), mode="bilinear", antialias=True
        )
        logits = load_network(bundle.folder)(small)
        logits = functional.interpolate(logits / bundle.temperature, (80, 80), mode="bilinear")
        expected = logits.softmax(1)
        assert torch.equal(pipeline(images), expected)


def test_a_size_that_the_network_cannot_take_is_refused(fpn_bundle):
    with pytest.raises(
        BundleError, match=r"--patch-size 40: fpn with tu-test_resnet .* multiple of 32"
    ):
        load_pipeline(fpn_bundle, 40)


def test_missing_pixels_at_the_edge_do_not_spread_when_resampled(bundle):
    images = np.full((1, 3, 64, 64), 120, np.float32)
    images[:, :, :8] = np.nan

    assert torch.isfinite(load_pipeline(bundle, 32)(torch.from_numpy(images))).all()


@pytest.mark.parametrize("network_size", [20, 32, 80, 100])
def test_the_rim_of_a_hole_keeps_its_value_when_windows_are_resampled(network_size):
    """A network that gives its input back: what is 7 beside a hole comes back as 7."""
    images = torch.full((1, 2, 64, 64), 7.0)
    images[:, :, 9:30, 21:43] = float("nan")
    entry = Preprocess(Normalisation(mean=(5.0, 3.0), std=(1.0, 2.0)), network_size)

    back = functional.interpolate(entry(images), (64, 64), mode="bilinear")

    assert torch.allclose(back[~torch.isnan(images)], torch.tensor(2.0))
    assert entry(torch.full_like(images, float("nan"))).abs().max() == 0
