"""Scores of a network on validation patches: their temperature, and thresholds that map best."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp, softmax

from geoseg.evaluation.calibration import Reliability
from geoseg.labels.confusion import ConfusionMatrix
from geoseg.model.bundle import TEMPERATURES
from geoseg.patches.patch_set import PatchSet
from geoseg.patches.record import Patch
from geoseg.training.task import SegmentationTask

MOST_PATCHES, MOST_PIXELS = 256, 1 << 18
"""Validation patches that are looked at, and labelled pixels of them all."""

DIGITS = 4
"""Decimals of a temperature: those of a bundle of today are those of tomorrow."""


class Sample(NamedTuple):
    """Labelled pixels of validation ground."""

    logits: NDArray[np.float32]
    """(pixels, classes) outputs of the network."""

    truth: NDArray[np.uint8]
    """(pixels,) class indices."""

    def scores(self, temperature: float) -> NDArray[np.float32]:
        """(pixels, classes) 0..1."""
        scores: NDArray[np.float32] = softmax(self.logits / np.float32(temperature), axis=1)
        return scores


@dataclass(frozen=True)
class Calibration:
    """What was found on validation ground."""

    temperature: float
    """Divisor of the logits."""

    ece_before: float
    ece_after: float
    """Expected calibration error of the top scores, 0..1, without and with it."""

    thresholds: dict[str, float]
    """Scores from which on classes are best taken, by name; of others it is 1/2."""

    miou_before: float
    miou_after: float
    """Mean IoU without and with them."""

    pixels: int
    patches: int
    """Labelled pixels, and the patches they are of."""

    @property
    def sentence(self) -> str:
        """For people."""
        return (
            f"scores are calibrated: temperature {self.temperature:.3g}, expected calibration "
            f"error {self.ece_before:.1%} before, {self.ece_after:.1%} after"
        )


def calibrate(
    task: SegmentationTask, patch_set: PatchSet, patches: Sequence[Patch], *, seed: int
) -> Calibration | None:
    """Find temperature and thresholds of a network on patches that did not train it.

    Args:
        task: The network.
        patch_set: The patch set.
        patches: Its validation patches.
        seed: Which of them, and which of their pixels, are looked at.

    Returns:
        None if no pixel is labelled with a class that counts.
    """
    rng = np.random.default_rng(seed)
    chosen = [patches[number] for number in rng.permutation(len(patches))[:MOST_PATCHES]]
    sample = draw_sample(task, patch_set, chosen, rng)
    if not len(sample.truth):
        return None
    temperature = fit_temperature(sample)
    found = find_thresholds(sample.scores(temperature), sample.truth)
    names = patch_set.record.legend.names
    return Calibration(
        temperature=temperature,
        ece_before=reliability(sample.scores(1.0), sample.truth).ece,
        ece_after=reliability(sample.scores(temperature), sample.truth).ece,
        thresholds={names[index]: value for index, value in found.values.items()},
        miou_before=found.miou_before,
        miou_after=found.miou_after,
        pixels=len(sample.truth),
        patches=len(chosen),
    )


def draw_sample(
    task: SegmentationTask,
    patch_set: PatchSet,
    patches: Sequence[Patch],
    rng: np.random.Generator,
) -> Sample:
    """Random labelled pixels of classes that count, of each patch no more than its share."""
    share = MOST_PIXELS // max(len(patches), 1)
    logits, truth = [np.zeros((0, task.classes), np.float32)], [np.zeros(0, np.uint8)]
    task.eval()
    for patch in patches:
        image, mask = patch_set.read(patch)
        classes = mask.ravel()
        places = np.flatnonzero(np.append(task.counted, False)[np.minimum(classes, task.classes)])
        if len(places) > share:
            places = rng.choice(places, share, replace=False, shuffle=False)
        with torch.inference_mode():
            (outputs,) = task(torch.from_numpy(image[None]).to(task.device)).cpu().numpy()
        logits.append(outputs.reshape(task.classes, -1)[:, places].T)
        truth.append(classes[places])
    return Sample(np.concatenate(logits), np.concatenate(truth))


def fit_temperature(sample: Sample) -> float:
    """The temperature of the least negative log-likelihood, within `TEMPERATURES`.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, ICML, section 4.2.

    >>> logits = np.array([[0, 4]] * 4, np.float32)  # 98 % certain, and right in three of four
    >>> round(fit_temperature(Sample(logits, np.array([1, 1, 1, 0], np.uint8))), 2)  # 4 / log(3)
    3.64
    """
    low, high = np.log(TEMPERATURES)
    found = minimize_scalar(
        lambda exponent: _negative_log_likelihood(sample, np.exp(exponent)),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-5},
    )
    return float(np.clip(round(float(np.exp(found.x)), DIGITS), *TEMPERATURES))


def _negative_log_likelihood(sample: Sample, temperature: float) -> float:
    """Mean over pixels."""
    scaled = sample.logits / np.float32(temperature)
    of_truth = np.take_along_axis(scaled, sample.truth[:, None].astype(np.intp), axis=1)[:, 0]
    return float((logsumexp(scaled, axis=1) - of_truth).mean(dtype=np.float64))


def reliability(scores: NDArray[np.float32], truth: NDArray[np.uint8]) -> Reliability:
    """Pixels in bins of their top score, of (pixels, classes) scores."""
    best = scores.argmax(axis=1)
    top = np.take_along_axis(scores, best[:, None], axis=1)[:, 0]
    return Reliability.count(top, best == truth)


LEVELS = np.arange(2, 99) / 100
"""Thresholds to choose from."""

ROUNDS, MIN_GAIN = 5, 0.01
"""How often every class is looked at, at most; and the gain of mean IoU that is worth it, 0..1."""

MIN_SUPPORT = 200
"""Pixels of a class without which it gets no threshold: of a class that is not there any suits."""


class FoundThresholds(NamedTuple):
    """Thresholds by class index, and mean IoU without and with them."""

    values: dict[int, float]
    miou_before: float
    miou_after: float


def find_thresholds(scores: NDArray[np.float32], truth: NDArray[np.uint8]) -> FoundThresholds:
    """The thresholds of the highest mean IoU, found class by class until none gains any more.

    The commonest class stays without one, as `threshold_factors` needs it, and so do those of
    fewer pixels than `MIN_SUPPORT`.

    Args:
        scores: (pixels, classes) 0..1.
        truth: (pixels,) class indices.
    """
    classes = scores.shape[1]
    support = np.bincount(truth, minlength=classes)
    known = [each for each in np.argsort(support)[:-1] if support[each] >= MIN_SUPPORT]
    chosen = np.full(classes, 0.5)
    (before,) = _mean_iou(_confusions(scores, truth, chosen, 0)[LEVELS == 0.5])  # noqa: PLR2004
    best = before
    for _ in range(ROUNDS):
        last = best
        for index in known:  # rare ones first, which have most to gain
            found = _mean_iou(_confusions(scores, truth, chosen, index))
            level = int(np.argmax(found))
            if found[level] > best:
                best, chosen[index] = found[level], LEVELS[level]
        if best == last:
            break
    if best - before < MIN_GAIN:
        return FoundThresholds({}, before, before)
    values = {index: each for index, each in enumerate(chosen.tolist()) if each != 0.5}  # noqa: PLR2004
    return FoundThresholds(values, before, best)


def _confusions(
    scores: NDArray[np.float32], truth: NDArray[np.uint8], chosen: NDArray[np.float64], index: int
) -> NDArray[np.int64]:
    """(levels, classes, classes) counts by reference and map, for each threshold of a class.

    A pixel has the best of the other classes up to the level from which on its own score no longer
    suffices: one histogram of these levels, by pair of classes, holds all matrices.
    """
    classes = len(chosen)
    others = scores * ((1 - chosen) / chosen).astype(np.float32)
    others[:, index] = -1
    rival = others.argmax(axis=1)
    own, top = scores[:, index], np.maximum(others.max(axis=1), 0)
    reached = own / np.maximum(own + top, np.finfo(np.float32).tiny)
    until = np.searchsorted(LEVELS, reached)  # it wins at the levels below
    codes = (until * classes + truth) * classes + rival
    counts = np.bincount(codes, minlength=(len(LEVELS) + 1) * classes**2)
    counts = counts.reshape(-1, classes, classes)
    won = counts[::-1].cumsum(axis=0)[::-1][1:]
    found = counts.sum(axis=0) - won
    found[:, :, index] += won.sum(axis=2)
    return found


def _mean_iou(counts: NDArray[np.int64]) -> list[float]:
    """Of each of (n, classes, classes) matrices."""
    return [ConfusionMatrix(each).mean_iou for each in counts]
