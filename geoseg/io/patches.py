"""Patch sets: a folder of patches, or just an index of windows into the orthophotos.

```
PATCHES/
  patches.json    what all patches share: size, bands, legend, statistics, sources
  patches.gpkg    a footprint per patch: window, source, split, shares
  images/ masks/  the pixels, unless the set is an index
```
"""

import json
import os
import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import shapely
from numpy.typing import NDArray

from geoseg.core.grid import Grid
from geoseg.core.legend import Legend
from geoseg.core.scores import IGNORE
from geoseg.core.window import Window
from geoseg.errors import LegendError, PatchSetError
from geoseg.io.raster import RasterReader, ReadOptions
from geoseg.io.reference import Reference, ReferenceOptions, open_reference
from geoseg.io.vector import Area, read_polygons

Split = Literal["train", "val", "test"]
Storage = Literal["tif", "png", "index"]

SPLITS: tuple[Split, ...] = ("train", "val", "test")
RECORD = "patches.json"
FOOTPRINTS = "patches.gpkg"
FORMAT = 1
MOST_OPEN = 32
"""Sources of an index that are open at a time."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """An orthophoto and its reference map."""

    name: str
    """Short and unique in the set."""

    ortho: Path
    """The orthophoto."""

    reference: Path
    """Raster or polygons."""

    split: Split | None = None
    """The split of all its patches, if the user has chosen it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """A window of a source, and what is known of it."""

    source: int
    """Index into the sources."""

    window: Window
    """On the source's grid."""

    split: Split
    """Which part of the work it is for."""

    valid_share: float
    """Share of its pixels with data, 0..1."""

    class_shares: tuple[float, ...]
    """Share of each class in its pixels, 0..1; the rest is unlabelled."""


@dataclass(frozen=True, kw_only=True)
class PatchSetRecord:
    """What all patches of a set share: the content of ``patches.json``."""

    size: int
    """Side of a patch, in pixels."""

    stride: int
    """Step between patches, in pixels."""

    storage: Storage
    """How pixels are kept; ``index``: they stay in the orthophotos."""

    legend: Legend
    """The classes."""

    sources: tuple[Source, ...]
    """What the patches were cut from."""

    read: ReadOptions
    """How the orthophotos are read."""

    reference: ReferenceOptions
    """How the references are read."""

    aoi: Path | None = None
    """Ground outside these polygons is unlabelled."""

    bands: int
    """Bands of a patch."""

    band_names: tuple[str, ...]
    """What the bands are."""

    dtype: str
    """numpy's name of the type of the pixels."""

    gsd: float | None
    """Metres per pixel; None without georeference."""

    statistics: Mapping[str, Any] = field(default_factory=dict)
    """Of the valid pixels of the training split, by name, a list with a figure per band."""

    class_pixels: tuple[int, ...] = ()
    """Pixels of each class in the training split, each counted once."""


def is_patch_set(folder: Path) -> bool:
    """Whether a folder was written by ``geoseg tile``."""
    return (folder / RECORD).is_file()


class Sample(NamedTuple):
    """The pixels of a patch as networks take them."""

    image: NDArray[np.float32]
    """(bands, size, size), NaN where there is no data."""

    mask: NDArray[np.uint8]
    """(size, size) class indices; 255 where unlabelled or without data."""


class PatchSet:
    """Patches for training and validation. Not to be shared between threads."""

    def __init__(self, folder: Path, record: PatchSetRecord, patches: Sequence[Patch]) -> None:
        self.folder = folder
        self.record = record
        self.patches = patches
        self._open: OrderedDict[int, tuple[RasterReader, Reference, Area | None]] = OrderedDict()

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read a patch set from its folder.

        Raises:
            PatchSetError: If it is incomplete or damaged.
        """
        if not is_patch_set(folder):
            raise PatchSetError(f"{folder}: no patch set, {RECORD} is missing")
        try:
            record = _record_from_json((folder / RECORD).read_text(encoding="utf-8"), folder)
            table = pyogrio.read_dataframe(folder / FOOTPRINTS, read_geometry=False)
            return cls(folder, record, _patches_from_table(table, record))
        except (ValueError, LookupError, TypeError, AttributeError, LegendError) as error:
            raise PatchSetError(f"{folder}: {RECORD} is damaged: {error!r}") from error
        except (pyogrio.errors.DataSourceError, OSError) as error:
            raise PatchSetError(f"{folder}: {FOOTPRINTS} cannot be read: {error}") from error

    def in_split(self, split: Split) -> list[Patch]:
        """The patches of a split, in order."""
        return [patch for patch in self.patches if patch.split == split]

    def name_of(self, patch: Patch) -> str:
        """Name of a patch's files, unique in the set."""
        source = self.record.sources[patch.source].name
        return f"{source}_r{patch.window.row_off:06d}_c{patch.window.col_off:06d}"

    def image_path(self, patch: Patch) -> Path:
        """Where the pixels of a patch are, unless the set is an index."""
        return self.folder / "images" / f"{self.name_of(patch)}.{self.record.storage}"

    def mask_path(self, patch: Patch) -> Path:
        """Where the classes of a patch are, unless the set is an index."""
        return self.folder / "masks" / f"{self.name_of(patch)}.{self.record.storage}"

    def read(self, patch: Patch) -> Sample:
        """The pixels and classes of a patch.

        Raises:
            RasterError: If a file is missing or cannot be read.
        """
        size = self.record.size
        if self.record.storage == "index":
            reader, reference, area = self._source(patch.source)
            image, valid = reader.read_floats(patch.window)
            image[:, ~valid] = np.nan  # beyond the edge as well, as in stored patches
            mask = reference.read(patch.window)
            if area is not None:
                mask[~area.read(patch.window)] = IGNORE
        else:
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
        return self._source(patch.source)[0].grid.part(patch.window)

    def footprints(self, split: Split) -> Any:
        """The ground of a split, as a GeoSeries of one geometry per patch."""
        path = self.folder / FOOTPRINTS
        layer = str(pyogrio.list_layers(path)[0, 0])
        polygons = read_polygons(path, layer=layer, attribute="split")
        wanted = [each == split for each in polygons.attributes]
        return polygons.geometries[wanted]

    def _source(self, index: int) -> tuple[RasterReader, Reference, Area | None]:
        """An open source; the one not used for longest is closed when too many are open."""
        if index not in self._open:
            record, source = self.record, self.record.sources[index]
            reader = RasterReader(source.ortho, record.read)
            reference = open_reference(
                source.reference, legend=record.legend, grid=reader.grid, options=record.reference
            )
            area = Area.open(record.aoi, reader.grid) if record.aoi else None
            self._open[index] = reader, reference, area
            if len(self._open) > MOST_OPEN:
                _, (oldest, truth, _) = self._open.popitem(last=False)
                oldest.close()
                truth.close()
        self._open.move_to_end(index)
        return self._open[index]

    def __getstate__(self) -> dict[str, Any]:
        """Open files stay behind when a loader process takes the set along."""
        return self.__dict__ | {"_open": OrderedDict()}


def write_index(
    folder: Path, record: PatchSetRecord, patches: Sequence[Patch], grids: Sequence[Grid]
) -> None:
    """Write what `PatchSet.open` reads.

    Args:
        folder: The patch set; relative paths of sources are kept relative to it.
        record: What the patches share.
        patches: In order.
        grids: Of each source.
    """
    (folder / RECORD).write_text(_record_to_json(record, folder), encoding="utf-8", newline="\n")
    shared = {grid.crs for grid in grids}
    placed = shared != {None}
    parts = []
    for source, grid in enumerate(grids):
        rows = [patch for patch in patches if patch.source == source]
        if rows:
            frame = gpd.GeoDataFrame(
                [_row(patch, record) for patch in rows],
                geometry=[_footprint(grid.part(patch.window)) for patch in rows],
                crs=grid.crs.to_wkt() if grid.crs else None,
            )
            if placed and not grid.crs:  # a picture has no place beside those that have
                frame = frame.set_geometry([None] * len(rows), crs="EPSG:4326")
            parts.append(frame if len(shared) == 1 else frame.to_crs("EPSG:4326"))
    table = gpd.GeoDataFrame(pd.concat(parts, ignore_index=True), crs=parts[0].crs)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="'crs' was not provided")  # pictures have none
        pyogrio.write_dataframe(
            table,
            folder / FOOTPRINTS,
            layer="patches",
            driver="GPKG",
            dataset_options={"VERSION": "1.2"},  # what older readers know
        )


def _footprint(grid: Grid) -> Any:
    return shapely.Polygon(grid.corners)


def _row(patch: Patch, record: PatchSetRecord) -> dict[str, Any]:
    return {
        "split": patch.split,
        "source": record.sources[patch.source].name,
        "row_off": patch.window.row_off,
        "col_off": patch.window.col_off,
        "valid_share": patch.valid_share,
        **dict(zip(_share_columns(record.legend), patch.class_shares, strict=True)),
    }


def _share_columns(legend: Legend) -> list[str]:
    """A column for each class; GeoPackage takes names that differ in case only for the same."""
    names = [name.casefold() for name in legend.names]
    return [
        f"share_{name}" if names.count(name.casefold()) == 1 else f"share_{name}_{number}"
        for number, name in enumerate(legend.names)
    ]


def _patches_from_table(table: Any, record: PatchSetRecord) -> list[Patch]:
    numbers = {source.name: number for number, source in enumerate(record.sources)}
    shares = table[_share_columns(record.legend)].to_numpy(float)
    columns = (table["source"], table["row_off"], table["col_off"], table["split"])
    return [
        Patch(
            source=numbers[source],
            window=Window(
                row_off=int(row), col_off=int(col), height=record.size, width=record.size
            ),
            split=split,
            valid_share=float(valid),
            class_shares=tuple(classes),
        )
        for source, row, col, split, valid, classes in zip(
            *columns, table["valid_share"], shares.tolist(), strict=True
        )
    ]


def _record_to_json(record: PatchSetRecord, folder: Path) -> str:
    content = asdict(record) | {"format": FORMAT, "legend": record.legend.to_dict()}
    content["read"].pop("on")
    for source in content["sources"]:
        source["ortho"] = _relative(source["ortho"], folder)
        source["reference"] = _relative(source["reference"], folder)
    content["aoi"] = record.aoi and _relative(record.aoi, folder)
    return json.dumps(content, indent=1) + "\n"


def _record_from_json(text: str, folder: Path) -> PatchSetRecord:
    content = json.loads(text)
    if (found := content.pop("format", None)) != FORMAT:
        raise PatchSetError(f"{folder}: written in format {found}, this geoseg reads {FORMAT}")
    content["legend"] = Legend.from_dict(content["legend"])
    content["sources"] = tuple(
        Source(**each | {key: folder / each[key] for key in ("ortho", "reference")})
        for each in content["sources"]
    )
    bands = content["read"]["bands"]
    content["read"] = ReadOptions(**content["read"] | {"bands": bands and tuple(bands)})
    content["reference"] = ReferenceOptions(**content["reference"])
    content["aoi"] = content["aoi"] and folder / content["aoi"]
    content["band_names"] = tuple(content["band_names"])
    content["class_pixels"] = tuple(content["class_pixels"])
    return PatchSetRecord(**content)


def _relative(path: Path, folder: Path) -> str:
    """A path that stays true if both are moved together; absolute across drives."""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:
        return path.resolve().as_posix()
