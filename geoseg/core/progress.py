"""Progress in plain lines, for logs and pipes that show no bar."""

import time
from collections.abc import Callable

LINE_INTERVAL_S = 60.0
"""From one line to the next, and from the beginning to the first."""


class ProgressLines:
    """Writes how far work is, a line a minute."""

    def __init__(self, write: Callable[[str], None]) -> None:
        """Start the clock.

        Args:
            write: Takes a line.
        """
        self._write = write
        self._began = self._told = time.monotonic()

    def tell(self, label: str, done: int, total: int) -> None:
        """Take how many of how many are done; write it if the last line is a minute old."""
        now = time.monotonic()
        if now - self._told < LINE_INTERVAL_S:
            return
        self._told = now
        share = f" ({done / total:.0%})" if total else ""
        minutes = (now - self._began) / 60
        self._write(f"{label}: {done:,} of {total:,}{share} after {minutes:.0f} min")
