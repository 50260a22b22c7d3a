import numpy as np
import pytest
from sklearn import metrics

from geoseg.labels.confusion import CHUNK_PIXELS, ConfusionMatrix, count_pairs

CLASSES = 4


def two_maps(seed, absent=()):
    """Random reference and map that agree more often than chance, some pixels not valid."""
    rng = np.random.default_rng(seed)
    present = [index for index in range(CLASSES) if index not in absent]
    reference = rng.choice(present, (20, 30)).astype(np.uint8)
    other = rng.choice(present, (20, 30)).astype(np.uint8)
    predicted = np.where(rng.random((20, 30)) < 0.6, reference, other)
    return reference, predicted, rng.random((20, 30)) > 0.2


def counted(reference, predicted, valid):
    return ConfusionMatrix.count(reference, predicted, valid=valid, classes=CLASSES)


def matrix(*rows):
    return ConfusionMatrix(np.array(rows))


def test_rows_are_the_reference_and_columns_the_map():
    reference = np.array([[0, 0, 1], [1, 255, 2]], np.uint8)
    predicted = np.array([[0, 1, 1], [1, 0, 0]], np.uint8)

    confusion = ConfusionMatrix.count(reference, predicted, valid=reference != 255, classes=3)

    assert confusion.counts.tolist() == [[1, 1, 0], [0, 2, 0], [1, 0, 0]]
    assert confusion.total == 5
    assert confusion.support.tolist() == [2, 2, 1]
    assert confusion.predicted.tolist() == [2, 3, 0]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("absent", [(), (1,), (0, 2)])
def test_counts_agree_with_scikit_learn(seed, absent):
    reference, predicted, valid = two_maps(seed, absent)

    confusion = counted(reference, predicted, valid)

    expected = metrics.confusion_matrix(reference[valid], predicted[valid], labels=range(CLASSES))
    assert (confusion.counts == expected).all()


@pytest.mark.parametrize("seed", range(3))
def test_metrics_agree_with_scikit_learn(seed):
    reference, predicted, valid = two_maps(seed)
    pair = reference[valid], predicted[valid]

    confusion = counted(reference, predicted, valid)

    assert confusion.iou == pytest.approx(metrics.jaccard_score(*pair, average=None))
    assert confusion.f1 == pytest.approx(metrics.f1_score(*pair, average=None))
    assert confusion.precision == pytest.approx(metrics.precision_score(*pair, average=None))
    assert confusion.recall == pytest.approx(metrics.recall_score(*pair, average=None))
    assert confusion.overall_accuracy == pytest.approx(metrics.accuracy_score(*pair))
    assert confusion.kappa == pytest.approx(metrics.cohen_kappa_score(*pair))
    assert confusion.mean_iou == pytest.approx(metrics.jaccard_score(*pair, average="macro"))
    assert confusion.mean_f1 == pytest.approx(metrics.f1_score(*pair, average="macro"))
    assert confusion.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(*pair))


def test_the_sum_of_two_counts_is_the_count_of_both():
    one, other = two_maps(1), two_maps(2)
    both = [np.concatenate(pair) for pair in zip(one, other, strict=True)]

    total = counted(*one) + counted(*other)

    assert (total.counts == counted(*both).counts).all()
    assert ((ConfusionMatrix.zeros(CLASSES) + total).counts == total.counts).all()


def test_an_absent_class_has_no_metric_and_is_in_no_mean():
    confusion = matrix([3, 1, 0], [0, 4, 0], [0, 0, 0])

    assert confusion.iou == pytest.approx([3 / 4, 4 / 5, np.nan], nan_ok=True)
    assert confusion.f1 == pytest.approx([6 / 7, 8 / 9, np.nan], nan_ok=True)
    assert confusion.mean_iou == pytest.approx((3 / 4 + 4 / 5) / 2)
    assert confusion.mean_f1 == pytest.approx((6 / 7 + 8 / 9) / 2)
    assert confusion.balanced_accuracy == pytest.approx((3 / 4 + 1) / 2)


def test_a_class_only_in_the_map_has_iou_nought_and_is_in_no_mean():
    confusion = matrix([3, 1], [0, 0])

    assert confusion.iou.tolist() == [0.75, 0]
    assert confusion.precision.tolist() == [1, 0]
    assert confusion.recall == pytest.approx([0.75, np.nan], nan_ok=True)
    assert confusion.mean_iou == 0.75


def test_a_class_only_in_the_reference_has_iou_nought_and_no_precision():
    confusion = matrix([3, 0], [2, 0])

    assert confusion.iou.tolist() == [0.6, 0]
    assert confusion.precision == pytest.approx([0.6, np.nan], nan_ok=True)
    assert confusion.mean_iou == 0.3


def test_nothing_counted_has_no_metrics():
    nothing = counted(*two_maps(0)[:2], np.zeros((20, 30), bool))

    assert nothing.total == 0
    for metric in (nothing.iou, nothing.f1, nothing.precision, nothing.recall):
        assert np.isnan(metric).all()
    for name in ("overall_accuracy", "kappa", "mean_iou", "mean_f1", "balanced_accuracy"):
        assert np.isnan(getattr(nothing, name)), name


def test_agreement_on_one_class_is_no_more_than_chance():
    assert np.isnan(matrix([7, 0], [0, 0]).kappa)


def test_iou_is_pooled_and_not_averaged_over_images():
    small, large = matrix([1, 0], [0, 0]), matrix([0, 8], [0, 1])

    assert (small + large).iou == pytest.approx([1 / 9, 1 / 9])


def test_large_counts_do_not_overflow():
    reference = np.full((1, 300), 200, np.uint8)

    confusion = ConfusionMatrix.count(
        reference, reference, valid=np.ones((1, 300), bool), classes=201
    )
    many = ConfusionMatrix(confusion.counts * 2**50)

    assert confusion.counts[200, 200] == 300
    assert many.overall_accuracy == 1


@pytest.mark.parametrize("classes", [1, 2, 3, 4, 6, 15, 16, 100, 254])
@pytest.mark.parametrize("shape", [(1,), (7, 9), (2, CHUNK_PIXELS // 2 + 3)])
@pytest.mark.parametrize("packed", [True, False])
def test_pairs_are_counted_whatever_the_number_of_classes_and_pixels(
    monkeypatch, classes, shape, packed
):
    monkeypatch.setattr(
        "geoseg.labels.confusion.MAX_SMALL_PIXELS", 0 if packed else 2 * CHUNK_PIXELS
    )
    rng = np.random.default_rng(classes)
    indices = np.append(np.arange(classes), 255).astype(np.uint8)
    reference, predicted = rng.choice(indices, (2, *shape))

    pairs = count_pairs(reference, predicted, classes)

    places = [np.where(each == 255, classes, each).ravel() for each in (reference, predicted)]
    expected = metrics.confusion_matrix(*places, labels=range(classes + 1))
    assert (pairs == expected).all()


def test_pairs_of_a_part_of_an_image_are_counted(monkeypatch):
    monkeypatch.setattr("geoseg.labels.confusion.MAX_SMALL_PIXELS", 0)
    reference, predicted = np.random.default_rng(0).integers(0, 3, (2, 20, 20)).astype(np.uint8)
    part = np.s_[3:14, 5:19:2]

    pairs = count_pairs(reference[part], predicted[part], 3)

    copied = count_pairs(reference[part].copy(), predicted[part].copy(), 3)
    assert (pairs == copied).all()
    assert pairs.sum() == 11 * 7


def test_nothing_is_no_pair():
    nothing = np.empty((0, 4), np.uint8)

    assert count_pairs(nothing, nothing, 2).tolist() == [[0, 0, 0]] * 3


def test_confusions_are_sorted_with_the_largest_first():
    assert matrix([5, 2, 0], [9, 4, 1], [0, 0, 3]).confusions == [(1, 0), (0, 1), (1, 2)]


@pytest.mark.parametrize("rows", [([3, 0], [0, 0]), ([3, 0], [2, 0])])
def test_a_map_of_a_single_class_has_no_mcc(rows):
    assert np.isnan(matrix(*rows).mcc)


def test_counts_of_a_continent_do_not_overflow_mcc():
    few = matrix([6, 2, 1], [1, 5, 0], [2, 2, 9])

    assert ConfusionMatrix(few.counts * 2**40).mcc == pytest.approx(few.mcc)
