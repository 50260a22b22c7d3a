"""Pixels that several references label differently."""

from typing import Any

import numpy as np

from geoseg.evaluation.block import Block
from geoseg.io.references import References


class ConflictTally:
    """Pixels that count and that two references label differently; the first one counts."""

    halo = 0

    def __init__(self, references: References) -> None:
        self._references = references
        self._pixels = 0

    def look(self, block: Block) -> int:
        """Pixels of the block."""
        conflicts = self._references.conflicts(block.window)
        return int(np.count_nonzero(conflicts & block.known))

    def add(self, looked: int) -> None:
        """Sum up."""
        self._pixels += looked

    def result(self) -> dict[str, Any]:
        """Fields of the comparison."""
        return {"conflicts": self._pixels}
