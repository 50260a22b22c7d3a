"""Cross-validation: the ground of a patch set dealt to folds, each left out once."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from geoseg.core.blocks import Boxes, default_block, touched_blocks
from geoseg.errors import TrainingError
from geoseg.io.patch_ground import patch_boxes
from geoseg.io.patch_record import Patch
from geoseg.io.patches import PatchSet

DRAWS = 100
"""Random deals of the blocks, of which the fairest is taken."""


def fold(patch_set: PatchSet, number: int, folds: int, *, seed: int) -> PatchSet:
    """The patches of training and validation, one part of their ground left for validation.

    Whole blocks of ground are dealt to the folds, so that the folds are of like size. Patches
    that stand on ground of both are left out, and so are those for testing.

    Args:
        patch_set: As tiled.
        number: Of the fold that is left out, 0..folds-1.
        folds: How many there are.
        seed: Of the deal.

    Raises:
        TrainingError: If there is too little ground.
    """
    boxes, frames = patch_boxes(patch_set)
    free = np.array([patch.split != "test" for patch in patch_set.patches])
    inside, outside = _dealt(boxes[free], frames[free], patch_set.record.size, folds, seed)
    chosen = [patch for patch, each in zip(patch_set.patches, free, strict=True) if each]
    patches = [
        replace(patch, split="val" if inside[number, at] else "train")
        for at, patch in enumerate(chosen)
        if inside[number, at] or outside[number, at]
    ]
    record = replace(patch_set.record, class_pixels=_class_pixels(patches, patch_set.record.size))
    return PatchSet(patch_set.folder, record, patches)


def _class_pixels(patches: Sequence[Patch], size: int) -> tuple[int, ...]:
    """Pixels of each class in what a fold trains on."""
    shares = [patch.class_shares for patch in patches if patch.split == "train"]
    return tuple(np.rint(np.sum(shares, axis=0) * size**2).astype(int).tolist())


def _dealt(
    boxes: Boxes, frames: NDArray[np.int64], size: int, folds: int, seed: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(folds, n) whether a window lies on the ground of a fold alone, and whether on none of it."""
    block = default_block(boxes, frames, size) if len(boxes) else size
    touched, blocks = touched_blocks(boxes, frames, block) if len(boxes) else (None, 0)
    if touched is None or blocks < folds:
        raise TrainingError(
            f"--folds {folds}: the patches lie in {blocks} block(s) of {block} px; use fewer folds"
        )
    rng = np.random.default_rng(seed)
    deals = [rng.permutation(np.arange(blocks) % folds)[touched] for _ in range(DRAWS)]
    numbers = np.arange(folds)[:, None, None]
    alone = [(deal == numbers).all(axis=2) for deal in deals]
    best = int(np.argmax([each.sum(axis=1).min() for each in alone]))
    if not alone[best].any(axis=1).all():
        raise TrainingError(
            f"--folds {folds}: no patch lies within one of the {blocks} blocks of {block} px that "
            f"a fold gets; use fewer folds, or tile with a smaller --stride"
        )
    return alone[best], (deals[best] != numbers).all(axis=2)
