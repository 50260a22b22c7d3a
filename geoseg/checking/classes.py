"""Classes that a split lacks."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from geoseg.checking.findings import Finding
from geoseg.core.legend import Legend
from geoseg.io.patch_record import SPLITS, Split
from geoseg.io.patches import PatchSet


def class_shares(patch_set: PatchSet) -> dict[Split, NDArray[np.float64]]:
    """Of each split that has patches, the (classes,) shares of its labelled pixels."""
    shares = {}
    for split in SPLITS:
        patches = patch_set.in_split(split)
        if len(patches):
            total = patches.class_shares.sum(axis=0)
            shares[split] = total / max(total.sum(), 1e-12)
    return shares


def missing_classes(legend: Legend, shares: dict[Split, NDArray[np.float64]]) -> Iterable[Finding]:
    """Classes of the legend that a split does not show."""
    everywhere = sum(shares.values(), np.zeros(len(legend)))
    details = [
        f"{name} is nowhere"
        for name, share in zip(legend.names, everywhere, strict=True)
        if not share
    ]
    for split, own in shares.items():
        lacking = [
            name
            for name, here, anywhere in zip(legend.names, own, everywhere, strict=True)
            if anywhere and not here
        ]
        if lacking:
            details.append(f"{split} lacks {', '.join(lacking)}")
    if details:
        yield Finding(
            kind="missing-classes",
            what=f"classes of the legend are missing: {'; '.join(details)}",
        )
