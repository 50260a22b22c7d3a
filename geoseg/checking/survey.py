"""One pass over all patches of a set; what is kept of each is small."""

import pickle
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.checking.look import Look, look_at
from geoseg.core.parallel import map_in_order
from geoseg.errors import GeosegError
from geoseg.io.patch_record import Patch
from geoseg.io.patches import PatchSet

Watch = Callable[[Iterable[Any], int], Iterable[Any]]
"""Gives items on, and tells how far it has come; the number says of how many."""


SAME = (
    *("is_constant", "is_telling", "extreme", "is_gray", "is_two_valued"),
    *("labelled", "black", "low", "high", "top"),
)
"""What a survey keeps of a look as it is."""


@dataclass(frozen=True)
class Survey:
    """What is known of all patches, a row each."""

    image: NDArray[np.void]
    """(n,) hash of the pixels, 16 bytes."""

    mask: NDArray[np.void]
    """(n,) hash of the classes, 16 bytes."""

    is_constant: NDArray[np.bool_]
    """(n,) as in `Look`, and so the following."""

    is_telling: NDArray[np.bool_]
    extreme: NDArray[np.bool_]
    is_gray: NDArray[np.bool_]
    is_two_valued: NDArray[np.bool_]
    labelled: NDArray[np.float32]
    black: NDArray[np.float32]

    low: NDArray[np.float32]
    """(n, bands)."""

    high: NDArray[np.float32]
    top: NDArray[np.float32]

    failures: dict[int, str]
    """Why which patches cannot be read."""

    hashes: NDArray[np.uint8]
    """(n, 16) difference hashes."""

    has_hash: NDArray[np.bool_]
    """(n,) which patches have one."""

    @property
    def is_read(self) -> NDArray[np.bool_]:
        """(n,) which patches could be read."""
        read = np.ones(len(self.image), np.bool_)
        read[list(self.failures)] = False
        return read


def survey(patch_set: PatchSet, *, workers: int, watch: Watch) -> Survey:
    """Look at every patch of a set.

    Args:
        patch_set: The set.
        workers: Threads that read.
        watch: Told of progress.
    """
    patches = patch_set.patches
    found = _blank(len(patches), patch_set.record.bands)
    for number, look in enumerate(watch(_looks(patch_set, workers), len(patches))):
        if isinstance(look, str):
            found.failures[number] = look
            continue
        _keep(found, number, look)
    return found


def _looks(patch_set: PatchSet, workers: int) -> Iterator[Look | str]:
    """A look at each patch in order, or why it cannot be read."""
    local = threading.local()
    bands = patch_set.record.bands
    frozen = pickle.dumps(patch_set)

    def look(patch: Patch) -> Look | str:
        if not hasattr(local, "patch_set"):
            local.patch_set = pickle.loads(frozen)  # noqa: S301 our own; one for each thread
        try:
            sample = local.patch_set.read(patch)
        except GeosegError as error:
            return str(error)
        if len(sample.image) != bands:
            return f"{patch_set.record.sources[patch.source].name}: has no longer {bands} bands"
        return look_at(sample)

    with (
        ThreadPoolExecutor(workers) as pool,
        closing(map_in_order(pool, look, patch_set.patches)) as looks,
    ):
        yield from looks


def _blank(count: int, bands: int) -> Survey:
    hashes, flags, shares = np.dtype("V16"), np.bool_, np.float32
    per_band = (count, bands)
    return Survey(
        image=np.zeros(count, hashes),
        mask=np.zeros(count, hashes),
        is_constant=np.zeros(count, flags),
        is_telling=np.zeros(count, flags),
        extreme=np.zeros(count, flags),
        is_gray=np.zeros(count, flags),
        labelled=np.zeros(count, shares),
        black=np.zeros(count, shares),
        low=np.full(per_band, np.nan, shares),
        high=np.full(per_band, np.nan, shares),
        top=np.full(per_band, np.nan, shares),
        is_two_valued=np.zeros(count, flags),
        failures={},
        hashes=np.zeros((count, 16), np.uint8),
        has_hash=np.zeros(count, flags),
    )


def _keep(found: Survey, number: int, look: Look) -> None:
    for name in SAME:
        getattr(found, name)[number] = getattr(look, name)
    found.image[number] = np.void(look.image)
    found.mask[number] = np.void(look.mask)
    if look.hash is not None:
        found.hashes[number], found.has_hash[number] = look.hash, True
