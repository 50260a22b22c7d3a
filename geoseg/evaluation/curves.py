"""Pictures of what scores say of themselves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.core.colors import to_hex
from geoseg.core.legend import Legend
from geoseg.evaluation.calibration import ScoreCounts
from geoseg.evaluation.lines import in_percent


def draw_calibration(
    path: Path, counts: ScoreCounts, bounds: Sequence[Mapping[str, Any]] | None = None
) -> None:
    """Draw accuracy over top score, and below how many pixels have it.

    Args:
        path: Picture to write.
        counts: The pixels.
        bounds: Of the accuracy of each bin, if they are known.
    """
    from matplotlib.figure import Figure

    reliability = counts.reliability
    width = 1 / len(reliability.pixels)
    middles = reliability.edges[:-1] + width / 2
    figure = Figure(figsize=(5.2, 6.2), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    upper.bar(middles, reliability.accuracy, width, color="#9ecae1", edgecolor="white")
    upper.plot(
        [0, 1], [0, 1], "--", color="#555555", linewidth=1, label="scores mean what they say"
    )
    upper.plot(reliability.mean_score, reliability.accuracy, "o-", color="#08519c", markersize=4,
               label=f"the map (ECE {in_percent(reliability.ece)} %)")  # fmt: skip
    if bounds is not None:
        low, high = np.array([each["accuracy"] for each in bounds]).T
        upper.vlines(reliability.mean_score, low, high, color="#08519c", linewidth=1)
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="share of pixels that are right")
    upper.legend(loc="upper left", fontsize=9)
    lower.bar(middles, 100 * reliability.pixels / max(counts.pixels, 1), width, color="#9ecae1",
              edgecolor="white")  # fmt: skip
    lower.set(xlabel="score of the class that scores best", ylabel="% of pixels")
    figure.savefig(path, dpi=110, metadata={"Software": None})


def draw_thresholds(
    path: Path,
    counts: ScoreCounts,
    legend: Legend,
    bounds: Mapping[str, NDArray[np.float64]] | None = None,
) -> None:
    """Draw F1 and IoU over thresholds, and precision over recall, for each class.

    Args:
        path: Picture to write.
        counts: The pixels.
        legend: The classes.
        bounds: (2, classes, LEVELS) of each figure, if they are known.
    """
    from matplotlib.figure import Figure

    thresholds = counts.thresholds
    figure = Figure(figsize=(12.5, 4.4), layout="constrained")
    axes = figure.subplots(1, 3)
    for axis, name, title in zip(axes, ("f1", "iou"), ("F1", "IoU"), strict=False):
        for index, each in enumerate(legend.classes):
            values = getattr(thresholds, name)[index]
            color = _line_color(each.color)
            axis.plot(thresholds.thresholds, values, color=color, label=each.name)
            if bounds is not None:
                low, high = bounds[name][:, index]
                axis.fill_between(
                    thresholds.thresholds, low, high, color=color, alpha=0.2, linewidth=0
                )
        axis.set(
            xlim=(0, 1), ylim=(0, 1), xlabel="score from which on it is the class", ylabel=title
        )
    for index, each in enumerate(legend.classes):
        precision, recall = thresholds.precision[index], thresholds.recall[index]
        area = in_percent(float(thresholds.average_precision[index]))
        axes[2].plot(
            recall, precision, color=_line_color(each.color), label=f"{each.name} ({area})"
        )
    axes[2].set(xlim=(0, 1), ylim=(0, 1), xlabel="recall", ylabel="precision")
    axes[2].legend(loc="lower left", fontsize=8, title="average precision, %", title_fontsize=8)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _line_color(color: Sequence[int]) -> str:
    """A class's colour, darkened until a thin line of it shows on white."""
    red, green, blue = color
    light = (0.3 * red + 0.59 * green + 0.11 * blue) / 255
    factor = min(0.7 / light, 1) if light else 1
    return to_hex((int(red * factor), int(green * factor), int(blue * factor)))
