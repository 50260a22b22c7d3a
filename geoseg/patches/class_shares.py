"""Which share of each split each class has, and what that says of a training on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from geoseg.labels.legend import Legend
from geoseg.patches.record import SPLITS, PatchTable, Split
from geoseg.text import format_table, quoted_list

LOW_SHARE = 0.05
"""Of ground: if less than this share is labelled, or covered by polygons, that is said."""

TITLES: Mapping[Split, str] = {"train": "training", "val": "validation", "test": "test"}
"""Splits, as people call them."""

UNLABELLED = "(unlabelled)"

DECIMALS = 9
"""Of a share: beyond is what sums of shares are off."""


@dataclass(frozen=True)
class ClassShares:
    """Shares of the ground with data in the patches of each split; with unlabelled they are 1."""

    names: Sequence[str]
    """Of the classes."""

    splits: Mapping[Split, Mapping[str, float]]
    """Of each split that has patches: each class's share, and that of unlabelled ground."""

    @classmethod
    def of(cls, patches: PatchTable, legend: Legend) -> Self:
        """Of the patches of a set; ground that several of them share counts in each."""
        splits: dict[Split, Mapping[str, float]] = {}
        for split in SPLITS:
            own = patches.in_split(split)
            if ground := float(own.valid_share.sum()):
                shares = (own.class_shares.sum(axis=0) / ground).tolist()
                rest = max(round(1 - sum(shares), DECIMALS), 0.0)
                splits[split] = dict(zip(legend.names, shares, strict=True)) | {UNLABELLED: rest}
        return cls(legend.names, splits)

    @property
    def labelled(self) -> float:
        """The largest share of labelled ground that a split has."""
        return max((1 - shares[UNLABELLED] for shares in self.splits.values()), default=0.0)

    def rows(self) -> list[dict[str, str]]:
        """A row of a table for each class and for unlabelled ground, shares in %."""
        return [
            {"class": name, **{split: _percent(own[name]) for split, own in self.splits.items()}}
            for name in (*self.names, UNLABELLED)
        ]

    def lines(self, width: int | None = None) -> list[str]:
        """The same as text.

        Args:
            width: Characters of a line; None: as many as are needed.
        """
        return format_table(self.rows(), width)

    def warnings(self, counted: Sequence[str] | None = None) -> list[str]:
        """What spoils a training or its figures.

        Args:
            counted: Classes that are to be learnt; None: all.
        """
        wanted = list(self.names if counted is None else counted)
        missing = {
            split: [name for name in wanted if not own[name]] for split, own in self.splits.items()
        }
        nowhere = [name for name in wanted if all(name in each for each in missing.values())]
        found = [f"no pixel of {quoted_list(nowhere)} in any split"] if nowhere else []
        for split, absent in missing.items():
            present = [name for name in wanted if name not in absent]
            only_here = [name for name in absent if name not in nowhere]
            if len(present) == 1 < len(wanted):
                found.append(
                    f"the {TITLES[split]} split holds one class only, {present[0]!r}: there is "
                    f"nothing to tell apart, and its figures say nothing"
                )
            elif only_here:
                them = "it" if len(only_here) == 1 else "them"
                fate = f"the model will not know {them}"
                if split != "train":
                    fate = f"its figures leave {them} out"
                found.append(
                    f"no pixel of {quoted_list(only_here)} in the {TITLES[split]} split: {fate}"
                )
        return found

    def to_dict(self) -> dict[str, Any]:
        """For JSON, by split and class."""
        return {split: dict(own) for split, own in self.splits.items()}


def warn_of_few_labels(share: float) -> list[str]:
    """What is to be said if little of the ground is labelled.

    Args:
        share: Of the ground with data, 0..1.

    >>> warn_of_few_labels(0.031)
    ['labels cover 3.1% of the ground']
    """
    return [f"labels cover {_percent(share)} of the ground"] if share < LOW_SHARE else []


def hint_at_few_polygons(share: float, background: str) -> list[str]:
    """What is to be said if polygons cover little of the ground and the rest is background.

    Args:
        share: Of the labelled ground, 0..1.
        background: Name of that class.
    """
    if share >= LOW_SHARE:
        return []
    told = f"polygons cover {_percent(share)} of the ground, and all the rest is {background!r}"
    return [
        f"{told}; if they mark only some of the objects, --labelled-areas says where they are all"
    ]


def _percent(share: float) -> str:
    """A share in %; a dash is nothing at all.

    >>> _percent(0.5), _percent(0.0001), _percent(0)
    ('50.0%', '<0.1%', '-')
    """
    if not share or np.isnan(share):
        return "-"
    return f"{share:.1%}" if share >= 0.0005 else "<0.1%"  # noqa: PLR2004 rounds to 0.1 %
