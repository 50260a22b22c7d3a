"""Whether patches are what a model was made for."""

import numpy as np

from geoseg.core.colors import misplaced_bands
from geoseg.core.columns import in_short
from geoseg.errors import BundleError
from geoseg.io.patches import PatchSet
from geoseg.model.bundle import ModelBundle

JUDGED_BY = 16
"""Patches by which the range of values of a patch set is judged."""


def check_patches(patch_set: PatchSet, bundle: ModelBundle) -> None:
    """See that patches are what a model was made for.

    Raises:
        BundleError: If bands or their order, GSD or the range of values are others.
    """
    record, where = patch_set.record, patch_set.folder
    bundle.check_bands(record.bands, where, "tile again with --bands")
    if misplaced := misplaced_bands(record.band_names, bundle.band_names):
        raise BundleError(
            f"{where}: its bands are {in_short(record.band_names)}, the model takes "
            f"{in_short(bundle.band_names)}: {in_short(misplaced)} in other places; tile again "
            f"with --bands"
        )
    bundle.check_gsd(record.gsd, where, "resample the orthophotos (gdalwarp -tr), and tile again")
    if record.dtype != bundle.dtype:
        few = [patch_set.read(patch).image for patch in patch_set.patches[:JUDGED_BY]]
        values = np.concatenate([image[np.isfinite(image)] for image in few])
        bundle.check_values(values.astype(record.dtype), where)
