"""Patches that repeat each other: their images, their masks, or both; and labels that cannot be."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from geoseg.checking.findings import Finding
from geoseg.checking.survey import Survey
from geoseg.io.patch_record import SPLITS
from geoseg.io.patch_table import PatchTable

OUTLIERS = 5
"""So many images of different places with one mask are no coincidence of two or three mix-ups."""

LEAST_LABELLED = 0.01
"""Patches with a smaller share of labelled pixels are called unlabelled."""


def repeats(found: Survey, patches: PatchTable, places: NDArray[np.int64]) -> list[Finding]:
    """Duplicates, contradicting labels, masks that many images share.

    Images of one value are left out of all this: they are all the same, and so are the masks
    that `is_telling` calls silent. Images of one place may well have one mask.

    Args:
        found: What is known of the patches.
        patches: All of the set.
        places: (n,) number of the place of each.
    """
    comparable = found.is_read & ~found.is_constant
    same_image = _groups(found.image, comparable)
    one_truth = [group for group in same_image if _kinds(found.mask, group) == 1]
    two_truths = [group for group in same_image if _kinds(found.mask, group) > 1]
    in_one_split = [
        same for group in one_truth for same in _by_split(group, patches) if len(same) > 1
    ]
    same_mask = [
        group
        for group in _groups(found.mask, comparable & found.is_telling)
        if _different(found, places, group) > 1
    ]
    return [
        *_contradictions(two_truths),
        *_duplicates(in_one_split),
        *_same_masks(found, places, same_mask),
    ]


def in_several_splits(found: Survey, patches: PatchTable) -> list[list[int]]:
    """Groups of patches with the same pixels, of which not all are in one split."""
    groups = _groups(found.image, found.is_read & ~found.is_constant)
    return [group for group in groups if len(set(patches.split[group].tolist())) > 1]


def empties(found: Survey) -> list[Finding]:
    """Constant images, and masks with hardly a label."""
    constant = np.flatnonzero(found.is_read & found.is_constant).tolist()
    unlabelled = np.flatnonzero(found.is_read & (found.labelled < LEAST_LABELLED)).tolist()
    whats = {
        "constant-images": (constant, "images have one value only"),
        "unlabelled": (unlabelled, f"patches have a class on less than {LEAST_LABELLED:.0%}"),
    }
    return [
        Finding(
            kind=kind,
            what=f"{len(numbers)} {what}",
            patches=tuple(numbers),
            drop=tuple(numbers),
            groups=tuple((number,) for number in numbers),
        )
        for kind, (numbers, what) in whats.items()
        if numbers
    ]


def _contradictions(groups: list[list[int]]) -> Iterable[Finding]:
    if groups:
        numbers = _all(groups)
        yield Finding(
            kind="contradictions",
            what=f"{len(numbers)} patches: {len(groups)} images occur with different masks",
            patches=numbers,
            drop=numbers,
            groups=tuple(map(tuple, groups)),
        )


def _duplicates(groups: list[list[int]]) -> Iterable[Finding]:
    if groups:
        numbers = _all(groups)
        yield Finding(
            kind="duplicates",
            what=f"{len(numbers)} patches are {len(groups)} different ones, image and mask",
            patches=numbers,
            drop=tuple(sorted(number for group in groups for number in group[1:])),
            groups=tuple(map(tuple, groups)),
        )


def _same_masks(
    found: Survey, places: NDArray[np.int64], groups: list[list[int]]
) -> Iterable[Finding]:
    many = [group for group in groups if _different(found, places, group) >= OUTLIERS]
    few = [group for group in groups if _different(found, places, group) < OUTLIERS]
    for kind, chosen, what in (
        ("outliers", many, f"share a mask with {OUTLIERS - 1} or more other images"),
        ("identical-masks", few, "share a mask with another image"),
    ):
        if chosen:
            numbers = _all(chosen)
            sizes = ", ".join(str(len(group)) for group in chosen[:5])
            yield Finding(
                kind=kind,
                what=f"{len(numbers)} patches {what}: {len(chosen)} masks ({sizes}"
                f"{', …' if len(chosen) > 5 else ''} patches)",  # noqa: PLR2004 as listed
                patches=numbers,
                drop=numbers,
                groups=tuple(map(tuple, chosen)),
            )


def _groups(hashes: NDArray[np.void], wanted: NDArray[np.bool_]) -> list[list[int]]:
    """Numbers of those with the same hash, where there are two or more; the largest first.

    Args:
        hashes: (n,).
        wanted: (n,) which count.
    """
    numbers = np.flatnonzero(wanted)
    numbers = numbers[np.argsort(hashes[numbers], kind="stable")]
    if not len(numbers):
        return []
    ends = np.flatnonzero(hashes[numbers][1:] != hashes[numbers][:-1]) + 1
    groups = [part.tolist() for part in np.split(numbers, ends) if len(part) > 1]
    return sorted(groups, key=lambda group: (-len(group), group))


def _different(found: Survey, places: NDArray[np.int64], group: list[int]) -> int:
    """How many images of a group are neither copies of each other nor of the same place."""
    return min(_kinds(found.image, group), len(np.unique(places[group])))


def _kinds(hashes: NDArray[np.void], group: list[int]) -> int:
    return len({bytes(each) for each in hashes[group]})


def _by_split(group: list[int], patches: PatchTable) -> list[list[int]]:
    return [
        [number for number in group if patches.split[number] == split]
        for split in range(len(SPLITS))
    ]


def _all(groups: list[list[int]]) -> tuple[int, ...]:
    return tuple(sorted(number for group in groups for number in group))
