import math

import numpy as np
import pytest
from sklearn import metrics

from geoseg.evaluation.metrics import METRICS, titles
from geoseg.evaluation.text import table_of

COUNTS = [[3, 0, 1], [1, 4, 0], [0, 0, 4]]
ABSENT = [[6, 2, 0], [1, 3, 0], [0, 0, 0]]  # no water anywhere
ONLY_MAPPED = [[6, 0, 2], [1, 3, 0], [0, 0, 0]]
ONLY_IN_TRUTH = [[6, 2, 0], [1, 3, 0], [1, 1, 0]]


def pixels_of(counts):
    """Class indices of reference and map, pixel by pixel."""
    rows, cols = np.indices((3, 3))
    return (np.repeat(each.ravel(), np.ravel(counts)) for each in (rows, cols))


def classes_of(evaluation):
    return {row["name"]: row for row in evaluation.to_dict()["classes"]}


def test_figures_of_a_small_map_written_out(evaluate):
    figures = evaluate(COUNTS).to_dict()

    assert figures["pixels"] == 13
    assert figures["overall_accuracy"] == pytest.approx(11 / 13)
    assert figures["dropped"] == {"without_map": 3, "without_reference": 5}
    assert figures["classes"][0] == pytest.approx(
        {
            "name": "building",
            "support": 4,
            "predicted": 4,
            "iou": 3 / 5,
            "f1": 3 / 4,
            "precision": 3 / 4,
            "recall": 3 / 4,
            "specificity": 8 / 9,
        }
    )
    assert figures["confusion"] == {
        "rows": "reference",
        "columns": "map",
        "names": ["building", "tree", "water"],
        "counts": COUNTS,
    }


@pytest.mark.parametrize("seed", range(5))
def test_figures_are_those_of_scikit_learn(evaluate, seed):
    counts = np.random.default_rng(seed).integers(1, 50, (3, 3))
    truth, mapped = pixels_of(counts)

    figures = evaluate(counts).to_dict()

    assert figures["overall_accuracy"] == pytest.approx(metrics.accuracy_score(truth, mapped))
    assert figures["kappa"] == pytest.approx(metrics.cohen_kappa_score(truth, mapped))
    assert figures["mcc"] == pytest.approx(metrics.matthews_corrcoef(truth, mapped))
    assert figures["balanced_accuracy"] == pytest.approx(
        metrics.balanced_accuracy_score(truth, mapped)
    )
    assert figures["mean_iou"] == pytest.approx(
        metrics.jaccard_score(truth, mapped, average="macro")
    )
    assert figures["mean_f1"] == pytest.approx(metrics.f1_score(truth, mapped, average="macro"))
    for name, oracle in [
        ("iou", metrics.jaccard_score),
        ("f1", metrics.f1_score),
        ("precision", metrics.precision_score),
        ("recall", metrics.recall_score),
    ]:
        own = [row[name] for row in figures["classes"]]
        assert own == pytest.approx(oracle(truth, mapped, average=None))
    others = [metrics.recall_score(truth != i, mapped != i) for i in range(3)]
    assert [row["specificity"] for row in figures["classes"]] == pytest.approx(others)


def test_a_class_in_neither_is_nan_and_not_0_in_the_mean(evaluate):
    evaluation = evaluate(ABSENT)

    water = classes_of(evaluation)["water"]
    assert all(math.isnan(water[name]) for name in ("iou", "f1", "precision", "recall"))
    assert evaluation.to_dict()["mean_iou"] == pytest.approx((6 / 9 + 3 / 6) / 2)


def test_a_class_that_is_only_in_the_map_has_no_recall_and_is_not_in_the_mean(evaluate):
    evaluation = evaluate(ONLY_MAPPED)

    water = classes_of(evaluation)["water"]
    assert math.isnan(water["recall"])
    assert (water["iou"], water["precision"]) == (0, 0)
    assert evaluation.to_dict()["mean_iou"] == pytest.approx((6 / 9 + 3 / 4) / 2)


def test_a_class_that_the_map_misses_is_0_in_the_mean(evaluate):
    evaluation = evaluate(ONLY_IN_TRUTH)

    water = classes_of(evaluation)["water"]
    assert (water["iou"], water["recall"]) == (0, 0)
    assert math.isnan(water["precision"])
    assert evaluation.to_dict()["mean_iou"] == pytest.approx((6 / 10 + 3 / 7 + 0) / 3)


@pytest.mark.parametrize("seed", range(5))
def test_no_figure_is_above_1(evaluate, seed):
    counts = np.random.default_rng(seed).integers(0, 3, (3, 3)) ** 9

    figures = evaluate(counts).to_dict()

    for row in figures["classes"]:
        values = [row[name] for name in ("iou", "f1", "precision", "recall")]
        assert all(math.isnan(value) or 0 <= value <= 1 for value in values)


def test_a_map_of_one_class_that_is_right_has_no_kappa_and_no_mcc(evaluate):
    figures = evaluate([[9, 0, 0], [0, 0, 0], [0, 0, 0]]).to_dict()

    assert math.isnan(figures["kappa"])
    assert math.isnan(figures["mcc"])
    assert math.isnan(figures["classes"][0]["specificity"])  # no pixel of another class
    assert figures["overall_accuracy"] == figures["mean_iou"] == 1


def test_several_maps_are_told_apart_and_pooled(evaluate):
    both = evaluate(COUNTS, ABSENT)

    figures = both.to_dict()

    assert figures["confusion"]["counts"] == (np.array(COUNTS) + ABSENT).tolist()
    assert figures["dropped"] == {"without_map": 6, "without_reference": 10}
    assert list(figures["maps"]) == list(figures["inputs"]) == ["a", "b"]
    assert figures["maps"]["a"]["overall_accuracy"] == pytest.approx(11 / 13)
    assert figures["maps"]["b"]["overall_accuracy"] == pytest.approx(9 / 12)
    assert figures["overall_accuracy"] == pytest.approx(20 / 25)


def test_one_map_is_not_told_twice(evaluate):
    figures = evaluate(COUNTS).to_dict()

    assert figures["maps"] == {}
    assert list(figures["inputs"]) == ["a"]


def test_the_table_gives_percentages_and_counts(evaluate):
    lines = table_of(evaluate(COUNTS)).splitlines()

    assert lines[0].split() == [
        "class",
        "IoU",
        "F1",
        "precision",
        "recall",
        "specif.",
        "ref.",
        "px",
        "map",
        "px",
    ]
    assert lines[1].split() == ["building", "60.00", "75.00", "75.00", "75.00", "88.89", "4", "4"]
    assert "overall accuracy 84.62" in lines[5]
    assert lines[-2] == (
        "13 px counted; dropped: 5 px unlabelled in the reference, 3 px without data in the map"
    )


@pytest.mark.parametrize(
    ("counts", "row"),
    [
        (ABSENT, "water - - - - 100.00 0 0 in neither"),
        (ONLY_MAPPED, "water 0.00 0.00 0.00 - 83.33 0 2 not in the reference"),
        (ONLY_IN_TRUTH, "water 0.00 0.00 - 0.00 100.00 2 0 not in the map"),
    ],
)
def test_the_table_says_where_a_class_is_absent(evaluate, counts, row):
    lines = table_of(evaluate(counts)).splitlines()

    assert " ".join(lines[3].split()) == row


def test_the_table_has_a_line_for_each_of_several_maps(evaluate):
    lines = table_of(evaluate(COUNTS, ABSENT)).splitlines()

    assert [line[:20] for line in lines if line[:3] in ("a: ", "b: ")] == [
        "a: over all 3 classe",
        "b: over 2 of 3 class",
    ]
    assert not [line for line in table_of(evaluate(COUNTS)).splitlines() if line[:3] == "a: "]


def test_the_largest_confusions_are_told_in_words(evaluate):
    evaluation = evaluate([[50, 10, 0], [3, 40, 1], [0, 0, 9]])

    assert evaluation.to_dict()["top_confusions"][0] == {
        "reference": "building",
        "map": "tree",
        "pixels": 10,
        "share_of_reference": pytest.approx(1 / 6),
    }
    assert [line for line in table_of(evaluation).splitlines() if "mapped as" in line] == [
        "16.7 % of building is mapped as tree (10 px)",
        "6.8 % of tree is mapped as building (3 px)",
        "2.3 % of tree is mapped as water (1 px)",
    ]


def test_a_map_that_is_right_has_no_confusions(evaluate):
    assert evaluate([[9, 0, 0], [0, 3, 0], [0, 0, 0]]).to_dict()["top_confusions"] == []


def test_dice_is_averaged_over_maps_that_have_the_class(evaluate):
    small_and_wrong = [[1, 1, 0], [0, 0, 0], [0, 0, 0]]  # Dice 2/3 and 0
    large_and_right = [[900, 0, 0], [0, 0, 0], [0, 0, 100]]  # Dice 1, none, 1

    evaluation = evaluate(small_and_wrong, large_and_right)
    each = evaluation.to_dict()["per_map"]

    assert each["mean_dice"] == pytest.approx((2 / 3 + 1) / 2)  # tree is in no reference
    assert each["classes"] == [
        {"name": "building", "dice": pytest.approx((2 / 3 + 1) / 2), "maps": 2},
        {"name": "tree", "dice": 0, "maps": 1},
        {"name": "water", "dice": 1, "maps": 1},
    ]
    assert "mean of the maps' own: Dice 83.33" in table_of(evaluation)
    assert evaluate(small_and_wrong).to_dict()["per_map"] is None


def test_the_dice_of_each_map_is_that_of_scikit_learn(evaluate):
    rng = np.random.default_rng(1)
    matrices = rng.integers(1, 50, (3, 3, 3))

    each = evaluate(*matrices).to_dict()["per_map"]

    oracle = [metrics.f1_score(*pixels_of(counts), average=None) for counts in matrices]
    assert [row["dice"] for row in each["classes"]] == pytest.approx(np.mean(oracle, axis=0))


def test_text_json_and_intervals_hold_every_metric_of_the_table(evaluate):
    told = table_of(evaluate(COUNTS))
    record = evaluate(COUNTS).to_dict()

    for group in ("summary", "classes"):
        for metric in (each for each in METRICS[group] if each.source.startswith("confusion")):
            assert f" {titles(group)[metric.name]}" in told
            assert metric.name in {**record, **record["classes"][0]}
    for group in METRICS.values():
        assert len({metric.name for metric in group}) == len(group)
