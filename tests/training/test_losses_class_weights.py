import pytest
import torch

from geoseg.errors import TrainingError
from geoseg.training.losses import balanced, class_weights

NAMES = ["background", "rock", "sand=wet"]


@pytest.mark.parametrize(
    ("kind", "pixels", "weights"),
    [
        ("auto", [10, 20, 40], [2, 1, 0.5]),  # median / own
        ("inverse", [10, 20, 40], [7, 3.5, 1.75]),  # all / own
        ("none", [10, 20, 40], [1, 1, 1]),
        ("auto", [0, 10, 30], [1, 2, 2 / 3]),  # a class without pixels: not infinite, not NaN
        ("inverse", [0, 10, 30], [1, 4, 4 / 3]),
        ("auto", [20, 5_000_000, 6_000_000], [100, 1, 5 / 6]),  # stray pixels are not all
        ("auto", [0, 0, 0], [1, 1, 1]),
        ("inverse", [0, 0, 0], [1, 1, 1]),
        ("auto", [0, 0, 5], [1, 1, 1]),
        ("inverse", [1, 2**40, 1], [2**40, 1, 2**40]),  # counts beyond 32 bits
    ],
)
def test_weights_by_rule(kind, pixels, weights):
    found = balanced(kind, pixels)

    assert found.dtype == torch.float32
    assert found.tolist() == pytest.approx(weights, rel=1e-5)


def test_the_effective_number_of_pixels_is_that_of_cui():
    pixels, median = [10, 40, 1000], 40
    beta = 1 - 1 / median
    expected = torch.tensor([(1 - beta) / (1 - beta**n) for n in pixels], dtype=torch.float64)

    found = balanced("effective", pixels)

    assert found.tolist() == pytest.approx((expected / expected.mean()).tolist(), rel=1e-6)


@pytest.mark.parametrize("pixels", [[0, 10, 30], [1, 1, 1], [0, 0, 5], [0, 0, 0], [1, 2**40, 9]])
def test_effective_weights_are_finite_and_rare_classes_weigh_no_less(pixels):
    found = balanced("effective", pixels)

    present = sorted((n, w) for n, w in zip(pixels, found.tolist(), strict=True) if n)
    weights = [weight for _, weight in present]
    assert found.isfinite().all()
    assert weights == sorted(weights, reverse=True)
    assert all(w == 1 for n, w in zip(pixels, found.tolist(), strict=True) if not n)


def test_a_list_names_classes_and_the_others_weigh_1():
    assert class_weights("background=0, rock=20", NAMES, [1, 1, 1]).tolist() == [0, 20, 1]
    assert class_weights("sand=wet=0.5", NAMES, [1, 1, 1]).tolist() == [1, 1, 0.5]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("rocks=2", "no class is named 'rocks'; they are background, rock, sand=wet"),
        ("rock=-1", "'-1' is not a number of at least 0"),
        ("rock=nan", "'nan' is not a number of at least 0"),
        ("rock=inf", "'inf' is not a number of at least 0"),
        ("rock=much", "'much' is not a number of at least 0"),
        ("median", "neither auto, inverse, effective, none nor a list such as background=3"),
        ("background=0,rock=0,sand=wet=0", "all weights are 0"),
    ],
)
def test_a_list_that_cannot_be_is_refused(text, reason):
    with pytest.raises(TrainingError, match=reason):
        class_weights(text, NAMES, [1, 1, 1])
