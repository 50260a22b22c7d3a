"""Several patch sets as one, for a training on all of them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.errors import PatchSetError
from geoseg.patches.patch_set import PatchSet, Sample
from geoseg.patches.record import SPLITS, Patch, PatchSetRecord, PatchTable, Source
from geoseg.patches.splits import boxes_in_frame
from geoseg.patches.training_ground import SourceGround, TrainingGround
from geoseg.raster.grid import Grid, missing_transform
from geoseg.raster.reader import RasterReader
from geoseg.raster.window import Window, blocks
from geoseg.text import quoted_list

MAX_GSD_RATIO = 1.2
"""Sets whose ground sampling distances differ by more are reported, as orthophotos of one are."""

COUNT = "count"
"""Of the statistics: pixels that they were measured on. Older sets do not say."""

SLIVER_PX = 0.01
"""Windows that share less than this much of a side share no ground."""


class JoinedPatchSet(PatchSet):
    """Patch sets of the same bands, patch size and classes, read as one.

    Sources are numbered through all sets. Validation patches of a set on the training ground of
    another one are left out, as the model will have seen them. Means and deviations are pooled by
    the pixels that they were measured on, exactly; percentiles are their means by the same weights.
    Of older sets, which do not count them, it is what training patches cover, each for itself.
    """

    def __init__(self, members: Sequence[PatchSet]) -> None:
        """Join the sets; they are read as they are.

        Raises:
            PatchSetError: If their bands, patch sizes or classes differ.
        """
        for other in members[1:]:
            _refuse_other_kind(members[0], other)
        grounds = [TrainingGround.of(each.record, each.patches).sources for each in members]
        leaking = [
            _leaking(each, [*chain(*grounds[:number], *grounds[number + 1 :])])
            for number, each in enumerate(members)
        ]
        self.members = _without(members, leaking)
        self._firsts = np.cumsum([0, *(len(each.record.sources) for each in members)])
        self.notes = (
            *_left_out(members, leaking, "lie on training ground of another set"),
            *_differences(members),
        )
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
        numbered = zip((each.patches for each in self.members), self._firsts, strict=False)
        shifted = [
            replace(table, source=(table.source + first).astype(np.int32))
            for table, first in numbered
        ]
        return PatchTable.joined(shifted)

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


def without_seen(patch_set: PatchSet, ground: TrainingGround, model: Path) -> PatchSet:
    """A patch set without validation patches on ground that trained a model, which notes tell.

    Where none would be left, all stay.
    """
    parts = patch_set.parts
    seen = [_leaking(each, ground.sources) for each in parts]
    count = sum(int(each.sum()) for each in seen)
    if not count:
        return patch_set
    where = f"lie on ground that trained {model}"
    notes = [*_left_out(parts, seen, where)]
    if count == len(patch_set.in_split("val")):
        result = "best epoch, calibration and thresholds come from ground that the model has seen"
        notes = [f"all {count} validation patches {where}, and stay: {result}"]
        seen = [np.zeros_like(each) for each in seen]
    kept = _without(parts, seen)
    found = JoinedPatchSet(kept) if patch_set.members else kept[0]
    found.notes = (*patch_set.notes, *notes)
    return found


def _without(sets: Sequence[PatchSet], lost: Sequence[NDArray[np.bool_]]) -> tuple[PatchSet, ...]:
    """Sets without some of their patches."""
    return tuple(
        type(each)(each.folder, each.record, each.patches[~gone])
        for each, gone in zip(sets, lost, strict=True)
    )


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
    """(sets,) pixels behind the statistics of each set."""
    covered = [each.record.size**2 * each.in_split("train").valid_share.sum() for each in members]
    known = [each.record.statistics.get(COUNT, [0])[0] for each in members]
    return np.where(known, known, covered).astype(float)


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
        if all(name in statistics[number] for number in have)
    }
    found = {name: weights @ table for name, table in tables.items()}
    squares = tables["std"] ** 2 + (tables["mean"] - found["mean"]) ** 2
    found |= {"std": np.sqrt(weights @ squares)}
    found |= {"min": tables["min"].min(axis=0), "max": tables["max"].max(axis=0)}
    found |= {COUNT: tables[COUNT].sum(axis=0)} if COUNT in tables else {}
    return {name: each.tolist() for name, each in found.items()}


def _left_out(
    sets: Sequence[PatchSet], lost: Sequence[NDArray[np.bool_]], why: str
) -> Iterator[str]:
    """How many validation patches of each set are left out, and why."""
    for each, gone in zip(sets, lost, strict=True):
        if count := int(gone.sum()):
            every = len(each.in_split("val"))
            yield f"{each.folder}: {count} of {every} validation patches {why} and are left out"


def _differences(members: Sequence[PatchSet]) -> Iterator[str]:
    """What the user should know of sets that are joined."""
    known = [each.record.gsd for each in members if each.record.gsd]
    if known and max(known) > MAX_GSD_RATIO * min(known):
        yield f"the sets' GSD differ: {min(known):.3g} to {max(known):.3g} m/px"


def _leaking(own: PatchSet, trained: Sequence[SourceGround]) -> NDArray[np.bool_]:
    """(n,) whether a validation patch lies on training ground of other sources."""
    found = np.zeros(len(own.patches), np.bool_)
    is_val = own.patches.split == SPLITS.index("val")
    for number, source in enumerate(own.record.sources):
        here = np.flatnonzero(is_val & (own.patches.source == number))
        if not len(here) or source.grid is None:
            continue
        boxes = _boxes([each.window for each in own.patches[here]], source.grid, source.grid)
        for other in trained:
            grid, windows = _common_grid(source, other), other.windows["train"]
            if grid is None or not windows:
                continue
            tree = shapely.STRtree(_boxes(_pieces(windows, own.record.size), grid, source.grid))
            found[here[np.unique(tree.query(boxes, predicate="intersects")[0])]] = True
    return found


def _pieces(windows: Sequence[Window], side: int) -> list[Window]:
    """Windows in pieces, so that their boxes in another CRS are hardly larger than they are."""
    return [
        piece.moved(each.row_off, each.col_off)
        for each in windows
        for piece in blocks(each.height, each.width, rows=side, cols=side)
    ]


def _common_grid(one: Source, other: SourceGround) -> Grid | None:
    """The grid of another source in a CRS of one; None if they have no ground in common."""
    if one.grid is None:
        return None
    if one.content is not None and one.content == other.content:
        return one.grid  # the same pixels, wherever they lie
    if not one.grid.crs or not other.grid.crs or missing_transform(other.grid.crs, one.grid.crs):
        return None
    return other.grid


def _boxes(windows: Sequence[Window], grid: Grid, frame: Grid) -> NDArray[Any]:
    """(n,) windows of a grid as boxes in pixels of a frame, a little smaller than they are.

    Those that lie nowhere in its CRS are left out.
    """
    corners = boxes_in_frame(windows, grid, frame)
    top, left, bottom, right = corners[np.isfinite(corners).all(axis=1)].T
    edge = SLIVER_PX
    boxes: NDArray[Any] = shapely.box(left + edge, top + edge, right - edge, bottom - edge)
    return boxes
