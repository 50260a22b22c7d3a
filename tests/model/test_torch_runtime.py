import numpy as np
import pytest
import torch

from geoseg.errors import BundleError
from geoseg.model.bundle import Normalisation
from geoseg.model.torch_runtime import Normalise, TorchSegmenter, choose_device


def images(size, count=2):
    return np.random.default_rng(0).uniform(0, 255, (count, 3, size, size)).astype(np.float32)


def test_normalisation_centres_and_what_is_missing_becomes_the_mean():
    normalise = Normalise(Normalisation(mean=(10.0, 20.0), std=(2.0, 5.0)))
    pixels = torch.tensor([[[[10.0, 14.0]], [[float("nan"), 25.0]]]])

    assert normalise(pixels).tolist() == [[[[0.0, 2.0]], [[0.0, 1.0]]]]


def test_scores_are_the_softmax_of_the_network(bundle, network):
    pixels = images(32)
    mean = np.array(bundle.normalisation.mean, np.float32)[:, None, None]
    std = np.array(bundle.normalisation.std, np.float32)[:, None, None]
    with torch.inference_mode():
        expected = network(torch.from_numpy((pixels - mean) / std)).softmax(1).numpy()

    scores = TorchSegmenter(bundle, device="cpu")(pixels)

    assert scores == pytest.approx(expected, abs=1e-5)
    assert scores.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_pixels_without_data_give_finite_scores(bundle):
    pixels = images(32)
    pixels[:, :, :7] = np.nan

    assert np.isfinite(TorchSegmenter(bundle, device="cpu")(pixels)).all()


def test_windows_of_another_size_are_resampled_there_and_back(bundle):
    scores = TorchSegmenter(bundle, device="cpu", network_size=32)(images(51))

    assert scores.shape == (2, 3, 51, 51)
    assert scores.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_a_full_device_halves_the_batch(bundle):
    segmenter = TorchSegmenter(bundle, device="cpu")
    whole, sizes = segmenter._score, []

    def score(batch):
        sizes.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError
        return whole(batch)

    segmenter._score = score
    scores = segmenter(images(32, count=5))

    assert scores == pytest.approx(whole(images(32, count=5)), abs=1e-5)
    assert sizes == [5, 2, 3, 1, 2]


def test_a_window_that_does_not_fit_alone_is_refused(bundle):
    segmenter = TorchSegmenter(bundle, device="cpu")

    def score(_):
        raise torch.OutOfMemoryError

    segmenter._score = score
    with pytest.raises(BundleError, match="smaller --patch-size"):
        segmenter(images(32))


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(BundleError, match="--device nonsense"):
        choose_device("nonsense")
