"""Square blocks of ground, and which of them windows touch."""

from itertools import chain

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float64]
"""(n, 4): first row, first column, last row, last column, ends exclusive, in pixels."""

Block = tuple[int, int, int]
"""Frame, row and column of a block."""

FEW_BLOCKS = 20
"""With fewer blocks than this, smaller ones are taken by default."""

HAIR = 1e-6
"""Pixels by which a window may stand over the edge of a block."""


def default_block(boxes: Boxes, frames: NDArray[np.int64], patch_size: int) -> int:
    """Four patches, or two if four would give few blocks; in pixels."""
    blocks = set(home_blocks(boxes, frames, 4 * patch_size))
    return (4 if len(blocks) >= FEW_BLOCKS else 2) * patch_size


def home_blocks(boxes: Boxes, frames: NDArray[np.int64], block: int) -> list[Block]:
    """The block in which the centre of each window lies.

    Args:
        boxes: (n, 4).
        frames: (n,) windows of different frames share no ground.
        block: Side of a block, in pixels.
    """
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    rows_cols = np.floor(centres / block).astype(np.int64)
    keys = np.column_stack([frames, rows_cols]).tolist()
    return [(frame, row, col) for frame, row, col in keys]


def touched_blocks(
    boxes: Boxes, frames: NDArray[np.int64], block: int
) -> tuple[NDArray[np.int64], int]:
    """All blocks of which each window covers a part.

    Args:
        boxes: (n, 4).
        frames: (n,) windows of different frames share no ground.
        block: Side of a block, in pixels.

    Returns:
        (n, most) numbers of blocks, the first repeated where a window touches fewer; and how
        many blocks there are.
    """
    first = np.floor((boxes[:, :2] + HAIR) / block).astype(np.int64).tolist()
    last = np.floor((boxes[:, 2:] - HAIR) / block).astype(np.int64).tolist()
    keys = [
        [(frame, row, col) for row in range(top, bottom + 1) for col in range(left, right + 1)]
        for frame, (top, left), (bottom, right) in zip(frames.tolist(), first, last, strict=True)
    ]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(chain(*keys)))}
    most = max(map(len, keys))
    rows = [[numbers[key] for key in (*own, *own[:1] * (most - len(own)))] for own in keys]
    return np.array(rows), len(numbers)
