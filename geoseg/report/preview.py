"""`geoseg preview`: rasters side by side as PNG, class maps and masks in colours."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import LegendError, RasterError
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.lookup import ValueColors, to_hex
from geoseg.labels.pixel_classes import PixelClasses
from geoseg.labels.style import MAX_MASK_VALUES, BandOptions, class_colors, painter_of, with_alpha
from geoseg.labels.tags import read_tags
from geoseg.options import CALL, option
from geoseg.raster.atomic import staged
from geoseg.raster.reader import RasterReader
from geoseg.raster.storage import Color

PANEL_INCHES = 5.0


class Panel(NamedTuple):
    """One raster of a preview."""

    title: str

    image: NDArray[np.uint8]
    """(height, width, 4) red, green, blue, alpha."""

    keys: dict[str, Color]


def draw_preview(
    paths: Sequence[Path],
    output: Path,
    *,
    side: int,
    overwrite: bool,
    bands: BandOptions | None = None,
    legend: Legend | None = None,
) -> None:
    """Draw rasters side by side as PNG, each `side` pixels of the raster long at most.

    Raises:
        LegendError: If a mask has a value that is not in the legend.
        RasterError: If a raster cannot be read, or bands are chosen and all have only one.
        OutputError: If the image cannot be written.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    chosen = bands and (bands.bands or bands.band_names)
    if bands and chosen and not any(bands.options_for(path).bands for path in paths):
        raise RasterError(
            f"{paths[0]}: has one band or a palette, and bands {', '.join(map(str, chosen))} "
            f"cannot be chosen; leave --bands and --band-names out"
        )
    beside = None if legend else next(filter(None, map(_own_legend, paths)), None)
    panels = [read_panel(path, side, bands=bands, legend=legend, beside=beside) for path in paths]
    shapes = np.array([panel.image.shape[:2] for panel in panels])
    heights, widths = (PANEL_INCHES * shapes / shapes.max(axis=1, keepdims=True)).T
    size = (widths.sum(), heights.max() + 0.6)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(1, len(panels), width_ratios=widths, squeeze=False)
    for axes, panel in zip(grid[0], panels, strict=True):
        axes.imshow(panel.image, interpolation="nearest")
        axes.set_title(panel.title)
        axes.set_axis_off()
    if keys := dict.fromkeys(key for panel in panels for key in panel.keys.items()):
        handles = [
            Patch(facecolor=to_hex(color), edgecolor="#777777", label=name) for name, color in keys
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=8, frameon=False)
    with staged(output, overwrite=overwrite) as partial:
        figure.savefig(partial, dpi=side / PANEL_INCHES, metadata={"Software": None})


def read_panel(
    path: Path,
    side: int,
    *,
    bands: BandOptions | None = None,
    legend: Legend | None = None,
    beside: Legend | None = None,
) -> Panel:
    """A raster as an image; its mask has its own legend, or the one named, or one that may fit.

    Raises:
        LegendError: If a mask has a value that is not in the legend.
        RasterError: If it cannot be read.
    """
    own = _own_legend(path)
    with RasterReader(path, (bands or BandOptions()).options_for(path)) as reader:
        image, valid = reader.read_overview(side)
        paint = painter_of(reader, read_tags(path))
    if isinstance(paint, ValueColors):
        return _masked(path, image, valid, legend or beside, strict=legend is not None)
    keys = {each.name: each.color for each in own.classes} if own else {}
    return Panel(path.name, with_alpha(paint(image), valid), keys)


def _masked(
    path: Path,
    image: NDArray[Any],
    valid: NDArray[np.bool_],
    legend: Legend | None,
    *,
    strict: bool,
) -> Panel:
    """A mask in the colours of its legend, or with a colour for each value."""
    if legend is not None:
        try:
            classes = PixelClasses(path, legend).encode(image, valid)
        except LegendError:
            if strict:
                raise
        else:
            painted = class_colors(legend)[classes].transpose(2, 0, 1)
            keys = {each.name: each.color for each in legend.classes}
            return Panel(path.name, with_alpha(painted, classes != IGNORE), keys)
    colors = ValueColors()
    seen = np.unique(image[0][valid])[:MAX_MASK_VALUES]
    keys = {str(value): colors.of(value) for value in seen.tolist()}
    return Panel(path.name, with_alpha(colors(image), valid), keys)


def _own_legend(path: Path) -> Legend | None:
    record = read_tags(path).get("legend")
    return Legend.from_dict(record) if record else None


@dataclass(frozen=True, kw_only=True)
class PreviewOptions:
    """How rasters are drawn side by side."""

    size: int = option(
        800, min=64, max=4096, group=CALL, help="Longest side of each picture, in pixels."
    )
