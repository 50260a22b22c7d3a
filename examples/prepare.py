"""Data to stand in for a report's own, made of the sample town."""

import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image, ImageColor

from geoseg.labels.legend import Legend, LegendClass

Pixels = NDArray[np.uint8]


def divide_ground(ortho: Path, folder: Path, *, test: float) -> None:
    """Write the ground of an orthophoto as two polygons, side by side.

    Args:
        ortho: The orthophoto, with a CRS.
        folder: Where ``train.gpkg``, of the left part, and ``test.gpkg`` are written.
        test: Share of the width.
    """
    import geopandas as gpd
    from shapely.geometry import box

    with rasterio.open(ortho) as file:
        left, bottom, right, top = file.bounds
        cut = file.xy(0, round(file.width * (1 - test)), offset="ul")[0]
        crs = file.crs
    for name, west, east in (("train", left, cut), ("test", cut, right)):
        ground = box(west, bottom, east, top)
        gpd.GeoDataFrame(geometry=[ground], crs=crs).to_file(folder / f"{name}.gpkg")


def box_of(cell: tuple[int, int], side: int, transform: Any) -> Any:
    """The ground of a square cell, as a polygon.

    Args:
        cell: Its row and column among all cells.
        side: Of a cell, in pixels.
        transform: Of the orthophoto.
    """
    from shapely.geometry import box

    row, col = cell
    left, top = transform @ (col * side, row * side)
    right, bottom = transform @ ((col + 1) * side, (row + 1) * side)
    return box(left, bottom, right, top)


def color_reference(reference: Path, legend: Path, folder: Path) -> None:
    """Paint a reference map in its legend's colours, unlabelled ground black.

    Args:
        reference: (height, width) uint8 of class values.
        legend: Its legend.
        folder: Where ``colors.tif`` and ``colors.toml`` are written.
    """
    table = np.zeros((256, 3), np.uint8)
    for each in _classes(legend):
        table[each["value"]] = ImageColor.getrgb(each["color"])
    with rasterio.open(reference) as file:
        values, profile = file.read(1), file.profile
    profile |= {"count": 3, "nodata": None, "photometric": "RGB"}
    with rasterio.open(folder / "colors.tif", "w", **profile) as file:
        file.write(table[values].transpose(2, 0, 1))
    text = legend.read_text(encoding="utf-8")
    (folder / "colors.toml").write_text(f'ignore = ["#000000"]\n{text}', encoding="utf-8")


def pictures(ortho: Path, reference: Path, folder: Path, *, count: int, seed: int = 0) -> None:
    """Cut an orthophoto into pictures of many sizes, without georeference, that never overlap.

    Every other picture is a JPEG, the others and the masks (class values) are PNG.

    Args:
        ortho: Three bands of uint8.
        reference: Its classes, on the same grid; 0 is unlabelled.
        folder: Where ``images/`` and ``masks/`` are written.
        count: Of pictures, at most.
        seed: Of the sizes.
    """
    image, mask = _whole(ortho, reference)
    rng = np.random.default_rng(seed)
    rows = _cuts(mask.shape[0], rng)
    cells = [(row, col) for row in rows for col in _cuts(mask.shape[1], rng)]
    labelled = [cell for cell in cells if mask[cell].any()]
    chosen = rng.permutation(len(labelled))[:count]
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for number, index in enumerate(chosen):
        cell = labelled[index]
        suffix = ".jpg" if number % 2 else ".png"
        picture = Image.fromarray(image[:, *cell].transpose(1, 2, 0))
        picture.save(folder / "images" / f"{number:03}{suffix}", quality=95)
        Image.fromarray(mask[cell]).save(folder / "masks" / f"{number:03}.png")


def two_classes(legend: Legend, name: str) -> Legend:
    """A legend in which one class stands against all others.

    Args:
        legend: The legend.
        name: Of the class.
    """
    own = next(each for each in legend.classes if each.name == name)
    rest = [each for each in legend.classes if each.name != name]
    other = LegendClass(
        value=0,
        name=f"no {name}",
        color=rest[0].color,
        values=tuple(value for each in rest for value in each.source_values),
        colors=tuple(color for each in rest for color in each.source_colors),
        attributes=tuple(word for each in rest for word in each.source_attributes),
    )
    own = replace(
        own,
        value=1,
        values=own.source_values,
        colors=own.source_colors,
        attributes=own.source_attributes,
    )
    return Legend(classes=(other, own), ignore=legend.ignore)


def grey_pairs(
    ortho: Path, reference: Path, folder: Path, *, train: int, test: int, outliers: int
) -> None:
    """Write grey pictures of 64 x 128 px and their masks, as of another planet.

    0 is background: spots, a third of every mask, that nobody has labelled. Of the sample's
    classes grass and water become soil (1), buildings and roads bedrock (2), trees sand (3) and
    cars, which are rare, rock (4). The outliers have pictures like the others, and share one
    mask.

    Args:
        ortho: Three bands of uint8.
        reference: Its classes, on the same grid.
        folder: Where ``train/`` and ``test/`` are written, each with ``images/`` and
            ``masks/``, and ``legend.toml``.
        train: Pairs for training, at most; of the left three quarters.
        test: Pairs for testing, at most; of the rest.
        outliers: Pairs that are added to those for training.
    """
    from scipy import ndimage

    image, classes = _whole(ortho, reference)
    rng = np.random.default_rng(0)
    grey = np.rint(image.mean(axis=0)).astype(np.uint8)
    spots = ndimage.gaussian_filter(rng.random(classes.shape), 6)
    values = np.array([0, 2, 2, 1, 3, 1, 4], np.uint8)[classes]
    values[spots > np.quantile(spots, 2 / 3)] = 0
    full = [cell for cell in _cells(*classes.shape) if classes[cell].all()]
    cut = classes.shape[1] * 3 // 4
    left = rng.permutation([n for n, cell in enumerate(full) if cell[1].stop <= cut])
    right = rng.permutation([n for n, cell in enumerate(full) if cell[1].start >= cut])
    for part, chosen in (("train", left[:train]), ("test", right[:test])):
        for number in chosen:
            _save_pair(folder / part, f"{number:04}", grey[full[number]], values[full[number]])
    shared = np.zeros((64, 128), np.uint8)
    shared[8:40, 20:90] = 4
    for number in left[train : train + outliers]:
        _save_pair(folder / "train", f"{number:04}", grey[full[number]], shared)
    names = ("background", "soil", "bedrock", "sand", "rock")
    (folder / "legend.toml").write_text(
        "\n".join(f'[[class]]\nvalue = {v}\nname = "{name}"' for v, name in enumerate(names)),
        encoding="utf-8",
    )


def _cells(height: int, width: int) -> list[tuple[slice, slice]]:
    """Places for pictures of 64 x 128 px side by side, in reading order."""
    return [
        (slice(row, row + 64), slice(col, col + 128))
        for row in range(0, height - 63, 64)
        for col in range(0, width - 127, 128)
    ]


def _save_pair(folder: Path, name: str, image: Pixels, mask: Pixels) -> None:
    for part, pixels in (("images", image), ("masks", mask)):
        (folder / part).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / part / f"{name}.png")


def _whole(ortho: Path, reference: Path) -> tuple[Pixels, Pixels]:
    """The sample is small enough to be read at once."""
    with rasterio.open(ortho) as file, rasterio.open(reference) as classes:
        return file.read(), classes.read(1)


def _cuts(length: int, rng: np.random.Generator) -> Iterator[slice]:
    """Pieces of 150 to 300 pixels along an axis; what is left at the end is left out."""
    start = 0
    while (stop := start + int(rng.integers(150, 301))) <= length:
        yield slice(start, stop)
        start = stop


def _classes(legend: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tomllib.loads(legend.read_text(encoding="utf-8"))["class"]
    return found
