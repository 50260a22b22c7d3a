"""Borders between classes: pixels near them, boundary IoU and F1."""

import math
from dataclasses import dataclass, fields
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from geoseg.labels.confusion import Additive, Floats, count_pairs, divide, mean_where
from geoseg.labels.legend import IGNORE

Kind = TypeVar("Kind", np.uint8, np.bool_)


def fold_disk(values: NDArray[Kind], distance: float, fold: np.ufunc) -> NDArray[Kind]:
    """The smallest or largest value, or whether any is True, in the disk around each pixel.

    The disk holds the pixels whose centres are at most ``distance`` away; what of it lies
    beyond the edge is left out. A disk is rows of different length: rows are folded to each
    length once, growing by one pixel on either side, and then folded over the rows above and
    below, so that the effort grows with the radius and not with the area.

    Args:
        values: (height, width).
        distance: Radius of the disk, in pixels.
        fold: ``np.minimum``, ``np.maximum`` or ``np.logical_or``: the order and repetition of
            its operands must not matter.

    Returns:
        (height, width).

    >>> fold_disk(np.array([[0, 0, 0, 7]], np.uint8), 2, np.maximum)
    array([[0, 7, 7, 7]], dtype=uint8)
    """
    folded, run, reach = values.copy(), values, 0
    for rows in range(math.floor(distance), -1, -1):
        while reach < math.floor(math.sqrt(distance**2 - rows**2)):
            run, reach = _grown(run, fold), reach + 1
        if rows == 0:
            fold(folded, run, out=folded)
        elif rows < len(values):
            fold(folded[rows:], run[:-rows], out=folded[rows:])
            fold(folded[:-rows], run[rows:], out=folded[:-rows])
    return folded


def _grown(run: NDArray[Kind], fold: np.ufunc) -> NDArray[Kind]:
    """Each pixel folded with its neighbours on the left and right."""
    grown = run.copy()
    fold(grown[:, 1:], run[:, :-1], out=grown[:, 1:])
    fold(grown[:, :-1], run[:, 1:], out=grown[:, :-1])
    return grown


Labels = NDArray[np.uint8]

Counts = NDArray[np.int64]


def near_border(labels: Labels, distance: float, *, unlabelled: bool = False) -> NDArray[np.bool_]:
    """Pixels that have one of another class within a distance.

    Pixels that are unlabelled or without data have no class: they make no border, unless they
    are said to, and are near none. The map's edge makes none either.

    Args:
        labels: (height, width) class indices; `IGNORE` where there is none.
        distance: Between the centres of pixels, in pixels; 1 gives the pixels that share a
            side with one of another class.
        unlabelled: Whether a class also has a border with what is unlabelled.

    Returns:
        (height, width) bool.

    >>> near_border(np.array([[0, 0, 0, 1, 255]], np.uint8), 2)
    array([[False,  True,  True,  True, False]])
    """
    known = labels != IGNORE
    smallest = fold_disk(labels, distance, np.minimum)  # IGNORE is larger than any class
    others = labels if unlabelled else np.where(known, labels, np.uint8(0))
    largest = fold_disk(others, distance, np.maximum)
    return known & (smallest != largest)


@dataclass(frozen=True, eq=False)
class BorderCounts(Additive):
    """Pixels along the borders of each class, which add up over blocks and maps.

    The *rim* of a class are its pixels within the distance of another class, its *contour*
    those within 1 px. Borders lie between pixels that map and reference both know. In the
    implementation of Boundary IoU by its authors a mask ends at the image's edge. Here the
    map's edge, nodata and unlabelled ground make no border: an orthophoto cuts through
    objects where it happens to end. And the distance is Euclidean, where theirs is a number
    of erosions by a square of 3 x 3 pixels.

    Source: Cheng et al. 2021, Boundary IoU, CVPR (rims); Csurka et al. 2013, What is a good
    evaluation measure for semantic segmentation?, BMVC (contours).
    """

    rim_both: Counts
    """(classes,) pixels in the rim of the class in the reference and in the map."""

    rim_reference: Counts
    """(classes,) pixels in its rim in the reference."""

    rim_map: Counts
    """(classes,) pixels in its rim in the map."""

    contour_reference: Counts
    """(classes,) pixels on its contour in the reference."""

    found_reference: Counts
    """(classes,) of these, within the distance of its contour in the map."""

    contour_map: Counts
    """(classes,) pixels on its contour in the map."""

    found_map: Counts
    """(classes,) of these, within the distance of its contour in the reference."""

    @classmethod
    def zeros(cls, classes: int) -> Self:
        """Nothing counted yet."""
        return cls(*(np.zeros(classes, np.int64) for _ in fields(cls)))

    @classmethod
    def of_labels(cls, labels: NDArray[np.uint8], classes: int) -> Self:
        """Count what `border_labels` has found."""
        return cls(*(count_pairs(each, each, classes).diagonal()[:-1] for each in labels))

    @property
    def iou(self) -> Floats:
        """(classes,) boundary IoU: of the rims; NaN for a class without a border in either."""
        return divide(self.rim_both, self.rim_reference + self.rim_map - self.rim_both)

    @property
    def precision(self) -> Floats:
        """(classes,) share of the map's contour that the reference has, too; NaN without one."""
        return divide(self.found_map, self.contour_map)

    @property
    def recall(self) -> Floats:
        """(classes,) share of the reference's contour that the map has, too; NaN without one."""
        return divide(self.found_reference, self.contour_reference)

    @property
    def f1(self) -> Floats:
        """(classes,) boundary F1; 0 if only one has a border, NaN if neither has."""
        precision, recall = np.nan_to_num(self.precision), np.nan_to_num(self.recall)
        f1 = np.nan_to_num(divide(2 * precision * recall, precision + recall))
        return np.where(self.contour_map + self.contour_reference > 0, f1, np.nan)

    @property
    def mean_iou(self) -> float:
        """Mean of `iou` over the classes with a border in the reference; NaN if there are none."""
        return mean_where(self.iou, self.contour_reference > 0)

    @property
    def mean_f1(self) -> float:
        """Mean of `f1` over the classes with a border in the reference; NaN if there are none."""
        return mean_where(self.f1, self.contour_reference > 0)


def border_labels(
    reference: Labels, predicted: Labels, *, counts: NDArray[np.bool_], distance: float
) -> NDArray[np.uint8]:
    """The pixels that `BorderCounts` counts.

    Args:
        reference: (height, width) class indices; `IGNORE` where there is none.
        predicted: The same of the map.
        counts: (height, width) bool; False for a pixel that is only there because borders
            of others depend on it. Such pixels must reach ``distance + 1`` beyond the rest.
        distance: Within which borders are the same, in pixels.

    Returns:
        (7, height, width): for each of its fields the class as which a pixel is counted,
        `IGNORE` where it is not.
    """
    known = (reference != IGNORE) & (predicted != IGNORE)
    truth, found = (np.where(known, each, np.uint8(IGNORE)) for each in (reference, predicted))
    rim_truth, rim_found = near_border(truth, distance), near_border(found, distance)
    line_truth, line_found = near_border(truth, 1), near_border(found, 1)
    marked = (
        (truth, rim_truth & rim_found & (truth == found)),
        (truth, rim_truth),
        (found, rim_found),
        (truth, line_truth),
        (truth, _beside(truth, line_truth, found, line_found, distance)),
        (found, line_found),
        (found, _beside(found, line_found, truth, line_truth, distance)),
    )
    return np.stack([np.where(where & counts, each, np.uint8(IGNORE)) for each, where in marked])


def _beside(
    labels: Labels,
    line: NDArray[np.bool_],
    other: Labels,
    other_line: NDArray[np.bool_],
    distance: float,
) -> NDArray[np.bool_]:
    """Pixels on a contour that have the same class's contour of the other map within a distance."""
    beside = np.zeros(labels.shape, np.bool_)
    for index in np.unique(labels[line]):
        near = fold_disk(other_line & (other == index), distance, np.logical_or)
        beside |= near & line & (labels == index)
    return beside
