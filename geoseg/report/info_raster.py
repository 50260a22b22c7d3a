"""Descriptions of rasters: orthophotos, class maps, scores; and the form of all descriptions."""

import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoseg.labels.legend import Legend
from geoseg.labels.tags import read_tags
from geoseg.raster.facts import RasterFacts, raster_facts
from geoseg.raster.grid import Grid
from geoseg.text import in_bytes

LARGE_PX = 25_000_000
"""Pixels from which on the storage of a raster matters."""

SQUARE_TOLERANCE_SHARE = 0.02
"""Share by which the sides of a pixel may differ."""

CLASS_KINDS = ("class map", "error map")
"""Kinds of rasters whose values are classes."""

ALPHA_BAND_COUNTS = (2, 4)
"""Bands of an image with alpha: grey or colours, and alpha."""

MAX_BYTE = 255

BAND_FACTS = {name: name for name in ("name", "dtype", "role", "nodata")}
BAND_FACTS |= {"min": "low", "mean": "mean", "max": "high"}
"""Facts of a band for programs, and its fields."""

PROVENANCE_LINES = (
    *("source", "model", "precision", "runtime", "window_size", "window_stride", "blend"),
)

Table = Sequence[Sequence[str]]
"""Rows of cells, the headings first."""


@dataclass(frozen=True, kw_only=True)
class About:
    """Description of a file or folder."""

    path: Path
    kind: str

    lines: Mapping[str, str]
    """Facts for people, by name; empty ones are not shown."""

    facts: Mapping[str, Any]
    """Facts for programs."""

    tables: Sequence[Table] = ()
    """Facts for people with more than one dimension."""

    hints: Sequence[str] = ()
    """Problems to expect, and how to avoid them."""

    def to_dict(self) -> dict[str, Any]:
        """The description for JSON."""
        head = {"path": str(self.path), "kind": self.kind}
        return {**head, **self.facts, "hints": list(self.hints)}


def number(value: object) -> str:
    """A number for people; a dash if undefined, which some records write as "".

    >>> number(0.13204), number(7.0), number(None), number("")
    ('0.132', '7', '-', '-')
    """
    defined = isinstance(value, int | float) and not math.isnan(value)
    return f"{value:.4g}" if defined else "-"


def counted(count: int, word: str) -> str:
    """A number and a noun.

    >>> counted(1, "band"), counted(3, "band")
    ('1 band', '3 bands')
    """
    return f"{count} {word}{'' if count == 1 else 's'}"


def shares(named: Mapping[str, float]) -> str:
    """Shares of a whole, for people.

    >>> shares({"road": 1, "grass": 3})
    'road 25.0%, grass 75.0%'
    """
    total = sum(named.values()) or 1
    return ", ".join(f"{name} {value / total:.1%}" for name, value in named.items())


def about_raster(path: Path) -> About:
    """The description of a raster.

    Raises:
        RasterError: If it is missing or cannot be read.
    """
    found = raster_facts(path)
    tags = read_tags(path)
    legend = Legend.from_dict(tags["legend"]) if tags.get("kind") in CLASS_KINDS else None
    hidden = f"hidden by {found.mask}" if found.mask else "no nodata, mask or alpha"
    made = tags.get("provenance", {})
    lines = {
        "size": f"{found.grid.width} x {found.grid.height} px (width x height)"
        + (f", {in_bytes(found.file_bytes)}" if found.file_bytes else ""),
        **_place(found.grid, found.missing_place),
        "storage": _storage(found),
        "data": f"{found.valid_share:.1%} valid ({hidden})"
        + (", from a sample" if found.is_sampled else ""),
        "classes": _classes(found, tags, legend),
        "figure": f"{tags['figure']} {tags.get('scale', '')}".strip() if "figure" in tags else "",
        "thresholds": ", ".join(f"{k} {v:g}" for k, v in tags.get("thresholds", {}).items()),
        **{name.replace("_", " "): str(made[name]) for name in PROVENANCE_LINES if name in made},
    }
    return About(
        path=path,
        kind=str(tags.get("kind") or ("palette image" if found.has_palette else "raster")),
        lines=lines,
        facts=_facts(found, tags),
        tables=() if legend else (_bands(found),),
        hints=list(_hints(found, known=bool(tags))),
    )


def _sides(grid: Grid) -> tuple[float, float]:
    """Width and height of a pixel in units of the CRS, however it is turned."""
    a, b, _, d, e, _ = grid.transform[:6]
    return math.hypot(a, d), math.hypot(b, e)


def _place(grid: Grid, missing: str | None) -> dict[str, str]:
    if not grid.is_georeferenced:
        return {"place": f"none: {missing or 'an image without a georeference'}"}
    pixel = "{:.6g} x {:.6g}".format(*_sides(grid))
    unit = grid.crs.linear_units if grid.crs and not grid.crs.is_geographic else "degrees"
    bounds = ", ".join(f"{edge:.10g}" for edge in grid.bounds)
    return {
        "CRS": _crs_name(grid) or "none",
        "pixel": f"{pixel} {unit if grid.crs else 'units'}"
        + (f", {grid.gsd:.4g} m on the ground" if grid.gsd else ""),
        "bounds": f"{bounds} (x min, y min, x max, y max)",
    }


def _crs_name(grid: Grid) -> str | None:
    if grid.crs is None:
        return None
    from pyproj import CRS

    crs = CRS.from_wkt(grid.crs.to_wkt())
    code = crs.to_authority()
    return f"{crs.name} ({':'.join(code)})" if code else str(crs.name)


def _storage(found: RasterFacts) -> str:
    rows, cols = found.block_shape
    shape = f"tiles of {cols} x {rows}" if found.is_tiled else f"strips of {counted(rows, 'row')}"
    overviews = ", ".join(map(str, found.overviews))
    return ", ".join(
        [
            f"{found.driver}{' (cloud-optimised)' if found.is_cog else ''}",
            shape,
            f"{found.compression} compression" if found.compression else "no compression given",
            f"overviews {overviews}" if overviews else "no overviews",
        ]
    )


def _classes(found: RasterFacts, tags: dict[str, Any], legend: Legend | None) -> str:
    """Shares of classes: exact ones if the file says so, else those of the sample."""
    if legend is None:
        return ""
    if pixels := tags.get("class_pixels"):
        return shares(pixels)
    names = {each.value: each.name for each in legend.classes}
    seen = zip(found.values, found.value_shares, strict=True)
    return shares({names.get(value, f"value {value}"): share for value, share in seen})


def _bands(found: RasterFacts) -> Table:
    rows = [
        (
            *(str(at), band.name, band.dtype, band.role),
            *map(number, (band.nodata, band.low, band.mean, band.high)),
        )
        for at, band in enumerate(found.bands, 1)
    ]
    return [("band", "name", "type", "role", "nodata", "low", "mean", "high"), *rows]


def _facts(found: RasterFacts, tags: dict[str, Any]) -> dict[str, Any]:
    grid = found.grid
    return {
        "driver": found.driver,
        "height": grid.height,
        "width": grid.width,
        "crs": _crs_name(grid),
        "gsd": grid.gsd,
        "transform": list(grid.transform[:6]),
        "bounds": list(grid.bounds),
        "bands": [
            {key: getattr(band, name) for key, name in BAND_FACTS.items()} for band in found.bands
        ],
        "mask": found.mask,
        "valid_share": found.valid_share,
        "is_sampled": found.is_sampled,
        "block_shape": list(found.block_shape),
        "overviews": list(found.overviews),
        "is_cog": found.is_cog,
        "compression": found.compression,
        "bytes": found.file_bytes,
        "values": dict(zip(map(str, found.values), found.value_shares, strict=True)),
        "geoseg": tags,
    }


def _hints(found: RasterFacts, *, known: bool) -> Iterator[str]:
    """Problems to expect; `known` rasters are geoseg's own."""
    yield from _hints_of_place(found.grid)
    large = found.grid.height * found.grid.width >= LARGE_PX
    if large and not found.is_tiled:
        yield "stored in whole rows, windows are slow to read: gdal_translate -of COG"
    if large and not found.overviews:
        yield "no overviews, slow to view: gdaladdo, or gdal_translate -of COG"
    if found.valid_share == 0:
        yield "no pixel with data was seen"
    if not known:
        yield from _hints_of_bands(found)


def _hints_of_place(grid: Grid) -> Iterator[str]:
    if grid.crs is None:
        yield "no CRS: GSD, areas and places on the ground are unknown; gdal_edit -a_srs"
    elif grid.crs.is_geographic:
        yield "in degrees: pixels are not square on the ground; gdalwarp -t_srs to a projected CRS"
    elif abs(operator.truediv(*_sides(grid)) - 1) > SQUARE_TOLERANCE_SHARE:
        yield "the pixels are not square: gdalwarp -tr"
    if grid.transform.b or grid.transform.d:
        yield "the raster is rotated in its CRS, which some programs ignore; gdalwarp"


def _hints_of_bands(found: RasterFacts) -> Iterator[str]:
    bands = found.bands
    if found.has_palette:
        yield "a palette: values are indices into colours; as an orthophoto its colours are read"
    top = bands[-1]
    if len(bands) in ALPHA_BAND_COUNTS and top.role == "alpha":
        yield f"band {len(bands)} is alpha: it hides pixels and is no band of the image"
    if len({band.dtype for band in bands}) > 1:
        yield "the bands are of different types"
    yield from found.doubts
    wide = bands[0].dtype in {"uint16", "int16", "uint32", "int32"}
    highest, lowest = max(band.high for band in bands), min(band.low for band in bands)
    if wide and len(bands) > 1 and lowest >= 0 and highest <= MAX_BYTE:
        yield f"{bands[0].dtype}, but no value above {MAX_BYTE} was seen: 8-bit data"
    if bands[0].nodata == MAX_BYTE and bands[0].dtype != "float32" and len(bands) > 1:
        yield "nodata is 255, which is also the brightest white: --nodata none, if so"
