import numpy as np
import pytest
import torch

from geoseg.errors import BundleError
from geoseg.model.torch_runtime import TorchSegmenter, choose_device, choose_precision


def images(size, count=2):
    return np.random.default_rng(0).uniform(0, 255, (count, 3, size, size)).astype(np.float32)


def test_scores_are_the_softmax_of_the_network(bundle, network):
    pixels = images(32)
    mean = np.array(bundle.normalisation.mean, np.float32)[:, None, None]
    std = np.array(bundle.normalisation.std, np.float32)[:, None, None]
    with torch.inference_mode():
        logits = network(torch.from_numpy((pixels - mean) / std))
    expected = (logits / bundle.temperature).softmax(1).numpy()

    scores = TorchSegmenter(bundle, device="cpu", precision="fp32")(pixels)

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
    assert sizes == [5, 2, 2, 1]
    segmenter(images(32, count=4))
    assert sizes[4:] == [2, 2]
    [note] = segmenter.notes
    assert note.startswith("5 windows per call do not fit into the memory of cpu")


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


def test_other_failures_are_not_taken_for_a_lack_of_memory(bundle):
    segmenter = TorchSegmenter(bundle, device="cpu")

    with pytest.raises(RuntimeError, match="must match the size"):
        segmenter(images(32)[:, :2])


def test_a_lack_of_memory_that_is_only_said_is_known_too(bundle):
    segmenter = TorchSegmenter(bundle, device="cpu")
    whole = segmenter._score

    def score(batch):
        if len(batch) > 1:
            raise RuntimeError("MPS backend out of memory (MPS allocated: 5 GB)")
        return whole(batch)

    segmenter._score = score

    assert len(segmenter(images(32, count=3))) == 3


def test_bfloat16_gives_nearly_the_scores_of_float32(bundle):
    exact, rounded = (
        TorchSegmenter(bundle, device="cpu", precision=precision)(images(64))
        for precision in ("fp32", "bf16")
    )

    assert rounded.dtype == np.float32
    assert rounded == pytest.approx(exact, abs=0.05)
    assert not np.array_equal(rounded, exact)
    assert rounded.sum(axis=1) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("precision", "device", "reason"),
    [("int8", "cpu", "--runtime openvino"), ("fp16", "cpu", "choose fp32 or bf16")],
)
def test_a_precision_that_torch_has_not_there_is_refused(precision, device, reason):
    with pytest.raises(BundleError, match=reason):
        choose_precision(precision, torch.device(device))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_threads_on_a_gpu_give_the_scores_of_the_cpu(bundle):
    from concurrent.futures import ThreadPoolExecutor

    segmenter = TorchSegmenter(bundle, device="cuda", precision="fp32")
    batches = [images(64, count=count) for count in (1, 8, 3, 8)]
    with ThreadPoolExecutor(segmenter.streams) as pool:
        scores = list(pool.map(segmenter, batches))

    expected = TorchSegmenter(bundle, device="cpu")
    for batch, found in zip(batches, scores, strict=True):
        assert found == pytest.approx(expected(batch), abs=1e-2)
