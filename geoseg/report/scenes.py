"""Tiles of a layer, encoded for browsers."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from itertools import product
from math import ceil
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from geoseg.labels.legend import Legend
from geoseg.labels.lookup import to_hex
from geoseg.labels.style import averaged
from geoseg.patches.training_ground import TAG
from geoseg.raster.grid import Grid
from geoseg.raster.threads import map_in_order, reading_pool
from geoseg.raster.window import Window, blocks
from geoseg.report.inputs import SceneFiles
from geoseg.report.layers import ImageLayer, PageLayer, open_map, open_references

TILE = 512
"""Side of a tile, in pixels."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Place of all layers of a scene: a raster's grid, and a pyramid of tiles over it.

    Level 0 is the finest. A pixel of level n stands for a square of ``shrink * 2**n`` pixels
    of the grid, so tiles begin at whole pixels at all levels.
    """

    grid: Grid

    shrink: int = 1
    """Pixels of the grid along a side of a pixel of level 0."""

    @classmethod
    def about(cls, grid: Grid, size: int) -> Self:
        """A frame whose longest side is about ``size`` pixels: less than 1.5 times as many."""
        return cls(grid=grid, shrink=max(round(max(grid.height, grid.width) / size), 1))

    @property
    def levels(self) -> int:
        """Number of levels; the last is a single tile.

        >>> from affine import Affine
        >>> Frame(grid=Grid(None, Affine.identity(), 1025, 600)).levels  # 1025, 513, 257
        3
        """
        tiles = max(self.tiles(0))
        return (tiles - 1).bit_length() + 1

    def step(self, level: int) -> int:
        """Pixels of the grid along a side of a level's pixel."""
        return self.shrink << level

    def shape(self, level: int) -> tuple[int, int]:
        """Rows and columns of a level, in its pixels."""
        step = self.step(level)
        return ceil(self.grid.height / step), ceil(self.grid.width / step)

    def tiles(self, level: int) -> tuple[int, int]:
        """Rows and columns of a level, in tiles."""
        height, width = self.shape(level)
        return ceil(height / TILE), ceil(width / TILE)

    def window(self, level: int, row: int, col: int) -> Window | None:
        """The pixels of the grid that a tile shows, by its level, row and column; None beyond."""
        if not 0 <= level < self.levels or row < 0 or col < 0:
            return None
        side = TILE * self.step(level)
        place = Window(row_off=row * side, col_off=col * side, height=side, width=side)
        return place.clip(self.grid.height, self.grid.width)


WEBP_QUALITY = 82
"""Quality of images, 0..100."""


class Tile(NamedTuple):
    """A tile of a layer, encoded; its row and column are counted in tiles."""

    level: int
    row: int
    col: int
    content: bytes
    mime: str

    @property
    def name(self) -> str:
        """Name in the page's requests."""
        return f"{self.level}/{self.row}/{self.col}"


def encode(pixels: NDArray[np.uint8]) -> tuple[bytes, str]:
    """Content and type of a file of pixels.

    Args:
        pixels: (height, width, 4) red, green, blue, alpha: WebP; (height, width) class
            indices: PNG, whose grey values are the indices.
    """
    file = BytesIO()
    if pixels.ndim == 2:  # noqa: PLR2004
        Image.fromarray(np.ascontiguousarray(pixels), "L").save(file, "PNG", compress_level=6)
        return file.getvalue(), "image/png"
    opaque = bool((pixels[..., 3] == 255).all())  # noqa: PLR2004
    image = Image.fromarray(np.ascontiguousarray(pixels[..., : 3 if opaque else 4]))
    image.save(file, "WEBP", quality=WEBP_QUALITY, method=3)
    return file.getvalue(), "image/webp"


def read_tile(layer: PageLayer, frame: Frame, level: int, row: int, col: int) -> Tile | None:
    """One tile, read by itself; None beyond the raster.

    Raises:
        GeosegError: If the layer cannot be read there.
    """
    window = frame.window(level, row, col)
    if window is None:
        return None
    return Tile(level, row, col, *encode(layer.read(window, frame.step(level))))


def pyramid(layer: PageLayer, frame: Frame, *, threads: int) -> Iterator[Tile]:
    """All tiles of a layer, the finest level first.

    The file is read once: each level but the first is made of the one before it, which is held
    at half its size.

    Raises:
        GeosegError: If the layer cannot be read.
    """
    with reading_pool(threads) as pool:
        ahead = partial(map_in_order, pool, ahead=2 * threads)

        def read(row: int, col: int) -> NDArray[np.uint8]:
            window = frame.window(0, row, col)
            if window is None:
                raise ValueError(f"there is no tile 0/{row}/{col}")
            return layer.read(window, frame.shrink)

        half = yield from _level(frame, 0, read, ahead)
        for level in range(1, frame.levels):
            half = yield from _level(frame, level, partial(_tile_of, half), ahead)


def _level(
    frame: Frame,
    level: int,
    read: Callable[[int, int], NDArray[np.uint8]],
    ahead: Callable[..., Generator[tuple[Tile, NDArray[np.uint8]]]],
) -> Generator[Tile, None, NDArray[np.uint8]]:
    """The tiles of a level; returns its pixels at half the size."""

    def work(row: int, col: int) -> tuple[Tile, NDArray[np.uint8]]:
        pixels = read(row, col)
        small = averaged(pixels, 2) if pixels.ndim == 3 else pixels[::2, ::2]  # noqa: PLR2004
        return Tile(level, row, col, *encode(pixels)), small

    rows, cols = frame.tiles(level)
    half = np.zeros((0, 0), np.uint8)
    with closing(ahead(work, *zip(*product(range(rows), range(cols)), strict=True))) as done:
        for tile, small in done:
            if not half.size:
                half = np.zeros((*frame.shape(level + 1), *small.shape[2:]), np.uint8)
            top, left = (TILE // 2 * place for place in (tile.row, tile.col))
            half[top : top + small.shape[0], left : left + small.shape[1]] = small
            yield tile
    return half


def _tile_of(pixels: NDArray[np.uint8], row: int, col: int) -> NDArray[np.uint8]:
    return pixels[row * TILE : (row + 1) * TILE, col * TILE : (col + 1) * TILE]


HECTARE_M2 = 10_000

BLOCK_ROWS, BLOCK_COLUMNS = 512, 8192
"""Block that is counted at a time, in pixels."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Layers of the same ground, open for reading."""

    name: str
    frame: Frame

    layers: dict[str, PageLayer]
    """Layers by role: image, image2, ..., map, reference."""

    legend: Legend | None = None
    provenance: dict[str, Any]

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
            "crs": None if grid.crs is None else str(grid.crs.to_string())[:80],
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
    """Open the files of a scene; arguments as of `opened_scenes`.

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
    with reading_pool(threads) as pool:
        for part in map_in_order(pool, count, parts, ahead=2 * threads):
            counts += part
    return counts[:classes]
