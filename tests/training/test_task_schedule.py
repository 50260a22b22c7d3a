import pytest
import torch
from torch.optim.lr_scheduler import OneCycleLR, PolynomialLR

from geoseg.errors import TrainingError
from geoseg.training.options import TrainOptions
from geoseg.training.task import check_warmup, lr_factor, warmup_steps

SCHEDULES = ["constant", "plateau", "cosine", "one-cycle", "poly"]


def rates(schedule, steps, warmup=None, epoch=1):
    rise = warmup_steps(schedule, steps, warmup=warmup, epoch=epoch)
    return [lr_factor(schedule, step, steps, rise) for step in range(steps)]


def rates_of(make, steps):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = make(optimizer)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


@pytest.mark.parametrize("warmup", [None, 0, 3])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 7, 20, 1000])
def test_the_rate_rises_to_its_highest_and_never_again(schedule, steps, warmup):
    if warmup and steps <= warmup:
        return
    found = rates(schedule, steps, warmup)
    top = found.index(max(found))

    assert max(found) == pytest.approx(1)
    assert min(found) > 0
    assert found[: top + 1] == sorted(found[: top + 1])
    assert found[top:] == sorted(found[top:], reverse=True)


@pytest.mark.parametrize("schedule", ["cosine", "one-cycle", "poly"])
def test_a_schedule_ends_near_zero(schedule):
    assert rates(schedule, 1000)[-1] < 0.03


@pytest.mark.parametrize("schedule", ["cosine", "one-cycle", "poly"])
@pytest.mark.parametrize("steps", [1, 5])
def test_steps_beyond_the_plan_do_not_raise_the_rate_again(schedule, steps):
    rise = warmup_steps(schedule, steps, warmup=None, epoch=1)

    assert lr_factor(schedule, steps + 10, steps, rise) == pytest.approx(0, abs=1e-5)


def test_one_cycle_is_that_of_torch():
    expected = rates_of(lambda opt: OneCycleLR(opt, 1.0, 50, cycle_momentum=False), 50)

    assert rates("one-cycle", 50) == pytest.approx(expected)


def test_the_polynomial_schedule_is_that_of_torch():
    expected = rates_of(lambda opt: PolynomialLR(opt, 50, power=0.9), 50)

    assert rates("poly", 50) == pytest.approx(expected)


def test_a_warm_up_takes_as_many_epochs_as_asked_for():
    found = rates("constant", 40, warmup=2, epoch=4)

    assert found[:9] == pytest.approx([1 / 8, 2 / 8, 3 / 8, 4 / 8, 5 / 8, 6 / 8, 7 / 8, 1, 1])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"schedule": "plateau"}, "does not go with --schedule plateau"),
        ({"epochs": 2}, "less than the 2 epochs"),
        ({"max_time": 60.0}, "give --epochs as well"),
    ],
)
def test_a_warm_up_that_has_no_place_is_refused(options, reason):
    with pytest.raises(TrainingError, match=reason):
        check_warmup(TrainOptions(warmup=2, **options))
