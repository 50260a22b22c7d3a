"""Scenes of a page: layers on one frame, classes and their areas."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.labels.legend import Legend
from geoseg.labels.lookup import to_hex
from geoseg.patches.training_ground import TAG
from geoseg.raster.grid import Grid
from geoseg.raster.threads import map_in_order
from geoseg.raster.window import Window, blocks
from geoseg.report.inputs import SceneFiles
from geoseg.report.layers import ImageLayer, PageLayer, open_map, open_references
from geoseg.report.tiles import TILE, Frame

HECTARE_M2 = 10_000

BLOCK_ROWS, BLOCK_COLUMNS = 512, 8192
"""Block that is counted at a time, in pixels."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Layers of the same ground, open for reading."""

    name: str
    """Name on the page."""

    frame: Frame
    """Its place and scale."""

    layers: dict[str, PageLayer]
    """Layers by role: image, image2, ..., map, reference."""

    legend: Legend | None = None
    """Classes of map and reference."""

    provenance: dict[str, Any]
    """Provenance that the map carries."""

    def area_table(self, pixels: NDArray[np.int64]) -> list[dict[str, Any]]:
        """Area of each class of the map.

        Args:
            pixels: (classes,) from `count_classes`.

        Returns:
            ``name``, ``color``, ``pixels``, ``share`` of all pixels with a class, and ``hectares``
            (None without a CRS) of each class.
        """
        classes = self.legend.classes if self.legend else ()
        area = self.frame.grid.pixel_area
        total = max(int(pixels.sum()), 1)
        return [
            {
                "name": each.name,
                "color": to_hex(each.color),
                "pixels": int(count),
                "share": float(count / total),
                "hectares": None if area is None else float(count * area / HECTARE_M2),
            }
            for each, count in zip(classes, pixels, strict=True)
        ]

    def for_page(self) -> dict[str, Any]:
        """The scene for the page's script."""
        height, width = self.frame.shape(0)
        grid = self.frame.grid
        steps = grid.transform @ grid.transform.scale(self.frame.shrink)
        return {
            "name": self.name,
            "width": width,
            "height": height,
            "tile": TILE,
            "levels": self.frame.levels,
            "shrink": self.frame.shrink,
            "transform": list(steps[:6]) if grid.is_georeferenced else None,
            "crs": _crs_name(grid),
            "metres": None if grid.gsd is None else grid.gsd * self.frame.shrink,
            "layers": [
                {"role": role, "kind": layer.kind, "title": layer.title}
                for role, layer in self.layers.items()
            ],
            "classes": [
                {"name": each.name, "color": to_hex(each.color)}
                for each in (self.legend.classes if self.legend else ())
            ],
        }

    def close(self) -> None:
        """Release files."""
        for layer in self.layers.values():
            layer.close()


@contextmanager
def opened_scenes(
    files: Sequence[SceneFiles], *, size: int | None = None, exact: bool = False
) -> Iterator[list[Scene]]:
    """Scenes open for reading, and closed when the block ends.

    Args:
        files: Files of each scene.
        size: Longest side of the finest level, about, in pixels; None: as the files are.
        exact: Read classes pixel by pixel, not from overviews.

    Raises:
        GeosegError: If a file cannot be read or understood.
    """
    with ExitStack() as stack:
        yield [
            stack.enter_context(closing(open_scene(each, size=size, exact=exact))) for each in files
        ]


def open_scene(files: SceneFiles, *, size: int | None, exact: bool) -> Scene:
    """Open the files of a scene.

    Args:
        files: Its files.
        size: As in `opened_scenes`.
        exact: As in `opened_scenes`.

    Raises:
        GeosegError: If a file cannot be read or understood.
    """
    (grid, _, tags), reading, legend = files.header, files.reading, None
    layers: dict[str, PageLayer] = {}
    with ExitStack() as stack:

        def keep(role: str, layer: PageLayer) -> None:
            layers[role] = stack.enter_context(closing(layer))

        for number, path in enumerate(files.images, 1):
            role = "image" if number == 1 else f"image{number}"
            keep(role, ImageLayer(path, grid, bands=files.bands))
        if files.class_map:
            legend = reading.legend_of(files.class_map, tags, compared=bool(files.references))
            keep("map", open_map(files.class_map, legend, grid, reading, exact=exact))
            if files.references:
                keep(
                    "reference",
                    open_references(files.references, legend, grid, reading, exact=exact),
                )
        stack.pop_all()
    provenance = tags.get("provenance", {}) if files.class_map else {}
    return Scene(
        name=files.name,
        frame=Frame(grid=grid) if size is None else Frame.about(grid, size),
        layers=layers,
        legend=legend,
        provenance={key: value for key, value in provenance.items() if key != TAG},
    )


def count_classes(scene: Scene, *, threads: int = 1) -> NDArray[np.int64]:
    """(classes,) pixels of each class in the map of a scene; none without a map.

    Args:
        scene: The scene.
        threads: Threads that read.

    Raises:
        GeosegError: If the map cannot be read.
    """
    counts = np.zeros(256, np.int64)
    classes = 0 if scene.legend is None else len(scene.legend)
    if (layer := scene.layers.get("map")) is None:
        return counts[:classes]
    grid = scene.frame.grid

    def count(window: Window) -> NDArray[np.int64]:
        return np.bincount(layer.read(window, 1).ravel(), minlength=256)

    parts = blocks(grid.height, grid.width, rows=BLOCK_ROWS, cols=BLOCK_COLUMNS)
    with ThreadPoolExecutor(threads) as pool:
        for part in map_in_order(pool, count, parts, ahead=2 * threads):
            counts += part
    return counts[:classes]


def _crs_name(grid: Grid) -> str | None:
    return None if grid.crs is None else str(grid.crs.to_string())[:80]
