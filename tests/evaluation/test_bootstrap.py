import numpy as np
import pytest
from scipy import stats

from geoseg.errors import InputError
from geoseg.evaluation.bootstrap import draws, intervals
from geoseg.evaluation.compare import compare
from geoseg.evaluation.comparison import Measures
from geoseg.evaluation.evaluation import Evaluation
from geoseg.evaluation.text import table_of
from geoseg.raster.grid import Length


def bounds_of_share(right, pixels, options):
    """Of the share of pixels that are right, from those of each block."""

    def share(times):
        return {"share": times @ right / (times @ pixels)}

    return intervals(np.ones(len(right), bool), share, options)["share"]


def test_independent_blocks_have_the_interval_of_their_standard_error():
    """Blocks of one size: the share is a mean, its error the deviation over the root of n."""
    right = np.random.default_rng(0).binomial(100, 0.8, 400)

    bounds = bounds_of_share(right, np.full(400, 100), Measures(intervals=90, bootstrap=4000))

    error = (right / 100).std(ddof=0) / 400**0.5
    expected = (right / 100).mean() + np.array([-1, 1]) * stats.norm.ppf(0.95) * error
    assert bounds == pytest.approx(expected, abs=0.08 * error)


def test_blocks_of_any_size_have_the_interval_of_scipy():
    rng = np.random.default_rng(1)
    pixels = rng.integers(1, 200, 60)
    right = rng.binomial(pixels, rng.beta(8, 2, 60))

    bounds = bounds_of_share(right, pixels, Measures(intervals=95, bootstrap=4000))

    found = stats.bootstrap(
        (right, pixels),
        lambda some, all_, axis: some.sum(axis) / all_.sum(axis),
        paired=True,
        method="percentile",
        n_resamples=4000,
        rng=np.random.default_rng(2),
    ).confidence_interval
    width = found.high - found.low
    assert bounds == pytest.approx([found.low, found.high], abs=0.06 * width)


def test_as_many_blocks_are_drawn_as_there_are_but_none_that_does_not_count():
    counted = np.array([True, False, True, True])

    drawn = np.array(list(draws(counted, 200, seed=0)))

    assert (drawn.sum(axis=1) == 3).all()
    assert not drawn[:, 1].any()
    assert drawn[:, counted].mean(axis=0) == pytest.approx(1, abs=0.2)


def test_the_same_seed_gives_the_same_bounds():
    right, pixels = np.random.default_rng(0).integers(1, 50, (2, 20)).cumsum(axis=0)
    one, same, other = (
        bounds_of_share(right, pixels, Measures(intervals=95, bootstrap=100, seed=seed)).tolist()
        for seed in (1, 1, 2)
    )

    assert one == same != other


@pytest.fixture
def patchy(write_pair):
    """A map that is wrong in whole squares of 8 px, and has a class that is nearly nowhere."""
    rng = np.random.default_rng(3)
    truth = rng.choice([10, 20], (12, 14)).repeat(8, 0).repeat(8, 1)
    wrong = (rng.random((12, 14)) < 0.2).repeat(8, 0).repeat(8, 1)
    mapped = np.where((truth == 10) != wrong, 1, 4)
    truth[:2, :2], mapped[:2, :2] = 30, 0
    return write_pair(mapped, truth)


def evaluated(pair, legend, **measures):
    chosen = Measures(**measures)
    return Evaluation({pair: compare(pair, legend, measures=chosen)}, legend, chosen)


def test_every_figure_lies_within_its_bounds(patchy, legend):
    options = {"intervals": 95, "block": Length(8, "px"), "bootstrap": 300}
    borders = {"boundary": Length(2, "px"), "erode": Length(2, "px")}

    plain = evaluated(patchy, legend, **borders).to_dict()
    figures = evaluated(patchy, legend, **options, **borders).to_dict()

    bounds = figures["confidence"]
    assert bounds["blocks"] == 12 * 14
    for name in ("overall_accuracy", "kappa", "mean_iou"):
        assert bounds[name][0] < figures[name] < bounds[name][1]
        assert bounds["eroded"][name][0] < figures["eroded"][name] < bounds["eroded"][name][1]
    assert bounds["boundary"]["mean_iou"][0] < figures["boundary"]["mean_iou"]
    for row, own in zip(figures["classes"][:2], bounds["classes"], strict=False):
        for name in ("iou", "f1", "precision", "recall", "boundary_iou", "eroded_f1"):
            assert own[name][0] < row[name] < own[name][1], name
    for part in ("classes", "boundary", "eroded", "overall_accuracy"):
        assert str(figures[part]) == str(plain[part])  # drawing changes no figure


def test_errors_that_stand_together_widen_the_bounds(patchy, legend):
    widths = []
    for side in (1, 8):
        options = {"intervals": 95, "block": Length(side, "px"), "bootstrap": 300}
        low, high = evaluated(patchy, legend, **options).confidence["overall_accuracy"]
        widths.append(high - low)

    assert widths[1] == pytest.approx(8 * widths[0], rel=0.25)  # 64 px are one draw


def test_blocks_of_several_maps_are_drawn_together(patchy, write_pair, legend):
    options = Measures(intervals=95, block=Length(8, "px"), bootstrap=100)
    other = write_pair(np.ones((16, 8)), np.full((16, 8), 10), name="other")
    both = {pair: compare(pair, legend, measures=options) for pair in (patchy, other)}

    assert Evaluation(both, legend, options).confidence["blocks"] == 12 * 14 + 2


def test_blocks_in_which_nothing_counts_are_not_drawn(write_pair, legend):
    mapped = np.full((8, 32), 1)
    truth = np.where(np.arange(32) < 16, 10, 99) * np.ones((8, 1), int)
    options = {"intervals": 95, "block": Length(8, "px"), "bootstrap": 100}

    bounds = evaluated(write_pair(mapped, truth), legend, **options).confidence

    assert bounds["blocks"] == 2
    assert bounds["overall_accuracy"] == [1, 1]
    assert np.isnan(bounds["classes"][2]["iou"]).all()


def test_a_single_block_is_refused(write_pair, legend):
    pair = write_pair(np.ones((8, 8)), np.full((8, 8), 10))

    with pytest.raises(InputError, match=r"several blocks of 256px.* smaller --block"):
        evaluated(pair, legend, intervals=95).to_dict()


def test_bounds_are_told_and_how_they_were_found(patchy, legend):
    options = {"intervals": 95, "block": Length(8, "px"), "bootstrap": 100, "seed": 7}

    told = table_of(evaluated(patchy, legend, **options))

    assert "95 % intervals, from 168 blocks of 8px drawn again 100 times (seed 7):" in told
    assert "overall accuracy 7" in told.split("seed 7):")[1]
