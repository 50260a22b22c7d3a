"""Patch sets: a folder of patches, or just an index of windows into the orthophotos.

```
PATCHES/
  patches.json    what all patches share: size, bands, legend, statistics, sources
  patches.gpkg    a footprint per patch: window, source, split, shares
  images/ masks/  the pixels, unless the set is an index
```
"""

import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import rasterio
from numpy.typing import NDArray

from geoseg.errors import EmptyError, GeosegError, GridMismatchError, InputError, PatchSetError
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.reference import Reference, open_reference
from geoseg.labels.style import colormap
from geoseg.patches.corrections import CorrectedReference
from geoseg.patches.index import FOOTPRINTS, LAYER, RECORD, read_index
from geoseg.patches.record import (
    SPLITS,
    Patch,
    PatchSetRecord,
    PatchTable,
    Source,
    Split,
    Storage,
    TileOptions,
    patch_name,
)
from geoseg.raster.atomic import writing
from geoseg.raster.grid import Grid, Length
from geoseg.raster.polygons import AreaOfInterest
from geoseg.raster.reader import Pixels, RasterReader
from geoseg.raster.vector import read_polygons
from geoseg.raster.window import Window
from geoseg.raster.writer import RasterFormat, create
from geoseg.text import quoted_list


def is_patch_set(folder: Path) -> bool:
    """Whether a folder was written by ``geoseg tile``."""
    return (folder / RECORD).is_file()


def refuse_other_folder(folder: Path) -> None:
    """See that a folder was written by ``geoseg tile``.

    Raises:
        PatchSetError: If it was not.
    """
    if not is_patch_set(folder):
        raise PatchSetError(f"{folder}: no patch set, {RECORD} is missing")


MAX_OPEN_ORTHOS = 32
"""Sources of an index that are open at a time."""


class Sample(NamedTuple):
    """The pixels of a patch as networks take them."""

    image: NDArray[np.float32]
    """(bands, size, size), NaN where there is no data."""

    mask: NDArray[np.uint8]
    """(size, size) class indices; 255 where unlabelled or without data."""


@dataclass(frozen=True)
class OpenSource:
    """An orthophoto with its reference, to be read from any number of threads."""

    ortho: RasterReader
    reference: Reference
    area: AreaOfInterest | None

    @classmethod
    def open(
        cls,
        ortho: RasterReader,
        source: Source,
        legend: Legend,
        how: "PatchSetRecord | TileOptions",
        *,
        may_be_elsewhere: bool,
    ) -> Self:
        """Open the reference of an open orthophoto, and the AOI; all are closed together.

        Raises:
            NoPolygonError: If one need, and none does.
            GeosegError: What is wrong with the reference or the AOI.
        """
        reference = open_reference(
            source.reference,
            legend=legend,
            grid=ortho.grid,
            options=how.reference,
            may_be_elsewhere=may_be_elsewhere,
        )
        try:
            if how.corrections is not None:
                reference = CorrectedReference.open(
                    reference,
                    how.corrections,
                    legend=legend,
                    grid=ortho.grid,
                    options=how.reference,
                )
            if how.ignore_border is not None:
                reference.border_px = _border_of(how.ignore_border, ortho.grid)
            area = how.aoi and AreaOfInterest.open(
                how.aoi, ortho.grid, may_be_elsewhere=may_be_elsewhere
            )
        except GeosegError:
            reference.close()
            raise
        return cls(ortho, reference, area or None)

    @property
    def grid(self) -> Grid:
        """The orthophoto's."""
        return self.ortho.grid

    def valid(self, window: Window) -> NDArray[np.bool_]:
        """Where a window inside the raster has data; without reading it if all have."""
        if not self.ortho.may_have_invalid_pixels:
            return np.ones((window.height, window.width), np.bool_)
        return self.ortho.read(window).valid

    def mask(self, window: Window, valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Class indices of a window; 255 where unlabelled or without data.

        Args:
            window: Where.
            valid: (height, width) bool.
        """
        mask = self.reference.read(window)
        mask[~valid] = IGNORE
        if self.area is not None:
            mask[~self.area.read(window)] = IGNORE
        return mask

    def close(self) -> None:
        """Release files."""
        self.ortho.close()
        self.reference.close()


def _border_of(border: Length, grid: Grid) -> float:
    """What is ignored along borders, in pixels."""
    try:
        return border.in_pixels(grid)
    except InputError as error:
        raise InputError(f"--ignore-border: {error}") from None


OpenSources = OrderedDict[int, OpenSource]
"""By index, the one used last at the end."""


class PatchSet:
    """Patches for training and validation. Not to be shared between threads.

    Processes may share it: each opens the files for itself.
    """

    members: "tuple[PatchSet, ...]" = ()
    """Sets that are joined in this one."""

    def __init__(self, folder: Path, record: PatchSetRecord, patches: Sequence[Patch]) -> None:
        self.folder = folder
        self.record = record
        self.patches = PatchTable.of(patches, size=record.size)
        self._open: OpenSources = OrderedDict()
        self._process = os.getpid()
        self._inherited: list[OpenSources] = []

    notes: tuple[str, ...] = ()
    """What the user should know before a training."""

    @property
    def parts(self) -> "tuple[PatchSet, ...]":
        """The sets that are joined in this one, or itself."""
        return self.members or (self,)

    @property
    def folders(self) -> list[str]:
        """Folders of all parts."""
        return [str(each.folder) for each in self.parts]

    def member_of(self, patches: PatchTable) -> NDArray[np.int64]:
        """(n,) number of the part that each patch comes from."""
        return np.zeros(len(patches), np.int64)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read a patch set from its folder.

        Raises:
            PatchSetError: If it is incomplete or damaged.
        """
        refuse_other_folder(folder)
        return cls(folder, *read_index(folder))

    def in_split(self, split: Split) -> PatchTable:
        """The patches of a split, in order."""
        return self.patches.in_split(split)

    def name_of(self, patch: Patch) -> str:
        """Name of a patch's files, unique in the set."""
        source = self.record.sources[patch.source].name
        return patch_name(source, patch.window.row_off, patch.window.col_off)

    @property
    def _pixels(self) -> Path:
        return self.record.pixels or self.folder

    def image_path(self, patch: Patch) -> Path:
        """Where the pixels of a patch are, unless the set is an index."""
        return self._pixels / "images" / f"{self.name_of(patch)}.{self.record.storage}"

    def mask_path(self, patch: Patch) -> Path:
        """Where the classes of a patch are, unless the set is an index."""
        return self._pixels / "masks" / f"{self.name_of(patch)}.{self.record.storage}"

    def read(self, patch: Patch) -> Sample:
        """The pixels and classes of a patch.

        Raises:
            RasterError: If a file is missing or cannot be read.
            PatchSetError: If the pixels are in an orthophoto that has changed.
        """
        size = self.record.size
        if self.record.storage == "index":
            source = self._source(patch.source)
            image, valid = source.ortho.read_floats(patch.window)
            image[:, ~valid] = np.nan  # beyond the edge as well, as in stored patches
            return Sample(image, source.mask(patch.window, valid))
        whole = Window(row_off=0, col_off=0, height=size, width=size)
        with RasterReader(self.image_path(patch)) as reader:
            image, valid = reader.read_floats(whole)
        with RasterReader(self.mask_path(patch), palette_index=True) as masks:
            mask = self.record.legend.encode_map(masks.read(whole).image[0])
        mask[~valid] = IGNORE
        return Sample(image, mask)

    def grid_of(self, patch: Patch) -> Grid:
        """Where a patch lies."""
        if self.record.storage != "index":
            with RasterReader(self.image_path(patch)) as reader:
                return reader.grid
        return self._source(patch.source).grid.part(patch.window)

    def footprints(self, split: Split) -> Any:
        """The ground of a split, as a GeoSeries of one geometry per patch.

        Raises:
            EmptyError: If the split has no patch.
        """
        polygons = read_polygons(self.folder / FOOTPRINTS, layer=LAYER, attribute="split")
        wanted = [each == split for each in polygons.attributes]
        if not any(wanted):
            others = quoted_list([each for each in SPLITS if each in set(polygons.attributes)])
            raise EmptyError(f"{self.folder}: has no patches of split {split!r}, only of {others}")
        return polygons.geometries[wanted]

    def open_ortho(self, source: Source) -> RasterReader:
        """An orthophoto of the set, to read the ground that its windows mean.

        Raises:
            RasterError: If it is missing or cannot be read.
            PatchSetError: If its grid, bands or type are not those that were tiled.
        """
        reader = RasterReader(source.ortho, self.record.read)
        if change := _change(reader, source, self.record):
            reader.close()
            raise PatchSetError(
                f"{source.ortho}: has changed since it was tiled ({change}); tile again"
            )
        return reader

    def open_source(self, source: Source) -> OpenSource:
        """An orthophoto of the set with its reference.

        Raises:
            GeosegError: What is wrong with them.
        """
        ortho = self.open_ortho(source)
        return OpenSource.open(
            ortho, source, self.record.legend, self.record, may_be_elsewhere=True
        )

    def _source(self, index: int) -> OpenSource:
        """An open source; the one not used for longest is closed when too many are open."""
        if self._process != os.getpid():  # forked: two processes would move one file's position
            self._inherited.append(self._open)  # not closed either: the parent goes on with them
            self._open, self._process = OrderedDict(), os.getpid()
        if index not in self._open:
            self._open[index] = self.open_source(self.record.sources[index])
            if len(self._open) > MAX_OPEN_ORTHOS:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(index)
        return self._open[index]

    def __getstate__(self) -> dict[str, Any]:
        """Open files stay behind when a loader process takes the set along."""
        return self.__dict__ | {"_open": OrderedDict(), "_inherited": []}


def _change(reader: RasterReader, source: Source, record: PatchSetRecord) -> str | None:
    """What is no longer as it was tiled; None if all is."""
    if reader.bands != record.bands:
        return f"it had {record.bands} bands and has {reader.bands}"
    if reader.dtype.name != record.dtype:
        return f"it was {record.dtype} and is {reader.dtype}"
    return _moved(source.grid, reader.grid) if source.grid else None


def _moved(known: Grid, found: Grid) -> str | None:
    """How the pixels of two grids lie apart; None if each lies on its own."""
    if (found.height, found.width) != (known.height, known.width):
        sizes = [f"{grid.height} x {grid.width}" for grid in (known, found)]
        return f"it had {sizes[0]} pixels and has {sizes[1]}"
    try:
        window = known.window_of(found)
    except GridMismatchError as error:
        return str(error)
    if window == known.window:
        return None
    return f"it has moved by {window.row_off} rows and {window.col_off} columns"


PNG_TYPES = ("uint8", "uint16")

PNG_BANDS = (1, 3)


def refuse_unfit_for_png(bands: int, dtype: str) -> None:
    """PNG holds one or three bands of 8 or 16 bits without a sign.

    Raises:
        InputError: If the pixels are others.
    """
    if bands not in PNG_BANDS or dtype not in PNG_TYPES:
        raise InputError(
            f"PNG holds 1 or 3 bands of uint8 or uint16, not {bands} of {dtype}; choose bands "
            f"with --bands, or write GeoTIFF"
        )


def write_image(
    path: Path, pixels: Pixels, grid: Grid, *, storage: Storage, nodata: float | None
) -> None:
    """Write the pixels of a patch, on its own grid; what is not valid reads as not valid again.

    Raises:
        OutputError: If the file cannot be written.
    """
    image, valid = pixels
    if storage == "png":
        alpha = np.where(valid, np.iinfo(image.dtype).max, 0).astype(image.dtype)
        bands = image if valid.all() else np.concatenate([image, alpha[None]])
        _write_png(path, bands)
        return
    if nodata is not None and not valid.all():
        image = np.where(valid, image, image.dtype.type(nodata))
    kind = RasterFormat(bands=len(image), dtype=image.dtype.name, nodata=nodata)
    photometric = {"photometric": "rgb"} if len(image) == 3 else {}  # noqa: PLR2004
    with writing(path), _create_patch(path, grid, kind, **photometric) as dataset:
        dataset.write(image)
        if nodata is None and not valid.all():
            dataset.write_mask(valid)


def write_mask(
    path: Path, mask: NDArray[np.uint8], grid: Grid, *, storage: Storage, legend: Legend
) -> None:
    """Write the class indices of a patch as a class map: values of the legend, 255 unlabelled.

    Raises:
        OutputError: If the file cannot be written.
    """
    values = legend.decode_map(mask)[None]
    if storage == "png":
        _write_png(path, values, colormap(legend))
        return
    kind = RasterFormat(nodata=IGNORE, colormap=colormap(legend))
    with writing(path), _create_patch(path, grid, kind) as dataset:
        dataset.write(values)


def padded(pixels: Pixels, size: int) -> Pixels:
    """A patch of at most `size` pixels a side, filled up at the right and bottom: not valid."""
    image, valid = pixels
    rows, cols = size - valid.shape[0], size - valid.shape[1]
    if not rows and not cols:
        return pixels
    around = ((0, rows), (0, cols))
    return Pixels(np.pad(image, ((0, 0), *around), mode="symmetric"), np.pad(valid, around))


def _create_patch(path: Path, grid: Grid, kind: RasterFormat, **options: Any) -> Any:
    """One strip: patches are read whole. Zstandard is much faster than deflate."""
    integers = not kind.dtype.startswith("float")
    return create(
        path,
        grid,
        replace(kind, tags=None),
        tiled=False,
        blockysize=grid.height,
        compress="zstd",
        zstd_level=1,
        predictor=2 if integers and kind.colormap is None else 1,
        **options,
    )


def _write_png(path: Path, bands: NDArray[Any], colors: Any = None) -> None:
    count, height, width = bands.shape
    profile = {"driver": "PNG", "count": count, "height": height, "width": width}
    profile["dtype"] = bands.dtype
    with (
        writing(path),
        rasterio.Env(GDAL_PAM_ENABLED=False),
        rasterio.open(path, "w", **profile) as dataset,
    ):
        dataset.write(bands)
        if colors:
            dataset.write_colormap(1, colors)
