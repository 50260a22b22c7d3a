"""Polygons reprojected to a raster's CRS and burnt into windows of its grid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj.exceptions import ProjError
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError
from rasterio.features import rasterize
from rasterio.warp import transform_bounds
from shapely import Polygon
from shapely.errors import GEOSException

from geoseg.errors import EmptyError, NoPolygonError, OutputError, VectorError
from geoseg.raster.atomic import put_in_place, refuse_existing, scratch, write_vector_style, writing
from geoseg.raster.grid import Grid
from geoseg.raster.paths import WRITABLE_VECTORS
from geoseg.raster.vector import (
    FIXED_DATE,
    drawn_layers,
    gdal_options,
    read_layer,
    read_polygons,
    refuse_incomplete,
    writing_layer,
)
from geoseg.raster.window import Window
from geoseg.text import is_true

Numbers = NDArray[np.int64]


class Labels(NamedTuple):
    """Objects of a window."""

    local: NDArray[Any]
    """(height, width) index of the object in the window; 0 where there is none."""

    numbers: Numbers
    """(objects + 1,) global number of each index; 0 for 0."""


CLIP_MARGIN_SHARE = 0.05
"""Margin around a raster beyond which polygons are clipped, as a share of its perimeter."""

MAX_LENGTH_RATIO = 20
"""Polygons longer than this many perimeters of the raster are clipped before reprojection."""


PLACES_PER_PX = 2**20
"""Places on a pixel's side that a corner can have, so that those of half pixels are exact."""


class NumberedPolygons:
    """Polygons read as a raster of their numbers, from 1.

    A pixel belongs to the smallest polygon that covers its centre. Parts of a multi-polygon count
    as polygons. A GeoSeries without a CRS is taken to be in the grid's.
    """

    def __init__(self, polygons: Any, grid: Grid) -> None:
        parts = shapely.get_parts(np.asarray(on_grid(polygons, grid).values))
        self._shapes = parts[np.argsort(-shapely.area(parts), kind="stable")]
        self._tree = shapely.STRtree(self._shapes)
        self._grid = grid

    @property
    def shapes(self) -> NDArray[Any]:
        """(n,) the polygons in the grid's CRS, the largest first."""
        return self._shapes

    @property
    def on_grid(self) -> int:
        """Number of polygons on the raster."""
        return len(self._touching(self._grid))

    def read(self, window: Window) -> Labels:
        """The polygons of a window."""
        touching = self._touching(self._grid.part(window))
        local = np.zeros((window.height, window.width), np.int32)
        place = Affine.translation(window.col_off, window.row_off)
        _burn(self._shapes[touching], range(1, len(touching) + 1), self._grid, place, local)
        return Labels(local, np.append(0, touching + 1))

    def _touching(self, grid: Grid) -> NDArray[np.int64]:
        """Indices of the polygons on a grid, the largest first."""
        return np.sort(self._tree.query(shapely.box(*grid.bounds), predicate="intersects"))


def on_grid(polygons: Any, grid: Grid, path: Path | None = None) -> Any:
    """Reproject a GeoSeries to the CRS of a grid; without a CRS it is assumed to have it.

    Geometries far larger than the grid, or outside the area of use of its CRS, are clipped to the
    surroundings of the grid first; those wholly outside become empty.

    Raises:
        VectorError: If no transformation exists between the CRS.
    """
    if polygons.crs is None or grid.crs is None:
        return polygons
    try:
        theirs = polygons.crs.to_wkt()
        ground = shapely.box(*transform_bounds(grid.crs, theirs, *grid.bounds, densify_pts=21))
        near = ground.buffer(CLIP_MARGIN_SHARE * ground.length)
        west, south, east, north = shapely.bounds(polygons.values).T
        large = np.fmax(east - west, north - south) > MAX_LENGTH_RATIO * ground.length
        if large.any():  # long edges would bend
            polygons = polygons.where(~large, polygons.intersection(near))
        moved = polygons.to_crs(grid.crs.to_wkt())
        beyond = ~np.isfinite(shapely.bounds(moved.values)).all(axis=1) & ~moved.is_empty
        if beyond.any():
            moved[beyond] = polygons[beyond].intersection(near).to_crs(grid.crs.to_wkt())
    except (ProjError, CPLE_BaseError, RasterioError, ValueError, GEOSException) as error:
        where = f"{path}: " if path else ""
        raise VectorError(
            f"{where}there is no transformation from the CRS of the polygons "
            f"({polygons.crs.name:.80}) to that of the raster; are both right?"
        ) from error
    return moved


def _burn(
    shapes: Any,
    values: Sequence[int],
    grid: Grid,
    place: Affine,
    out: Any,
    *,
    touched: bool = False,
) -> None:
    """Burn shapes of a grid's CRS, at a place in its pixels.

    The shapes are moved to the pixels of the whole grid, and a window is away from its corner by
    whole pixels: an edge through centres of pixels falls on the same side of them in all windows.
    """
    into = ~grid.transform

    def moved(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.rint(np.stack(_apply(into, *points.T), axis=1) * PLACES_PER_PX) / PLACES_PER_PX

    if len(shapes):
        burnt = zip(shapely.transform(shapes, moved), values, strict=True)
        rasterize(burnt, out=out, transform=place, all_touched=touched)


class BurntPolygons:
    """Polygons read as a raster of class indices.

    A pixel belongs to a polygon that covers its centre. Of overlapping polygons the highest index
    wins: classes further down the legend lie on top, and ignored polygons above all.

    Args:
        polygons: GeoSeries of n; without a CRS it is taken to be in the grid's.
        indices: (n,) value to burn for each.
        grid: Grid of the raster.
        background: Value where no polygon is.
        path: File of the polygons, for messages.
    """

    def __init__(
        self,
        polygons: Any,
        indices: NDArray[np.uint8],
        grid: Grid,
        *,
        background: int,
        path: Path | None = None,
    ) -> None:
        order = np.argsort(indices, kind="stable")
        self._shapes = np.asarray(on_grid(polygons, grid, path).values)[order]
        self._indices = indices[order]
        self._tree = shapely.STRtree(self._shapes)
        self._grid = grid
        self._background = background

    def read(self, window: Window, step: int = 1) -> NDArray[np.uint8]:
        """(height, width) burnt values, at a pixel size of ``step`` pixels."""
        window = window.shrunk(step)
        part = self._grid.shrunk(step).part(window)
        touching = np.sort(self._tree.query(shapely.box(*part.bounds)))
        burnt = np.full((window.height, window.width), self._background, np.uint8)
        place = Affine.scale(step) @ Affine.translation(window.col_off, window.row_off)
        _burn(self._shapes[touching], self._indices[touching].tolist(), self._grid, place, burnt)
        return burnt

    @property
    def shapes(self) -> NDArray[Any]:
        """(n,) the polygons in the grid's CRS, those of the lowest index first."""
        return self._shapes

    @property
    def touches_grid(self) -> bool:
        """Whether any polygon lies on the raster."""
        return bool(len(self._tree.query(shapely.box(*self._grid.bounds))))

    def refuse_elsewhere(self, path: Path | None = None, what: str = "polygon") -> None:
        """Refuse polygons that all lie outside the raster.

        Raises:
            NoPolygonError: If they do.
        """
        if self.touches_grid:
            return
        where, paths = (f"{path}: ", {path}) if path else ("", set())
        if not len(self._shapes):
            raise NoPolygonError(f"{where}holds no polygon", paths=paths, is_plausible=True)
        extent = shapely.total_bounds(self._shapes)
        meets = bool(np.isfinite(extent).all()) and shapely.box(*extent).intersects(
            shapely.box(*self._grid.bounds)
        )
        why = f"{where}no {what} lies on the raster; are the CRS right?"
        raise NoPolygonError(why, paths=paths, is_plausible=meets)

    @property
    def window(self) -> Window:
        """The smallest window around all polygons, clipped to the raster.

        Raises:
            EmptyError: If none lies on the raster.
        """
        around = self._grid.window_around(shapely.total_bounds(self._shapes))
        inside = self._grid.window.intersection(around)
        if inside is None:
            raise EmptyError("no polygon lies on the raster")
        return inside


class AreaOfInterest:
    """An area of interest (AOI) on the grid of a raster.

    Raises:
        NoPolygonError: If no polygon lies on the raster, and `may_be_elsewhere` is False.
    """

    def __init__(
        self, polygons: Any, grid: Grid, *, path: Path | None = None, may_be_elsewhere: bool = False
    ) -> None:
        inside = np.ones(len(polygons), np.uint8)
        self._burnt = BurntPolygons(polygons, inside, grid, background=0, path=path)
        if not may_be_elsewhere:
            self._burnt.refuse_elsewhere(path, "polygon of the area")

    @property
    def window(self) -> Window:
        """The smallest window around the area, clipped to the raster."""
        return self._burnt.window

    @classmethod
    def open(cls, path: Path, grid: Grid, *, may_be_elsewhere: bool = False) -> Self:
        """Open the polygons of a file as an area of interest.

        Raises:
            NoPolygonError: If they do and may not.
            VectorError: If they cannot be read.
        """
        polygons = read_polygons(path, advice=ONE_LAYER).geometries
        return cls(polygons, grid, path=path, may_be_elsewhere=may_be_elsewhere)

    @classmethod
    def of_boxes(cls, path: Path, grid: Grid, *, may_be_elsewhere: bool = False) -> Self:
        """Open the boxes of a file that someone has labelled, as an area of interest.

        Of several layers it is that of boxes; where a column says which are done, those count.

        Raises:
            NoPolygonError: If they lie elsewhere and may not.
            VectorError: If they cannot be read.
            EmptyError: If none of them is done.
        """
        layer = BOXES_LAYER if path.exists() and BOXES_LAYER in drawn_layers(path) else None
        polygons = read_polygons(path, layer=layer, also=(DONE,), advice=ONE_LAYER)
        if (done := [is_true(each) for each in polygons.more.get(DONE, ())]) and not any(done):
            raise EmptyError(f"{path}: none of its {len(done)} boxes is done (column {DONE!r})")
        shapes = polygons.geometries[done] if done else polygons.geometries
        return cls(shapes, grid, path=path, may_be_elsewhere=may_be_elsewhere)

    @property
    def shapes(self) -> NDArray[Any]:
        """(n,) its polygons in the grid's CRS."""
        return self._burnt.shapes

    @property
    def is_elsewhere(self) -> bool:
        """Whether the area lies outside the raster."""
        return not self._burnt.touches_grid

    def read(self, window: Window, step: int = 1) -> NDArray[np.bool_]:
        """(height, width) bool, True inside, at a pixel size of ``step`` pixels."""
        return self._burnt.read(window, step) == 1


WINDOWS_LAYER, ONE_LAYER = "windows", "an area is a file of one layer"

BOXES_LAYER, DONE = "boxes", "done"
"""Layer of boxes to be labelled, and the column that says which of them are."""


def write_outlines(
    path: Path,
    places: Sequence[tuple[Grid, Window]],
    columns: Mapping[str, Sequence[Any]],
    *,
    overwrite: bool,
    style: str | None = None,
) -> None:
    """Write windows as polygons, in the CRS of the first one's raster.

    Raises:
        OutputError: If the file cannot be written.
    """
    import geopandas as gpd

    frame = gpd.GeoDataFrame(dict(columns), geometry=outlines_of(places), crs=_wkt(places[0][0]))
    write_layer(path, frame, WINDOWS_LAYER, overwrite=overwrite, style=style)


def outlines_of(places: Sequence[tuple[Grid, Window]]) -> NDArray[Any]:
    """(n,) windows as polygons, in the CRS of the first one's raster."""
    import geopandas as gpd

    outlines = [
        on_grid(gpd.GeoSeries([Polygon(grid.part(window).corners)], crs=_wkt(grid)), places[0][0])
        for grid, window in places
    ]
    return np.concatenate([np.asarray(each.values) for each in outlines])


def _wkt(grid: Grid) -> str | None:
    return grid.crs.to_wkt() if grid.crs else None


@dataclass(frozen=True, eq=False)
class Plots:
    """Plots: polygons and their attributes."""

    shapes: NDArray[Any]
    """(n,) geometries in the grid's CRS."""

    columns: Mapping[str, Sequence[Any]]
    """Values of each attribute, None where missing."""

    grid: Grid

    def __len__(self) -> int:
        return len(self.shapes)

    def window(self, number: int) -> Window | None:
        """The window around a plot; None outside the raster."""
        around = self.grid.window_around(shapely.bounds(self.shapes[number]))
        return around.clip(self.grid.height, self.grid.width)

    def read(self, number: int, window: Window, *, touched: bool = False) -> NDArray[np.bool_]:
        """(height, width) bool, True for the pixels of a plot.

        Args:
            number: Index of the plot.
            window: Window inside the raster.
            touched: All pixels that it touches instead of those whose centre it covers.
        """
        inside = np.zeros((window.height, window.width), np.uint8)
        place = Affine.translation(window.col_off, window.row_off)
        _burn(self.shapes[[number]], [1], self.grid, place, inside, touched=touched)
        return inside == 1


MAX_PIXEL_INDEX = 2**40
"""Largest pixel index, for points far outside."""

POINTS_LAYER = "points"


class Points(NamedTuple):
    """Points and their attributes."""

    rows: NDArray[np.int64]
    """(n,) row of the pixel of each point, perhaps outside the raster."""

    cols: NDArray[np.int64]
    """(n,) column of the pixel of each point."""

    columns: Mapping[str, Sequence[Any]]
    """Values of each attribute, None where missing."""


def write_layer(
    path: Path,
    frame: Any,
    layer: str,
    *,
    overwrite: bool,
    style: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a GeoDataFrame as the only layer of a file, with reproducible bytes.

    The metadata are the layer's.

    Raises:
        OutputExistsError: If a file is in the way.
        OutputError: If the file cannot be written.
    """
    refuse_existing(*layer_files(path), overwrite=overwrite)
    old = {"dataset_options": {"VERSION": "1.2"}}  # what older readers know
    known: dict[str, Any] = old if path.suffix.lower() == ".gpkg" else {}
    known |= {"layer_metadata": dict(metadata)} if metadata else {}
    with scratch(path) as folder:
        with gdal_options(FIXED_DATE), writing_layer(path):
            frame.to_file(folder / path.name, engine="pyogrio", layer=layer, **known)
        refuse_incomplete(folder / path.name, layer, len(frame))
        made = {path.with_name(each.name): each for each in sorted(folder.iterdir())}
        whole = made.pop(path)
        put_in_place(made | {path: whole}, folder, overwrite=overwrite)
    if style is not None:
        with writing(path):
            write_vector_style(path, style)


def layer_files(path: Path) -> list[Path]:
    """The files of a layer, the main one last."""
    more = {".shp": (".shx", ".dbf", ".prj", ".cpg"), ".gml": (".xsd",)}
    return [*(path.with_suffix(each) for each in more.get(path.suffix.lower(), ())), path]


def write_points(
    path: Path, points: Points, grid: Grid, *, overwrite: bool, style: str | None = None
) -> None:
    """Write points at the centres of their pixels.

    Raises:
        OutputError: If the file cannot be written, or its suffix means no vector format.
    """
    import geopandas as gpd

    if path.suffix.lower() not in WRITABLE_VECTORS:
        raise OutputError(f"{path}: the name must end in one of {', '.join(WRITABLE_VECTORS)}")
    xs, ys = _apply(grid.transform, points.cols + 0.5, points.rows + 0.5)
    places = gpd.points_from_xy(xs, ys)
    frame = gpd.GeoDataFrame(dict(points.columns), geometry=places, crs=_wkt(grid))
    write_layer(path, frame, POINTS_LAYER, overwrite=overwrite, style=style)


def read_sample(path: Path, grid: Grid, *, layer: str | None = None) -> Points | Plots:
    """Points or polygons of a layer, on a raster's grid.

    Raises:
        VectorError: If the file cannot be read, holds neither or both, or has several layers
            and none is named.
    """
    frame = read_layer(path, layer)
    frame = frame[~(frame.geometry.isna() | frame.geometry.is_empty)]
    kinds = set(frame.geom_type)
    if not kinds or not (kinds == {"Point"} or kinds <= {"Polygon", "MultiPolygon"}):
        found = sorted(kinds) or "nothing"
        raise VectorError(f"{path}: needs points or polygons, but holds {found}")
    places = on_grid(frame.geometry, grid, path)
    table = frame.drop(columns=frame.geometry.name)
    known = table.astype(object).where(table.notna(), None)
    columns = {str(name): list(known[name]) for name in known.columns}
    if kinds != {"Point"}:
        return Plots(np.asarray(places.values), columns, grid)
    cols, rows = (
        np.floor(np.nan_to_num(each, nan=-1, posinf=-1, neginf=-1))
        .clip(-1, MAX_PIXEL_INDEX)
        .astype(np.int64)
        for each in _apply(~grid.transform, places.x.to_numpy(), places.y.to_numpy())
    )
    return Points(rows, cols, columns)


def _apply(transform: Affine, first: NDArray[Any], second: NDArray[Any]) -> Any:
    """Apply an affine transform to arrays of columns and rows, or of x and y."""
    a, b, c, d, e, f = transform[:6]
    return a * first + b * second + c, d * first + e * second + f
