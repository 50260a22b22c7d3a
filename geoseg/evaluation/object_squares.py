"""In which square of ground each object lies, so that drawing squares draws objects."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from geoseg.core.detections import Detections, Hits, ObjectCounts
from geoseg.core.objects import Matches
from geoseg.core.squares import Squares

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class DrawnObjects(ObjectCounts):
    """Objects of squares that are drawn; of those of the map only the ones found are known."""

    found: Hits = field(kw_only=True, compare=False, repr=False)
    """These."""

    @property
    def hits(self) -> Hits:
        """The objects that are found."""
        return self.found


@dataclass(frozen=True, eq=False, kw_only=True)
class ObjectSquares:
    """The objects of a class by square.

    An object lies where its first pixel is, in reading order. One of the map that is one of the
    reference lies where that is, so that both are drawn together.
    """

    reference: Numbers
    """(objects of the reference,) square of each."""

    mapped: Numbers
    """(objects of the map,) square of each."""

    detections: Detections
    """The objects of the map."""

    @classmethod
    def of(cls, matches: Matches, squares: Squares) -> Self:
        """Objects of a map divided into squares."""
        return cls(
            reference=squares.of_pixels(matches.reference),
            mapped=squares.of_pixels(matches.mapped),
            detections=matches.counts.detections,
        )

    @classmethod
    def none(cls) -> Self:
        """No objects."""
        nothing = np.empty(0, np.int64)
        return cls(reference=nothing, mapped=nothing, detections=Detections.of(np.empty(0)))

    def after(self, squares: int) -> Self:
        """The same on a map whose squares follow others."""
        return replace(self, reference=self.reference + squares, mapped=self.mapped + squares)

    def __add__(self, other: Self) -> Self:
        return type(self)(
            reference=np.concatenate([self.reference, other.reference]),
            mapped=np.concatenate([self.mapped, other.mapped]),
            detections=self.detections + other.detections,
        )

    @property
    def squares(self) -> int:
        """In how many there are objects."""
        return len(np.union1d(self.reference, self.mapped))

    def drawn(self, times: NDArray[np.int64]) -> DrawnObjects:
        """The objects of squares that count several times or not at all.

        Args:
            times: (squares,) how often each counts.
        """
        squares, there = self._reference_by_square
        often = times[self._by_score]
        hits = self.detections.ranks.counted(often)
        return DrawnObjects(
            reference=int(times[squares] @ there),
            mapped=int(often.sum()),
            matched=int(hits.times.sum()),
            iou_sum=float(hits.times @ hits.ious),
            found=hits,
        )

    @cached_property
    def _reference_by_square(self) -> tuple[Numbers, Numbers]:
        """Squares, and how many objects of the reference each has."""
        squares, there = np.unique(self.reference, return_counts=True)
        return squares, there

    @cached_property
    def _by_score(self) -> Numbers:
        """Squares of the map's objects by falling score: sorted once for all draws."""
        return self.mapped[self.detections.ranks.order]
