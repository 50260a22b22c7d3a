"""Courses of the learning rate, over the share of a training that is done."""

import math
from collections.abc import Callable

from geoseg.errors import TrainingError
from geoseg.training.options import Schedule, TrainOptions

RISE = {"cosine": 0.05, "one-cycle": 0.3}
"""Share of a training in which the rate rises if the user does not say; elsewhere 0."""

POWER = 0.9
"""Of the polynomial course, as DeepLab has it."""

FIRST, LAST = 1 / 25, 1 / 25e4
"""Where the one-cycle course begins and ends, as torch has it."""


def rise_steps(schedule: Schedule, steps: float, *, warmup: float | None, epoch: float) -> float:
    """Steps in which the rate rises.

    Args:
        schedule: Which.
        steps: Of the whole training.
        warmup: Epochs, or None for what is usual.
        epoch: Steps of an epoch.
    """
    if warmup is None:
        return max(round(RISE[schedule] * steps), 1) if schedule in RISE else 0
    return round(warmup * epoch)


def check_course(options: TrainOptions) -> None:
    """See that the options of the course of a training go together.

    Raises:
        TrainingError: If the schedule has no warm-up, or it has no place in the training.
    """
    if not options.warmup:
        return
    if options.schedule == "plateau":
        raise TrainingError("--warmup does not go with --schedule plateau")
    if options.epochs is None and options.max_time is not None:
        raise TrainingError("--warmup counts epochs: with --max-time, give --epochs as well")
    if options.warmup >= options.most_epochs:
        raise TrainingError(
            f"--warmup {options.warmup:g}: must be less than the {options.most_epochs} epochs"
        )


def course(schedule: Schedule, step: float, steps: float, rise: float) -> float:
    """Share of the highest learning rate.

    Args:
        schedule: Which; of ``plateau`` only that it begins at the highest.
        step: From 0; beyond the last the rate does not rise again.
        steps: Of the whole training.
        rise: Steps of the warm-up.

    >>> [round(course("cosine", step, 100, 5), 2) for step in (0, 4, 5, 52, 99)]
    [0.2, 1.0, 1.0, 0.51, 0.0]
    >>> [round(course("poly", step, 100, 0), 2) for step in (0, 50, 100)]
    [1.0, 0.54, 0.0]

    Source: Loshchilov and Hutter 2017, "SGDR" (cosine); Smith and Topin 2018,
    "Super-Convergence" (one-cycle); Chen et al. 2017, "DeepLab" (poly).
    """
    if schedule == "one-cycle":
        return _one_cycle(step, steps, rise)
    if step < rise:
        return (step + 1) / rise if step + 1 < rise else 1.0
    share = min((step - rise) / max(steps - rise, 1), 1)
    return AFTER_RISE[schedule](share)


AFTER_RISE: dict[Schedule, Callable[[float], float]] = {
    "constant": lambda _: 1.0,
    "plateau": lambda _: 1.0,
    "cosine": lambda share: _cosine(1, 0, share),
    "poly": lambda share: (1 - share) ** POWER,
}


def _one_cycle(step: float, steps: float, rise: float) -> float:
    """As torch's OneCycleLR: half a cosine up, half a cosine down to almost nothing."""
    top = max(rise - 1, 0)
    if step < top:
        return _cosine(FIRST, 1, step / top)
    return _cosine(1, LAST, min((step - top) / max(steps - 1 - top, 1e-9), 1))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * share))
