"""A patch set without some of its patches; it refers to the pixels of the first one."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from geoseg.core.statistics import BandStatistics
from geoseg.io.patch_index import write_part
from geoseg.io.patch_record import PatchSetRecord
from geoseg.io.patches import PatchSet


def write_cleaned(folder: Path, patch_set: PatchSet, kept: Sequence[int]) -> None:
    """Write a patch set of some patches of another one, which stays as it is.

    If training patches are left out, the statistics of the bands are those of the training
    patches that are left (ground in several of them counts as often), and the pixels of each
    class become fewer in proportion.

    Args:
        folder: An empty folder to write to.
        patch_set: The other set.
        kept: Numbers of the patches, in order.

    Raises:
        RasterError: If a training patch cannot be read.
        PatchSetError: If the footprints of the other set cannot be read.
    """
    record = patch_set.record
    pixels = None if record.storage == "index" else record.pixels or patch_set.folder
    left = PatchSet(patch_set.folder, record, patch_set.patches[np.array(kept)])
    if 0 < len(left.in_split("train")) < len(patch_set.in_split("train")):
        record = _measured(patch_set, left)
    write_part(folder, patch_set.folder, replace(record, pixels=pixels), kept)


def _measured(whole: PatchSet, left: PatchSet) -> PatchSetRecord:
    """The record, with the figures of the training patches that are left."""
    record = whole.record
    total = BandStatistics.empty(record.bands)
    for patch in left.in_split("train"):
        image = left.read(patch).image
        valid = ~np.isnan(image[0])
        total += BandStatistics.measure(np.nan_to_num(image).astype(record.dtype), valid)
    before, after = (np.sum(each.in_split("train").class_shares, axis=0) for each in (whole, left))
    share = np.divide(after, before, out=np.zeros_like(after), where=before > 0)
    pixels = np.rint(share * record.class_pixels).astype(int).tolist()
    return replace(record, statistics=total.figures, class_pixels=tuple(pixels))
