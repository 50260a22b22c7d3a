"""Pictures of the worst windows: orthophoto, reference, map and errors side by side."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.core.colors import to_hex, visible_bands
from geoseg.core.grid import Grid
from geoseg.core.legend import Legend
from geoseg.core.window import Window
from geoseg.errors import InputError
from geoseg.evaluation.compare import open_pair, read_block
from geoseg.evaluation.comparison import Pair
from geoseg.evaluation.error_legend import ErrorLegend
from geoseg.evaluation.worst import WorstWindow
from geoseg.io.raster import RasterReader, ReadOptions

TOLD = 6
"""Confusions whose colours are named."""

MOST = 20
"""Windows that a picture shows."""

INCHES = 2.6
"""Side of a window's picture."""

STRETCH = (2, 98)
"""Percentiles of each band that become black and white, unless the band is 8 bit already."""

UNKNOWN_COLOR = (255, 255, 255)
"""Of pixels without a class."""

Picture = NDArray[np.uint8]
Panels = dict[str, Picture]


def read_panels(
    windows: Sequence[WorstWindow],
    legend: Legend,
    errors: ErrorLegend,
    *,
    orthos: Mapping[Pair, Path],
    **reading: Any,
) -> list[Panels]:
    """What is to be seen of each window, by title.

    Args:
        windows: The worst first; the first `MOST` are read.
        legend: The classes.
        errors: The classes of error maps.
        orthos: The orthophotos of maps, as far as there are any.
        reading: How the reference is read: arguments of `open_pair`.

    Raises:
        GeosegError: What is wrong with the files.
    """
    shown = windows[:MOST]
    found: dict[int, Panels] = {}
    for pair in dict.fromkeys(each.pair for each in shown):
        with open_pair(pair, legend, **reading) as (mapped, truth):
            for rank, each in enumerate(shown):
                if each.pair != pair:
                    continue
                block = read_block(mapped, truth, each.window)
                wrong = errors.values(block.reference, block.mapped)
                found[rank] = {
                    "reference": _painted(block.all_reference, legend),
                    "map": _painted(block.all_mapped, legend),
                    "errors": _painted(wrong, errors.legend),
                }
        if pair in orthos:
            own = [rank for rank, each in enumerate(shown) if each.pair == pair]
            pictures = _read_ortho(orthos[pair], shown[own[0]].grid, [shown[n].window for n in own])
            for rank, picture in zip(own, pictures, strict=True):
                found[rank] = {"orthophoto": picture, **found[rank]}
    return [found[rank] for rank in sorted(found)]


def draw_quicklooks(
    path: Path,
    windows: Sequence[WorstWindow],
    panels: Sequence[Panels],
    legend: Legend,
    errors: ErrorLegend,
) -> None:
    """Draw a row for each window.

    Args:
        path: PNG file to write.
        windows: The worst first.
        panels: From `read_panels`.
        legend: The classes.
        errors: The classes of error maps.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    titles = max((list(each) for each in panels), key=len)
    size = (INCHES * len(titles), (INCHES + 0.25) * len(panels) + 0.6)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(panels), len(titles), squeeze=False)
    for rank, (row, own, each) in enumerate(zip(grid, panels, windows, strict=False), 1):
        for axes, title in zip(row, titles, strict=True):
            axes.set_axis_off()
            if title in own:
                axes.imshow(own[title], interpolation="nearest")
            axes.set_title(title if rank == 1 else "", fontsize=9)
        share = each.errors / each.confusion.total
        label = f"{rank}: {each.pair.name}, {100 * share:.0f} % wrong"
        row[0].text(0, -0.04, label, transform=row[0].transAxes, va="top", fontsize=8)
    told = [*legend.classes, *errors.legend.classes[len(legend) :][:TOLD]]
    keys = [Patch(facecolor=to_hex(each.color), label=each.name) for each in told]
    figure.legend(handles=keys, loc="outside lower center", ncols=len(titles), frameon=False)
    figure.savefig(path, dpi=100, metadata={"Software": None})


def _painted(indices: NDArray[np.uint8], legend: Legend) -> Picture:
    """(height, width, 3) colours of class indices."""
    table = np.full((256, 3), UNKNOWN_COLOR, np.uint8)
    table[: len(legend)] = [each.color for each in legend.classes]
    return table[indices]


def _read_ortho(path: Path, grid: Grid, windows: Sequence[Window]) -> Iterator[Picture]:
    """(height, width, 3) the orthophoto in windows of a map's grid."""
    with ExitStack() as stack:
        reader = stack.enter_context(RasterReader(path))
        same = (reader.grid.height, reader.grid.width) == (grid.height, grid.width)
        if not (same or reader.grid.is_georeferenced):
            raise InputError(f"{path}: has neither the pixels of the map nor a place on the ground")
        if reader.grid.is_georeferenced and reader.grid != grid:
            reader = stack.enter_context(
                RasterReader(path, ReadOptions(on=grid, resampling="bilinear"))
            )
        for window in windows:
            image, valid = reader.read(window)
            yield _stretched(visible_bands(image, reader.band_names), valid).transpose(1, 2, 0)


def _stretched(visible: NDArray[Any], valid: NDArray[np.bool_]) -> Picture:
    """(3, height, width) bytes; white without data."""
    if visible.dtype != np.uint8 and valid.any():
        low, high = np.percentile(visible[:, valid], STRETCH, axis=1)[..., None, None]
        visible = (255 * ((visible - low) / np.maximum(high - low, 1e-9)).clip(0, 1)).astype("u1")
    return np.where(valid, visible, UNKNOWN_COLOR[0]).astype(np.uint8)
