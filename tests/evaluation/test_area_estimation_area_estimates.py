import numpy as np
import pytest

from geoseg.errors import InputError
from geoseg.evaluation.area_estimation import Z_95, AreaEstimates
from geoseg.evaluation.sampling import allocate

OLOFSSON_2014 = [  # rows: the map; deforestation, forest gain, stable forest, stable non-forest
    [66, 0, 5, 4],
    [0, 55, 8, 12],
    [1, 0, 153, 11],
    [2, 1, 9, 313],
]
PIXELS = [200_000, 150_000, 3_200_000, 6_450_000]
HECTARES_PER_PIXEL = 0.09  # 30 m


@pytest.fixture
def example():
    """The worked example of Olofsson et al. 2014, section 5."""
    return AreaEstimates(np.array(OLOFSSON_2014).T, np.array(PIXELS))


def test_the_area_of_deforestation_is_that_of_the_paper(example):
    total = sum(PIXELS)

    assert round(example.area[0] * total) == 235_086
    assert round(example.area[0] * total * HECTARES_PER_PIXEL) == 21_158
    assert round(1.96 * example.area_error[0] * total * HECTARES_PER_PIXEL) == 6_158


def test_the_accuracies_are_those_of_the_paper(example):
    assert round(example.overall, 3) == 0.947
    assert round(1.96 * example.overall_error, 3) == 0.018
    assert example.users.round(2).tolist() == [0.88, 0.73, 0.93, 0.96]
    assert example.producers.round(2).tolist() == [0.75, 0.85, 0.93, 0.96]
    assert (1.96 * example.users_error).round(2).tolist() == [0.07, 0.10, 0.04, 0.02]


def test_estimated_proportions_are_those_written_out_by_hand(example):
    deforestation = example.proportions[0]  # in the reference, by class of the map

    assert deforestation == pytest.approx([0.02 * 66 / 75, 0, 0.32 / 165, 0.645 * 2 / 325])
    assert example.proportions.sum() == pytest.approx(1)


@pytest.fixture(scope="module", params=[[0, 1, 2], [0, 1, 1]], ids=["own", "merged"])
def redrawn(request):
    """A known map of three classes, sampled very often; and two of them merged afterwards."""
    rng = np.random.default_rng(0)
    mapped, own = np.array([100_000, 300_000, 600_000]), np.array(request.param)
    truth = np.array([[0.8, 0.1, 0.02], [0.15, 0.85, 0.03], [0.05, 0.05, 0.95]])
    classes = own.max() + 1
    truth = np.stack([truth[own == index].sum(axis=0) for index in range(classes)])
    points = [150, 250, 150]  # not by area: within a merged class some count for more
    drawn = [[rng.multinomial(n, truth[:, c]) for c, n in enumerate(points)] for _ in range(2500)]
    return mapped, truth, own, [AreaEstimates(np.array(each).T, mapped, own) for each in drawn]


def test_estimates_of_many_samples_scatter_around_the_truth(redrawn):
    mapped, truth, own, estimates = redrawn
    shares = truth * mapped / mapped.sum()
    right = shares[own, range(3)]

    assert np.mean([e.area for e in estimates], axis=0) == pytest.approx(shares.sum(1), rel=0.01)
    assert np.mean([e.overall for e in estimates]) == pytest.approx(right.sum(), rel=0.01)
    users = np.bincount(own, right) / np.bincount(own, mapped / mapped.sum())
    assert np.mean([e.users for e in estimates], axis=0) == pytest.approx(users, rel=0.01)
    producers = np.bincount(own, right) / shares.sum(axis=1)
    assert np.mean([e.producers for e in estimates], axis=0) == pytest.approx(producers, rel=0.01)


@pytest.mark.parametrize("name", ["area", "users", "producers", "overall"])
def test_standard_errors_are_how_much_many_samples_scatter(redrawn, name):
    *_, estimates = redrawn

    scatter = np.std([getattr(each, name) for each in estimates], axis=0)
    told = np.mean([getattr(each, f"{name}_error") for each in estimates], axis=0)

    assert told == pytest.approx(scatter, rel=0.06)


def test_the_interval_holds_the_truth_in_95_of_100_samples(redrawn):
    mapped, truth, _, estimates = redrawn
    area = (truth * mapped / mapped.sum()).sum(axis=1)

    held = [abs(each.area - area) <= Z_95 * each.area_error for each in estimates]

    assert np.mean(held, axis=0) == pytest.approx([0.95] * len(area), abs=0.03)


def test_classes_merged_afterwards_keep_the_weights_of_their_strata():
    """Of the map 0.2, 0.3 and 0.5; the last two are one class: not 12 right of 20, but more."""
    estimates = AreaEstimates(
        np.array([[9, 7, 1], [1, 3, 9]]), np.array([20, 30, 50]), np.array([0, 1, 1])
    )

    assert estimates.matrix.tolist() == [[9, 8], [1, 12]]
    assert (estimates.points.tolist(), estimates.pixels.tolist()) == ([10, 20], [20, 80])
    assert estimates.users.tolist() == pytest.approx([0.9, (0.3 * 0.3 + 0.5 * 0.9) / 0.8])
    assert estimates.area.tolist() == pytest.approx([0.18 + 0.21 + 0.05, 0.02 + 0.09 + 0.45])
    assert estimates.producers.tolist() == pytest.approx([0.18 / 0.44, 0.54 / 0.56])
    assert estimates.overall == pytest.approx(0.18 + 0.54)


def test_a_class_that_is_only_in_the_reference_has_an_area_and_no_users_accuracy():
    estimates = AreaEstimates(np.array([[8, 0, 0], [0, 9, 0], [2, 1, 0]]), np.array([50, 50, 0]))

    assert estimates.area.tolist() == pytest.approx([0.4, 0.45, 0.15])
    assert estimates.producers[2] == 0
    assert np.isnan(estimates.users[2])
    assert estimates.area_error[2] > 0


def test_one_point_of_a_class_gives_no_standard_error():
    estimates = AreaEstimates(np.array([[1, 0], [0, 9]]), np.array([50, 50]))

    assert estimates.overall == 1
    assert np.isnan(estimates.overall_error)


def test_a_class_of_the_map_without_points_is_refused():
    with pytest.raises(ValueError, match="has no points"):
        AreaEstimates(np.array([[5, 0], [0, 0]]), np.array([50, 50]))


@pytest.mark.parametrize(
    ("mapped", "points", "least", "expected"),
    [
        ([900, 90, 10], 100, 0, [90, 9, 1]),
        ([900, 90, 10], 100, 5, [86, 9, 5]),
        ([900, 90, 3], 100, 20, [77, 20, 3]),
        ([5, 5], 100, 30, [5, 5]),
        ([900, 0, 100], 10, 1, [9, 0, 1]),
    ],
)
def test_points_follow_the_area_but_for_a_least_number(mapped, points, least, expected):
    assert allocate(np.array(mapped), points, least=least, equal=False).tolist() == expected


def test_points_may_be_the_same_for_all_classes():
    assert allocate(np.array([900, 90, 9]), 99, least=5, equal=True).tolist() == [45, 45, 9]


def test_the_whole_number_of_points_is_given_out():
    for points in range(30, 200):
        given = allocate(np.array([901, 77, 13, 5000]), points, least=7, equal=False)

        assert given.sum() == points
        assert given.min() >= 7


def test_too_few_points_are_refused():
    with pytest.raises(InputError, match="30 for each class takes 90 points"):
        allocate(np.array([900, 90, 50]), 80, least=30, equal=False)
