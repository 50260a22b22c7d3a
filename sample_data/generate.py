"""Re-create the sample data: python sample_data/generate.py."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import geopandas as gpd
import numpy as np
import rasterio
from generator.canvas import Canvas, Cover
from generator.car import paint_car
from generator.ground import paint_ground
from generator.house import burn_buildings, paint_house
from generator.light import Sun, expose, illuminate
from generator.plan import CUT_CORNER, EXTENT, draw_plan
from generator.planting import plant_all
from generator.street import paint_paving
from generator.traffic import all_cars
from generator.tree import paint_tree
from rasterio.transform import from_origin
from shapely.affinity import translate

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from shapely import Polygon

FOLDER = Path(__file__).parent
SEED = 20240614
CRS = "EPSG:32633"
WEST, SOUTH = 391_200, 5_812_400
GSD = 0.25
OVERSAMPLING = 2
SUN = Sun(azimuth=152, elevation=47)


def paint_town(rng: np.random.Generator) -> tuple[Canvas, list[Polygon]]:
    """Plan the town and paint it, from the ground up."""
    canvas = Canvas(EXTENT, GSD / OVERSAMPLING)
    plan = draw_plan(rng)
    paint_ground(canvas, plan, rng)
    paint_paving(canvas, plan, rng)
    for house in plan.houses:
        paint_house(canvas, house, rng)
    for pose in all_cars(plan, rng):
        paint_car(canvas, pose, rng)
    for tree in plant_all(plan, rng):
        paint_tree(canvas, tree, rng)
    return canvas, plan.footprints


def blocks(fine: NDArray) -> NDArray:
    """Give the oversampled pixels of each pixel an axis of their own, in front."""
    *bands, height, width = fine.shape
    n = OVERSAMPLING
    split = fine.reshape(*bands, height // n, n, width // n, n)
    return np.moveaxis(split, (-3, -1), (0, 1)).reshape(n * n, *bands, height // n, width // n)


def label(canvas: Canvas, footprints: list[Polygon]) -> NDArray[np.uint8]:
    """Reduce the painted land cover to the pixels of the picture and burn the buildings."""
    votes = np.stack([(blocks(canvas.cover) == cover).sum(axis=0) for cover in Cover])
    reference = (votes.argmax(axis=0) + 1).astype(np.uint8)
    burn_buildings(reference, Canvas(EXTENT, GSD).whole(), footprints)
    return reference


def write_ortho(image: NDArray[np.uint8]) -> None:
    """Write the picture (bands, height, width)."""
    write_raster("ortho.tif", image, predictor=2, photometric="rgb")


def write_reference(reference: NDArray[np.uint8]) -> None:
    """Write the classes with the legend's colours."""
    legend = tomllib.loads((FOLDER / "legend.toml").read_text())
    colours = {entry["value"]: bytes.fromhex(entry["color"][1:]) for entry in legend["class"]}
    write_raster("reference.tif", reference[np.newaxis])
    with rasterio.open(FOLDER / "reference.tif", "r+") as dataset:
        dataset.write_colormap(1, {value: (*rgb, 255) for value, rgb in colours.items()})


def write_raster(name: str, layers: NDArray[np.uint8], **options: object) -> None:
    """Write a tiled, compressed GeoTIFF whose missing pixels are 0."""
    count, height, width = layers.shape
    profile = {"driver": "GTiff", "dtype": "uint8", "nodata": 0, "crs": CRS}
    profile |= {"count": count, "height": height, "width": width}
    profile |= {"transform": from_origin(WEST, SOUTH + EXTENT, GSD, GSD)}
    profile |= {"tiled": True, "blockxsize": 256, "blockysize": 256}
    profile |= {"compress": "deflate", "zlevel": 9, **options}
    with rasterio.open(FOLDER / name, "w", **profile) as dataset:
        dataset.write(layers)


def write_buildings(footprints: list[Polygon]) -> None:
    """Write the outlines of the buildings."""
    geometry = [translate(outline, WEST, SOUTH) for outline in footprints]
    columns = {"id": range(1, len(geometry) + 1), "class": "building"}
    frame = gpd.GeoDataFrame(columns, geometry=geometry, crs=CRS)
    frame.to_file(FOLDER / "buildings.gpkg", layer="buildings", driver="GPKG")


def main() -> None:
    """Paint the town, photograph it and write all files."""
    rng = np.random.default_rng(SEED)
    canvas, footprints = paint_town(rng)
    reference = label(canvas, footprints)
    image = expose(blocks(illuminate(canvas, SUN)).mean(axis=0), rng)
    missing = Canvas(EXTENT, GSD).whole().mask(CUT_CORNER)
    image[:, missing] = 0
    reference[missing] = 0
    write_ortho(image)
    write_reference(reference)
    write_buildings(footprints)
    for cover in Cover:
        share = np.mean(reference[~missing] == cover)
        print(f"{cover.name.lower():<9}{share:7.2%}")


if __name__ == "__main__":
    main()
