"""Several patch sets as one, for a training on all of them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.errors import PatchSetError
from geoseg.patches.patch_set import PatchSet, Sample
from geoseg.patches.record import SPLITS, Patch, PatchSetRecord, PatchTable, Source
from geoseg.patches.splits import boxes_in_frame
from geoseg.raster.grid import Grid, missing_transform
from geoseg.raster.reader import RasterReader
from geoseg.text import quoted_list

MAX_GSD_RATIO = 1.2
"""Sets whose ground sampling distances differ by more are reported, as orthophotos of one are."""

SLIVER_PX = 0.01
"""Windows that share less than this much of a side share no ground."""


class JoinedPatchSet(PatchSet):
    """Patch sets of the same bands, patch size and classes, read as one.

    Sources are numbered through all sets. Validation patches of a set on the training ground of
    another one are left out, as the model will have seen them. Means and deviations are pooled by
    the sets' training pixels, exactly; percentiles are their means by the same weights.
    """

    def __init__(self, members: Sequence[PatchSet]) -> None:
        """Join the sets; they are read as they are.

        Raises:
            PatchSetError: If their bands, patch sizes or classes differ.
        """
        for other in members[1:]:
            _refuse_other_kind(members[0], other)
        leaking = [_leaking(each, members) for each in members]
        self.members = tuple(
            PatchSet(each.folder, each.record, each.patches[~lost])
            for each, lost in zip(members, leaking, strict=True)
        )
        self._firsts = np.cumsum([0, *(len(each.record.sources) for each in members)])
        self.notes = tuple(_notes(members, [int(lost.sum()) for lost in leaking]))
        record = _joined_record([each.record for each in self.members], _pixels(self.members))
        super().__init__(members[0].folder, record, self._tables())

    @classmethod
    def open_all(cls, folders: Sequence[Path]) -> PatchSet:
        """The patch set of a folder, or those of several joined.

        Raises:
            PatchSetError: If one is damaged or named twice, or they differ.
        """
        twice = [each for each in folders if [*map(_real, folders)].count(_real(each)) > 1]
        if twice:
            raise PatchSetError(f"{twice[0]}: is named twice")
        sets = [PatchSet.open(folder) for folder in folders]
        return sets[0] if len(sets) == 1 else cls(sets)

    def member_of(self, patches: PatchTable) -> NDArray[np.int64]:
        """(n,) number of the set that each patch comes from."""
        return np.searchsorted(self._firsts, patches.source, side="right") - 1

    def _tables(self) -> PatchTable:
        tables = [each.patches for each in self.members]
        columns = {
            name: np.concatenate([getattr(table, name) for table in tables])
            for name in ("row_off", "col_off", "split", "valid_share", "class_shares")
        }
        shifted = zip(tables, self._firsts, strict=False)
        source = np.concatenate([table.source + first for table, first in shifted])
        return PatchTable(size=tables[0].size, source=source.astype(np.int32), **columns)

    def _own(self, patch: Patch) -> tuple[PatchSet, Patch]:
        """The set of a patch, and the patch as it is there."""
        number = int(np.searchsorted(self._firsts, patch.source, side="right")) - 1
        source = patch.source - int(self._firsts[number])
        return self.members[number], replace(patch, source=source)

    def name_of(self, patch: Patch) -> str:
        """Name of a patch's files; unique in its own set alone."""
        member, own = self._own(patch)
        return member.name_of(own)

    def read(self, patch: Patch) -> Sample:
        """The pixels and classes of a patch."""
        member, own = self._own(patch)
        return member.read(own)

    def grid_of(self, patch: Patch) -> Grid:
        """Where a patch lies."""
        member, own = self._own(patch)
        return member.grid_of(own)

    def open_ortho(self, source: Source) -> RasterReader:
        """An orthophoto of one of the sets."""
        member = next(each for each in self.members if source in each.record.sources)
        return member.open_ortho(source)


def _real(folder: Path) -> Path:
    return folder.resolve()


def _refuse_other_kind(first: PatchSet, other: PatchSet) -> None:
    """Refuse sets that one network cannot learn from."""
    one, two = first.record, other.record
    facts = {
        "patch sizes": (one.size, two.size),
        "types": (one.dtype, two.dtype),
        "bands": (", ".join(one.band_names), ", ".join(two.band_names)),
        "numbers of bands": (one.bands, two.bands),
        "classes": tuple(
            ", ".join(
                f"{value} = {name}" for value, name in sorted(each.legend.names_by_value.items())
            )
            for each in (one, two)
        ),
        "orders of classes": (quoted_list(one.legend.names), quoted_list(two.legend.names)),
    }
    for what, (ours, theirs) in facts.items():
        if ours != theirs:
            raise PatchSetError(
                f"{first.folder} and {other.folder} have different {what} and cannot be trained on "
                f"together: {ours} and {theirs}; tile one of them again"
            )


def _pixels(members: Sequence[PatchSet]) -> NDArray[np.float64]:
    """(sets,) pixels with data that the training patches of each set cover, in patches."""
    return np.array([each.in_split("train").valid_share.sum() for each in members], float)


def _joined_record(
    records: Sequence[PatchSetRecord], pixels: NDArray[np.float64]
) -> PatchSetRecord:
    storages = {each.storage for each in records}
    known = [each.gsd for each in records if each.gsd]
    return replace(
        records[0],
        stride=max(each.stride for each in records),
        storage=storages.pop() if len(storages) == 1 else "tif",
        sources=tuple(source for each in records for source in each.sources),
        gsd=float(np.median(known)) if known else None,
        statistics=_pooled([each.statistics for each in records], pixels),
        class_pixels=tuple(np.sum([each.class_pixels for each in records], axis=0).tolist()),
    )


def _pooled(statistics: Sequence[Any], pixels: NDArray[np.float64]) -> dict[str, list[float]]:
    """Statistics of all sets that have some."""
    have = [number for number, each in enumerate(statistics) if each and pixels[number]]
    if not have:
        return {}
    weights = pixels[have] / pixels[have].sum()
    tables = {
        name: np.array([statistics[number][name] for number in have])
        for name in statistics[have[0]]
    }
    found = {name: weights @ table for name, table in tables.items()}
    squares = tables["std"] ** 2 + (tables["mean"] - found["mean"]) ** 2
    found |= {"std": np.sqrt(weights @ squares)}
    found |= {"min": tables["min"].min(axis=0), "max": tables["max"].max(axis=0)}
    return {name: each.tolist() for name, each in found.items()}


def _notes(members: Sequence[PatchSet], lost: Sequence[int]) -> Iterator[str]:
    """What the user should know of sets that are joined."""
    for each, count in zip(members, lost, strict=True):
        if count:
            yield (
                f"{each.folder}: {count} of {len(each.in_split('val'))} validation patches lie on "
                f"training ground of another set and are left out"
            )
    known = [each.record.gsd for each in members if each.record.gsd]
    if known and max(known) > MAX_GSD_RATIO * min(known):
        yield f"the sets' GSD differ: {min(known):.3g} to {max(known):.3g} m/px"


def _leaking(own: PatchSet, members: Sequence[PatchSet]) -> NDArray[np.bool_]:
    """(n,) whether a validation patch lies on the training ground of another set."""
    found = np.zeros(len(own.patches), np.bool_)
    is_val = own.patches.split == SPLITS.index("val")
    for number, source in enumerate(own.record.sources):
        here = np.flatnonzero(is_val & (own.patches.source == number))
        if not len(here) or source.grid is None:
            continue
        boxes = _boxes(own.patches[here], source.grid, source.grid)
        for other in (each for each in members if each is not own):
            trained = other.in_split("train")
            for place, theirs in enumerate(other.record.sources):
                grid = _common_grid(source, theirs)
                patches = trained[trained.source == place]
                if grid is None or not len(patches):
                    continue
                tree = shapely.STRtree(_boxes(patches, grid, source.grid))
                found[here[np.unique(tree.query(boxes, predicate="intersects")[0])]] = True
    return found


def _common_grid(one: Source, other: Source) -> Grid | None:
    """The grid of another source in a CRS of one; None if they have no ground in common."""
    if one.grid is None or other.grid is None:
        return None
    if one.content is not None and one.content == other.content:
        return one.grid  # the same pixels, wherever they lie
    if not one.grid.crs or not other.grid.crs or missing_transform(other.grid.crs, one.grid.crs):
        return None
    return other.grid


def _boxes(patches: PatchTable, grid: Grid, frame: Grid) -> NDArray[Any]:
    """(n,) windows of a grid as boxes in pixels of a frame, a little smaller than they are."""
    corners = boxes_in_frame([patch.window for patch in patches], grid, frame)
    top, left, bottom, right = corners.T
    edge = SLIVER_PX
    boxes: NDArray[Any] = shapely.box(left + edge, top + edge, right - edge, bottom - edge)
    return boxes
