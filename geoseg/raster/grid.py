"""The georeference of a raster as a value: CRS, transform and size; lengths and areas on it."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, cached_property
from math import ceil, degrees, floor, hypot, inf, isfinite
from typing import Any, Literal, Self

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.warp import transform_bounds

from geoseg.errors import GridMismatchError, InputError
from geoseg.raster.window import Window
from geoseg.text import exact

ALIGNMENT_TOLERANCE_PX = 0.05
"""Largest offset, in pixels, at which pixels of two grids count as the same."""

OUTLINE_POINTS_PER_SIDE = 32
"""Points on each side of the outline by which the area on the ground is measured."""

MAX_COORDINATE = 1e100
"""Coordinates are clipped here: divided by a pixel size, larger ones overflow."""

MAX_LATITUDE_DEG = 90.0
"""Latitude of the poles, in degrees; some projections go on beyond."""

EDGE_TOLERANCE_PX = 1e-3
"""Tolerance, in pixels, within which a bound lies on a pixel's edge."""


@dataclass(frozen=True)
class Grid:
    """Where the pixels of a raster lie."""

    crs: CRS | None
    """Coordinate reference system; None for an image without georeference."""

    transform: Affine
    """Affine from ``(col, row)`` of a pixel's upper left corner to ``(x, y)`` of the CRS."""

    height: int
    width: int

    def __post_init__(self) -> None:
        """Check that the transform can be inverted.

        Raises:
            ValueError: If the transform is not finite, or a pixel has no area.
        """
        if not isfinite(sum(self.transform)) or not 0 < abs(self.transform.determinant) < inf:
            numbers = ", ".join(f"{number:g}" for number in self.transform[:6])
            raise ValueError(
                f"its geotransform ({numbers}) cannot be inverted; set another with "
                f"`gdal_edit.py -a_ullr`"
            )

    def to_dict(self) -> dict[str, Any]:
        """The grid as JSON."""
        place = {"crs": self.crs and self.crs.to_wkt(), "transform": list(self.transform[:6])}
        return place | {"height": self.height, "width": self.width}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """The grid that `to_dict` gave."""
        crs = record["crs"] and CRS.from_wkt(record["crs"])
        return cls(crs or None, Affine(*record["transform"]), record["height"], record["width"])

    @property
    def is_georeferenced(self) -> bool:
        """Whether the pixels have coordinates."""
        return self.crs is not None or self.transform != Affine.identity()

    @property
    def window(self) -> Window:
        """All pixels of the grid."""
        return Window(row_off=0, col_off=0, height=self.height, width=self.width)

    @property
    def corners(self) -> list[tuple[float, float]]:
        """The four corners as ``(x, y)``: upper left, upper right, lower right, lower left."""
        cols_rows = ((0, 0), (self.width, 0), (self.width, self.height), (0, self.height))
        return [self.transform @ corner for corner in cols_rows]

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """``(x_min, y_min, x_max, y_max)`` in units of the CRS."""
        xs, ys = zip(*self.corners, strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    @cached_property
    def gsd(self) -> float | None:
        """Ground sampling distance at the centre, in metres per pixel; None without a CRS.

        Measured on the ellipsoid, so that it is right for degrees, for feet and for Web
        Mercator (where a pixel of 1.0 m covers 0.5 m of ground at 60 degrees north). A CRS
        without an ellipsoid has metres of its own.
        """
        if self.crs is None:
            return None
        col, row = self.width / 2, self.height / 2
        xs, ys = zip(*(self.transform @ (col + k, row + k) for k in (0, 1)), strict=True)
        if (place := self.on_ellipsoid(xs, ys)) is None:
            return hypot(xs[1] - xs[0], ys[1] - ys[0]) * self._unit / 2**0.5
        lons, lats, geod = place
        return float(geod.inv(lons[0], lats[0], lons[1], lats[1])[2] / 2**0.5)

    @cached_property
    def pixel_area(self) -> float | None:
        """Ground that a pixel covers on average, in square metres; None without a CRS.

        Measured on the ellipsoid like `gsd`, over the whole raster.
        """
        if self.crs is None:
            return None
        steps = [step / OUTLINE_POINTS_PER_SIDE for step in range(OUTLINE_POINTS_PER_SIDE)]
        sides = [
            *((step, 0.0) for step in steps),
            *((1.0, step) for step in steps),
            *((1 - step, 1.0) for step in steps),
            *((0.0, 1 - step) for step in steps),
        ]
        outline = [self.transform @ (col * self.width, row * self.height) for col, row in sides]
        xs, ys = zip(*outline, strict=True)
        if (place := self.on_ellipsoid(xs, ys)) is None:
            return abs(self.transform.determinant) * self._unit**2
        lons, lats, geod = place
        area = geod.polygon_area_perimeter(lons, lats)[0]
        return float(abs(area) / (self.height * self.width))

    def on_ellipsoid(self, xs: Sequence[float], ys: Sequence[float]) -> tuple[Any, Any, Any] | None:
        """Longitudes, latitudes and ellipsoid of points: WGS 84, or that of the CRS.

        None for a CRS without an ellipsoid, or points outside its area of use.
        """
        from pyproj import Geod, Transformer  # not needed by most commands
        from pyproj.exceptions import ProjError

        own = _horizontal(self.crs.to_wkt()) if self.crs else None
        if own is None:
            return None
        for target, geod in (
            ("EPSG:4326", Geod(ellps="WGS84")),
            (own.geodetic_crs, own.get_geod()),  # the Moon's, and those of other planets
        ):
            if target is None or geod is None:
                continue
            with suppress(ProjError):
                lons, lats = Transformer.from_crs(own, target, always_xy=True).transform(xs, ys)
                if all(map(isfinite, (*lons, *lats))) and max(map(abs, lats)) <= MAX_LATITUDE_DEG:
                    return lons, lats, geod
        return None

    @property
    def _unit(self) -> float:
        """Metres per unit of the CRS; for degrees, at the equator."""
        crs = _horizontal(self.crs.to_wkt()) if self.crs else None
        if crs is None or not crs.axis_info:
            return 1.0
        radius = crs.ellipsoid.semi_major_metre if crs.is_geographic else 1
        return float(crs.axis_info[0].unit_conversion_factor * radius)

    def part(self, window: Window) -> Self:
        """The grid of a window of this one."""
        origin = Affine.translation(window.col_off, window.row_off)
        return replace(
            self,
            transform=self.transform @ origin,
            height=window.height,
            width=window.width,
        )

    def shrunk(self, step: int) -> Self:
        """The grid at a pixel size of ``step`` pixels; the last row and column may overhang."""
        return replace(
            self,
            transform=self.transform @ self.transform.scale(step),
            height=ceil(self.height / step),
            width=ceil(self.width / step),
        )

    def window_around(self, bounds: tuple[float, float, float, float]) -> Window:
        """The smallest window around ``(x_min, y_min, x_max, y_max)``; it may overhang."""
        x_min, y_min, x_max, y_max = (
            max(min(value, MAX_COORDINATE), -MAX_COORDINATE) for value in bounds
        )
        corners = [~self.transform @ (x, y) for x in (x_min, x_max) for y in (y_min, y_max)]
        cols, rows = zip(*corners, strict=True)
        row_off, col_off = (
            floor(min(rows) + EDGE_TOLERANCE_PX),
            floor(min(cols) + EDGE_TOLERANCE_PX),
        )
        return Window(
            row_off=row_off,
            col_off=col_off,
            height=max(ceil(max(rows) - EDGE_TOLERANCE_PX) - row_off, 1),
            width=max(ceil(max(cols) - EDGE_TOLERANCE_PX) - col_off, 1),
        )

    def window_of(self, part: Self) -> Window:
        """The window of another grid on this one; it may overhang.

        Raises:
            GridMismatchError: If the CRS or pixel size differ, or the pixels of the two
                grids do not fall on each other.
        """
        if not same_crs(part.crs, self.crs):
            raise GridMismatchError(_difference(self.crs, part.crs))
        to_self = ~self.transform @ part.transform
        col_off, row_off = (round(offset) for offset in to_self @ (0, 0))
        window = Window(row_off=row_off, col_off=col_off, height=part.height, width=part.width)
        if (drift := _drift(to_self, window)) > ALIGNMENT_TOLERANCE_PX:
            raise GridMismatchError(
                f"the pixels do not line up: off by {drift:.2f} px at the worst corner"
            )
        return window


def union(grids: list[Grid]) -> Grid:
    """The smallest grid that covers several aligned ones.

    Raises:
        GridMismatchError: If one of them is not aligned with the first.
    """
    first = grids[0]
    windows = [first.window_of(grid) for grid in grids]
    row_off = min(window.row_off for window in windows)
    col_off = min(window.col_off for window in windows)
    return first.part(
        Window(
            row_off=row_off,
            col_off=col_off,
            height=max(window.row_stop for window in windows) - row_off,
            width=max(window.col_stop for window in windows) - col_off,
        )
    )


def _drift(to_self: Affine, window: Window) -> float:
    """The largest offset of a corner from whole pixels, in pixels.

    Pixel-size errors show at the far corner, rotation at the other two.
    """
    height, width = window.height, window.width
    return max(
        abs(found - expected)
        for col, row in ((0, 0), (width, 0), (width, height), (0, height))
        for found, expected in zip(
            to_self @ (col, row), (window.col_off + col, window.row_off + row), strict=True
        )
    )


def same_crs(one: CRS | None, other: CRS | None) -> bool:
    """Whether two CRS give the same ground the same coordinates; heights are ignored.

    A compound CRS equals its horizontal part. Names and axis order are ignored, except that local
    (engineering) CRS differ by nothing but their names.
    """
    if one is None or other is None:
        return one is other
    if one == other and (one.is_projected or one.is_geographic):
        return True
    first, second = (_horizontal(crs.to_wkt()) for crs in (one, other))
    if first.is_engineering and first.name != second.name:
        return False
    return bool(first.equals(second, ignore_axis_order=True))


def missing_transform(one: CRS | None, other: CRS | None) -> str | None:
    """Why coordinates cannot be transformed from one CRS to another; None if they can."""
    if one is None or other is None or same_crs(one, other):
        return None
    from pyproj import Transformer
    from pyproj.exceptions import ProjError

    first, second = (_horizontal(crs.to_wkt()) for crs in (one, other))
    try:
        Transformer.from_crs(first, second)
    except ProjError:
        names = f"{_name(first)}, to {_name(second)}"
        return f"there is no transformation from its CRS, {names}; are both right?"
    return None


@cache
def _horizontal(wkt: str) -> Any:
    """The horizontal pyproj CRS, without a null shift to WGS 84."""
    import pyproj

    crs: Any = pyproj.CRS.from_wkt(wkt)
    while crs.is_compound or crs.is_bound:
        if crs.is_bound and any(crs.coordinate_operation.towgs84 or [1]):
            break
        crs = crs.sub_crs_list[0] if crs.is_compound else crs.source_crs
    return crs.to_2d()


def _difference(one: CRS | None, other: CRS | None) -> str:
    """What differs between two CRS, in words."""
    if one is None or other is None:
        known = one or other
        return f"one has no CRS, the other {known and _name(_horizontal(known.to_wkt()))}"
    first, second = (_horizontal(crs.to_wkt()) for crs in (one, other))
    parts, others = _parts(first), _parts(second)
    differing = [
        f"{name} {_brief(parts.get(name), others.get(name))} and "
        f"{_brief(others.get(name), parts.get(name))}"
        for name in dict.fromkeys([*parts, *others])
        if parts.get(name) != others.get(name)
    ]
    what = f" ({'; '.join(differing[:3])})" if differing else ""
    return f"the CRS differ: {_name(first)} and {_name(second)}{what}"


def _parts(crs: Any) -> dict[str, str | float]:
    """Parameters of a CRS by name."""
    operation = crs.coordinate_operation
    ellipsoid, meridian = crs.ellipsoid, crs.prime_meridian
    parts = {
        "datum": crs.datum and crs.datum.name,
        "ellipsoid": ellipsoid and ellipsoid.name,
        "semi-major axis": ellipsoid and ellipsoid.semi_major_metre,
        "inverse flattening": ellipsoid and ellipsoid.inverse_flattening,
        "prime meridian": degrees(meridian.longitude * meridian.unit_conversion_factor)
        if meridian
        else None,
        "unit": crs.axis_info[0].unit_name if crs.axis_info else None,
        "projection": operation and operation.method_name,
        **{each.name: each.value for each in (operation.params if operation else ())},
    }
    return {name: part for name, part in parts.items() if isinstance(part, str | float)}


def _brief(part: str | float | None, other: str | float | None) -> str:
    """A parameter of a CRS, with just enough digits to differ from the other's."""
    if not isinstance(part, float) or not isinstance(other, float):
        return "none" if part is None else f"{part:g}" if isinstance(part, float) else str(part)
    return next(
        (f"{part:.{n}g}" for n in range(6, 17) if f"{part:.{n}g}" != f"{other:.{n}g}"), f"{part!r}"
    )


def _name(crs: Any) -> str:
    """Code and name of a pyproj CRS; the code only where it is certain."""
    code = crs.to_authority(min_confidence=100)
    return f"{':'.join(code)} ({crs.name})" if code else f"{crs.name!r}"


def cover(grid: Grid, on: Grid) -> Grid:
    """The smallest grid that covers another one, on the pixels of a third.

    Args:
        grid: Grid to cover.
        on: Grid whose CRS and pixels are used.

    Raises:
        GridMismatchError: If only one of them has a CRS, or coordinates cannot be transformed.
    """
    if why := missing_transform(grid.crs, on.crs):
        raise GridMismatchError(why)
    if same_crs(grid.crs, on.crs):
        bounds = grid.bounds
    elif grid.crs and on.crs:
        bounds = transform_bounds(grid.crs, on.crs, *grid.bounds, densify_pts=21)
    else:
        raise GridMismatchError("a raster without georeference cannot be resampled onto another")
    return on.part(on.window_around(bounds))


def window_on(grid: Grid, other: Grid) -> Window | None:
    """The window of a grid that another one covers, with a margin; None if they are apart.

    Args:
        grid: Grid whose window is given.
        other: Grid in any CRS; without one, that of ``grid`` is assumed.

    Raises:
        GridMismatchError: If coordinates cannot be transformed from one CRS to the other.
    """
    if why := missing_transform(other.crs, grid.crs):
        raise GridMismatchError(why)
    bounds = other.bounds
    if other.crs and grid.crs and not same_crs(other.crs, grid.crs):
        bounds = transform_bounds(other.crs, grid.crs, *bounds, densify_pts=21)
    if not np.isfinite(bounds).all():  # outside the area of use of a CRS
        return grid.window
    return grid.window_around(bounds).grown(1).clip(grid.height, grid.width)


NUMBER = r"[0-9]*\.?[0-9]+"


@dataclass(frozen=True)
class Length:
    """A length on a map.

    >>> str(Length(1.5, "m"))
    '1.5m'
    """

    value: float
    unit: Literal["px", "m"]

    def __str__(self) -> str:
        return f"{exact(self.value)}{self.unit}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``2px`` (the unit may be left out) or ``1.5m``.

        Raises:
            ValueError: If it is neither.

        >>> str(Length.parse("2")), str(Length.parse("1.5 m"))
        ('2px', '1.5m')
        """
        found = re.fullmatch(rf"({NUMBER})\s*(px|m|)", text.strip().lower())
        if found is None or not float(found[1]):
            raise ValueError(f"{text!r} is not a distance such as 2px or 1.5m")
        return cls(float(found[1]), "m" if found[2] == "m" else "px")

    def in_pixels(self, grid: Grid, *, least: float = 1) -> float:
        """Convert to pixels of a raster.

        Raises:
            InputError: If the raster has no CRS, or the length is less than `least` pixels.
        """
        if (pixels := _in_pixels(self, grid.gsd)) < least:
            raise InputError(f"{self} is {pixels:.2f} px, and a distance is at least {least} px")
        return pixels


@dataclass(frozen=True)
class AreaSize:
    """An area on a map.

    >>> str(AreaSize(2.5, "m2"))
    '2.5m2'
    """

    value: float
    unit: Literal["px", "m2"]

    __str__ = Length.__str__

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``40px`` (the unit may be left out) or ``5m2``.

        Raises:
            ValueError: If it is neither.

        >>> AreaSize.parse("5 m2"), AreaSize.parse("40")
        (AreaSize(value=5.0, unit='m2'), AreaSize(value=40.0, unit='px'))
        """
        found = re.fullmatch(rf"({NUMBER}(?:e[+-]?[0-9]+)?)\s*(px|m2|m²|)", text.strip().lower())
        if found is None or not float(found[1]):
            raise ValueError(f"{text!r} is not an area such as 40px or 5m2")
        return cls(float(found[1]), "m2" if found[2].startswith("m") else "px")

    def in_pixels(self, grid: Grid) -> float:
        """Convert to pixels of a raster.

        Raises:
            InputError: If the raster has no CRS.
        """
        return _in_pixels(self, grid.pixel_area)


def _in_pixels(size: Length | AreaSize, pixel: float | None) -> float:
    if size.unit == "px":
        return size.value
    if pixel is None:
        raise InputError(f"{size} cannot be converted to pixels without a CRS; give it in px")
    return size.value / pixel
