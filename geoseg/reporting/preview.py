"""A picture of rasters side by side: orthophotos stretched, class maps in their colours."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoseg.core.colors import to_hex
from geoseg.core.legend import Legend
from geoseg.io.outputs import staged
from geoseg.io.raster import RasterReader
from geoseg.io.window_scores import read_tags
from geoseg.reporting.stretch import Stretch, visible_bands

PANEL_INCHES = 5.0


class Panel(NamedTuple):
    """One raster of a preview."""

    title: str
    """Name of the file."""

    picture: NDArray[np.uint8]
    """(height, width, 4) red, green, blue, alpha."""

    legend: Legend | None
    """Classes, if it is a class map of geoseg's."""


def draw_preview(paths: Sequence[Path], output: Path, *, side: int, overwrite: bool) -> None:
    """Draw rasters side by side as PNG.

    Args:
        paths: Orthophotos or class maps.
        output: PNG file to write.
        side: Longest side of a panel, in pixels of the rasters.
        overwrite: Whether to replace an existing file.

    Raises:
        RasterError: If a raster cannot be read.
        OutputError: If the picture cannot be written.
    """
    from matplotlib.figure import Figure

    panels = [read_panel(path, side) for path in paths]
    shapes = np.array([panel.picture.shape[:2] for panel in panels])
    heights, widths = (PANEL_INCHES * shapes / shapes.max(axis=1, keepdims=True)).T
    size = (widths.sum(), heights.max() + 0.6)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(1, len(panels), width_ratios=widths, squeeze=False)
    for axes, panel in zip(grid[0], panels, strict=True):
        axes.imshow(panel.picture, interpolation="nearest")
        axes.set_title(panel.title)
        axes.set_axis_off()
    if legend := next((panel.legend for panel in panels if panel.legend), None):
        figure.legend(handles=_keys(legend), loc="outside lower center", ncols=8, frameon=False)
    with staged(output, overwrite=overwrite) as partial:
        figure.savefig(partial, dpi=side / PANEL_INCHES, metadata={"Software": None})


def read_panel(path: Path, side: int) -> Panel:
    """A raster as a picture.

    Args:
        path: The raster.
        side: Longest side of the picture, in pixels.
    """
    record = read_tags(path).get("legend")
    legend = Legend.from_dict(record) if record else None
    with RasterReader(path) as reader:
        image, valid = reader.read_overview(side)
    colors = _in_colors(image, valid)
    alpha = np.where(valid, 255, 0).astype(np.uint8)
    return Panel(path.name, np.concatenate([colors, alpha[None]]).transpose(1, 2, 0), legend)


def _in_colors(image: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    visible = visible_bands(image)
    if visible.dtype == np.uint8:
        return visible
    return Stretch.of(visible[:, valid])(visible)


def _keys(legend: Legend) -> list[Any]:
    from matplotlib.patches import Patch

    return [
        Patch(facecolor=to_hex(each.color), edgecolor="#777777", label=each.name)
        for each in legend.classes
    ]
