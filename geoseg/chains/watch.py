"""How progress is shown."""

from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")

Watch = Callable[[Iterable[T], int], Iterable[T]]
"""Shows progress: gives the items on and knows how many there will be."""
