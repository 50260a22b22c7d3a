"""Class maps become files of polygons, the same however the work is divided."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from pyproj import Geod
from rasterio.features import rasterize
from scipy import ndimage
from vectorize_maps import random_map

from geoseg.errors import (
    EmptyError,
    GeosegWarning,
    GridMismatchError,
    InputError,
    LegendError,
    RasterError,
)
from geoseg.labels.legend import Legend, LegendClass
from geoseg.labels.tags import read_tags
from geoseg.postprocess.options import ClassArea
from geoseg.raster.grid import Length
from geoseg.vectorize import cells
from geoseg.vectorize.options import VectorizeOptions
from geoseg.vectorize.split import split
from geoseg.vectorize.vectorize import join, vectorize

LEGEND = Legend(
    name="land",
    classes=tuple(
        LegendClass(value=value, name=name, color=(40 * value, 90, 10))
        for value, name in enumerate(("other", "house", "road", "tree"))
    ),
)

WIND = [
    [0, 0, 0, 0, 0, 0, 0],
    [0, 1, 1, 1, 1, 1, 0],
    [0, 1, 2, 2, 2, 1, 0],
    [0, 1, 2, 3, 2, 1, 0],
    [0, 1, 2, 2, 2, 1, 0],
    [0, 1, 1, 1, 1, 1, 0],
    [0, 0, 0, 0, 0, 0, 0],
]
"""Rings around a pixel: with cells of 2 px each goes through several."""

SPIRAL = [
    [1, 1, 1, 1, 1, 1],
    [0, 0, 0, 0, 0, 1],
    [0, 1, 1, 1, 0, 1],
    [0, 1, 0, 0, 0, 1],
    [0, 1, 0, 0, 0, 1],
    [0, 1, 1, 1, 1, 1],
]

CHECKERBOARD = np.indices((6, 6)).sum(axis=0) % 2

DIAGONAL_HOLES = [[0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]


@pytest.fixture
def polygons_of(write_raster, tmp_path, monkeypatch):
    """A function that turns an array of classes into a table of polygons."""

    def made(values, *, cell=1024, name="map.gpkg", profile=None, **options):
        monkeypatch.setattr(cells, "CELL_PX", cell)
        path = write_raster("map.tif", np.asarray(values, np.uint8), nodata=255, **(profile or {}))
        output = tmp_path / name
        options = {"simplify": None, "workers": 2} | options
        vectorize(path, LEGEND, output, VectorizeOptions(**options), overwrite=True)
        if name.endswith(".parquet"):
            return gpd.read_parquet(output)
        return gpd.read_file(output, layer=None if name.endswith("geojsonl") else "land")

    return made


@pytest.mark.parametrize("cell", [2, 3, 1024])
@pytest.mark.parametrize(
    "values", [WIND, SPIRAL, CHECKERBOARD, DIAGONAL_HOLES, [[1]], [[2] * 9] * 5]
)
def test_polygons_are_the_regions_of_the_map(polygons_of, values, cell):
    values = np.asarray(values)
    frame = polygons_of(values, cell=cell)

    assert (frame.geom_type == "Polygon").all()
    assert shapely.is_valid(frame.geometry.to_numpy()).all()
    assert shapely.coverage_is_valid(frame.geometry.to_numpy())
    for index in np.unique(values):
        own = frame[frame["class"] == index]
        assert len(own) == ndimage.label(values == index)[1]
        assert own.pixels.sum() == (values == index).sum()
        assert own.area.sum() == (values == index).sum() / 4
    pairs = zip(frame.geometry, frame["class"], strict=True)
    transform = rasterio.Affine(0.5, 0, 500_000, 0, -0.5, 5_700_000)
    back = rasterize(pairs, out_shape=values.shape, transform=transform, fill=9)
    assert np.array_equal(back, values)


@pytest.mark.parametrize("seed", range(6))
def test_random_maps_have_no_gap_and_no_overlap_whatever_the_options(polygons_of, seed):
    draw = np.random.default_rng(seed)
    values = random_map(draw)
    values[draw.random(values.shape) < draw.choice([0, 0.2])] = 255
    values[0, 0] = 1
    for options in (
        {},
        {"simplify": Length.parse("1px")},
        {"simplify": Length.parse("3px"), "smooth": True},
        {"max_vertices": 8},
    ):
        frame = polygons_of(values, cell=int(draw.integers(2, 9)), **options)

        assert shapely.is_valid(frame.geometry.to_numpy()).all()
        assert shapely.coverage_is_valid(frame.geometry.to_numpy())
        regions = frame.drop_duplicates("region")
        assert regions.pixels.sum() == (values != 255).sum()
        if not options:
            assert np.allclose(frame.area * 4, frame.pixels)


def test_a_region_is_numbered_by_its_first_pixel(polygons_of):
    frame = polygons_of([[0, 0, 1], [2, 0, 1]], cell=2)

    found = dict(zip(frame["class"], frame.region, strict=True))
    assert found == {0: 0, 1: 2, 2: 3}


def test_nodata_is_no_polygon_and_an_edge_of_others(polygons_of):
    values = np.full((5, 7), 0)
    values[:, 6] = 255
    values[2, 2], values[2, 5] = 1, 1
    frame = polygons_of(values)

    houses = frame[frame["class"] == 1].sort_values("region")
    assert sorted(frame.name.unique()) == ["house", "other"]
    assert houses.touches_edge.tolist() == [False, True]


def test_only_some_classes_are_written_with_the_borders_of_all(polygons_of):
    every = polygons_of(WIND, simplify=Length.parse("3px"))
    some = polygons_of(WIND, simplify=Length.parse("3px"), classes=("road",))

    assert some.name.tolist() == ["road"]
    assert some.geometry.iloc[0].equals(every[every.name == "road"].geometry.iloc[0])


def test_small_regions_join_their_neighbours_first(polygons_of):
    frame = polygons_of(WIND, min_area=(ClassArea.parse("2px"),))

    assert sorted(frame.name) == ["house", "other", "road"]
    assert frame.pixels.sum() == 49


def test_too_large_regions_stay_divided_and_say_so(polygons_of, tmp_path):
    frame = polygons_of(WIND, cell=3, max_vertices=8)
    report = read_tags(tmp_path / "map.gpkg")["report"]

    assert report["divided"] == 3
    assert frame.region.nunique() == 4 < len(frame)
    assert frame.groupby("region").pixels.nunique().eq(1).all()


def test_means_of_scores_and_confidence_are_those_of_the_region(
    polygons_of, write_raster, tmp_path
):
    values = np.array([[0, 0, 1], [0, 1, 1]])
    scores = np.full((4, 2, 3), 0.1, np.float32)
    scores[0], scores[1] = 0.5, [[0, 0, 0.6], [0, 0.9, 0.9]]
    stored = np.array([[254, 127, 255], [254, 0, 0]], np.uint8)
    confidence = write_raster("confidence.tif", stored, nodata=255)
    more = {"cell": 2, "scores": write_raster("scores.tif", scores), "confidence": confidence}
    with pytest.raises(RasterError, match="is a band of bytes that does not say it is confidence"):
        polygons_of(values, **more)
    with rasterio.open(confidence, "r+") as file:
        file.update_tags(GEOSEG='{"kind": "confidence"}')
    frame = polygons_of(values, **more)

    assert frame.score.tolist() == pytest.approx([0.5, 0.8])
    assert frame.confidence.tolist() == pytest.approx([2.5 / 3, 0])  # 255 has none


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857"])
def test_areas_are_those_of_the_ground(polygons_of, crs):
    step = 0.01 if crs == "EPSG:4326" else 2000
    corner = (10, 60) if crs == "EPSG:4326" else (1e6, 8e6)
    transform = rasterio.Affine(step, 0, corner[0], 0, -step, corner[1])
    frame = polygons_of(
        np.repeat([[0], [1], [2]], 4, axis=1), profile={"crs": crs, "transform": transform}
    )

    expected = [
        abs(Geod(ellps="WGS84").geometry_area_perimeter(shapely.segmentize(each, 0.001))[0])
        for each in frame.to_crs("EPSG:4326").geometry
    ]
    assert frame.area_m2.tolist() == pytest.approx(expected, rel=1e-6)


def houses_in_rows(draw):
    """Rows of houses of 5 to 9 px that touch along necks, in roads and trees."""
    values = np.full((64, 80), 3)
    values[:, 38:42] = 2
    for row in range(2, 58, draw.integers(9, 14)):
        column = 1
        while column < 70:
            height, width = draw.integers(6, 11, 2)
            values[row : row + height, column : column + width] = 1
            values[row + 3 : row + 5, column + width : column + width + 2] = 1
            column += width + draw.integers(1, 4)
    return values


@pytest.mark.parametrize("cell", [9, 16])
@pytest.mark.parametrize("seed", range(2))
def test_houses_that_touch_are_told_apart_as_if_there_were_no_cells(polygons_of, seed, cell):
    values = houses_in_rows(np.random.default_rng(seed))
    options = {"split_touching": "house", "classes": ("house",)}
    found = polygons_of(values, cell=cell, **options).sort_values("region")
    expected = polygons_of(values, **options)

    assert len(expected) == split(values == 1).max() > 1.5 * ndimage.label(values == 1)[1]
    assert found.pixels.tolist() == expected.pixels.tolist()
    assert found.region.tolist() == expected.region.tolist()
    assert all(a.equals(b) for a, b in zip(found.geometry, expected.geometry, strict=True))


@pytest.mark.parametrize(("seed", "halo"), [(0, 1), (1, 2), (0, 5), (1, 128)])
def test_objects_seen_differently_from_two_cells_leave_no_gap(polygons_of, monkeypatch, seed, halo):
    monkeypatch.setattr(cells, "HALO_PX", halo)
    draw = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(draw.random((50, 60)), draw.choice([0.8, 1.5, 3]))
    noise = np.digitize(noise, np.quantile(noise, [0.3, 0.8])) % 3
    for values in (houses_in_rows(draw), noise):
        for simplify in (None, Length.parse("2px")):
            frame = polygons_of(
                values, cell=int(draw.integers(5, 14)), split_touching="house", simplify=simplify
            )

            assert (frame.geom_type == "Polygon").all()
            assert shapely.is_valid(frame.geometry.to_numpy()).all()
            assert shapely.coverage_is_valid(frame.geometry.to_numpy())
            assert frame.pixels.sum() == values.size
            assert frame.area.sum() == pytest.approx(values.size / 4)
            if simplify is None:
                assert np.allclose(frame.area * 4, frame.pixels)
            for name, index in (("other", 0), ("road", 2), ("tree", 3)):
                assert (frame.name == name).sum() == ndimage.label(values == index)[1]


def test_scores_divide_what_has_no_neck(polygons_of, write_raster):
    values = np.zeros((20, 60))
    values[4:16, 4:56] = 1
    scores = np.full((4, 20, 60), 0.01, np.float32)
    scores[1] = 0.97
    scores[1, :, [20, 21, 38, 39]] = 0.5
    options = {"cell": 16, "split_touching": "house", "classes": ("house",)}

    assert len(polygons_of(values, **options)) == 1
    assert len(polygons_of(values, scores=write_raster("s.tif", scores), **options)) == 3


def turned_houses(draw):
    """Houses of 12 to 30 px at any angle, some of which touch, in roads."""
    rows, columns = np.indices((150, 170))
    values = np.full(rows.shape, 2)
    for row, column in draw.integers(0, 150, (40, 2)):
        cos, sin = np.cos(angle := draw.uniform(0, np.pi)), np.sin(angle)
        along = (columns - column) * cos + (rows - row) * sin
        across = (rows - row) * cos - (columns - column) * sin
        width, height = draw.integers(6, 15, 2)
        values[(np.abs(along) < width) & (np.abs(across) < height)] = 1
    return values


REGULARISED = {
    "split_touching": "house",
    "regularize": ("house",),
    "simplify": Length.parse("1px"),
}


@pytest.mark.parametrize("cell", [40, 64, 1024])
@pytest.mark.parametrize("seed", range(2))
def test_houses_with_right_angles_are_a_layer_in_which_nothing_overlaps(
    polygons_of, tmp_path, seed, cell
):
    values = turned_houses(np.random.default_rng(seed))
    main = polygons_of(values, cell=cell, **REGULARISED)
    plain = polygons_of(values, cell=cell, **(REGULARISED | {"regularize": ()}), name="b.gpkg")
    found = gpd.read_file(tmp_path / "map.gpkg", layer="land regularised")
    report = read_tags(tmp_path / "map.gpkg")["report"]

    assert main.equals(plain)
    source = main[main.name == "house"].set_index("region")
    assert sorted(found.region) == sorted(source.index)
    source = source.loc[found.region]
    shapes, sources = found.geometry.to_numpy(), source.geometry.to_numpy()
    assert report["regularised"] == found.regularised.sum() > len(found) / 3
    assert report["kept"] == (~found.regularised).sum()
    assert shapely.is_valid(shapes).all()
    common = shapely.area(shapely.intersection(shapes, sources))
    assert (common >= 0.8 * shapely.area(shapely.union(shapes, sources)) - 1e-9).all()
    assert (shapes == sources)[~found.regularised].all()
    assert shapely.area(shapely.union_all(shapes)) == pytest.approx(shapely.area(shapes).sum())
    assert found.pixels.tolist() == source.pixels.tolist()


def test_a_house_is_not_given_the_ground_of_one_that_is_decided_later(polygons_of, tmp_path):
    rows, columns = np.indices((256, 64)) + 0.5
    values = np.zeros(rows.shape)
    values[150:230, 10:20] = 1  # ends in the last cell
    for angle in np.radians([0, 30, 60, 90, 120, 150]):  # a star that stays, and waits for it
        across = (columns - 31) * np.cos(angle) + (rows - 64) * np.sin(angle)
        along = (rows - 64) * np.cos(angle) - (columns - 31) * np.sin(angle)
        values[(np.abs(across) < 1.1) & (np.abs(along) < 37)] = 1
    house = (rows > 6) & (rows < 32) & (columns > 16) & (columns < 46)
    values[house & ((np.abs(columns - 31) > 1.1) | (rows < 24))] = 2  # an arm of the star in it
    polygons_of(values, cell=64, regularize=("house", "road"))
    found = gpd.read_file(tmp_path / "map.gpkg", layer="land regularised")

    assert sorted(zip(found.name, found.regularised, strict=True)) == [
        ("house", False),
        ("house", True),
        ("road", True),
    ]
    shapes = found.geometry.to_numpy()
    assert shapely.area(shapely.union_all(shapes)) == pytest.approx(shapely.area(shapes).sum())


def test_a_region_that_stays_divided_is_not_given_right_angles(polygons_of, tmp_path):
    values = np.zeros((60, 60))
    values[5:55, 5:55] = 1
    values[10:20, 22:28] = 2
    options = {"cell": 20, "max_vertices": 12, "regularize": ("house", "road")}
    polygons_of(values, **options)
    found = gpd.read_file(tmp_path / "map.gpkg", layer="land regularised")

    assert not found.regularised[found.name == "house"].any()
    assert found.regularised[found.name == "road"].all()
    assert (found.name == "house").sum() > 1
    assert found.area.sum() == 50 * 50 / 4


@pytest.mark.parametrize("name", ["a.parquet", "a.fgb", "a.geojson"])
def test_other_formats_have_right_angles_in_a_file_beside(polygons_of, tmp_path, name):
    polygons_of(turned_houses(np.random.default_rng(0)), name=name, **REGULARISED)

    suffix = name[1:]
    names = {f"a{suffix}", "a.qml", f"a_regularised{suffix}", "a_regularised.qml", "map.tif"}
    assert {each.name for each in tmp_path.iterdir()} == names
    tags = read_tags(tmp_path / f"a_regularised{suffix}")
    assert tags["report"] == read_tags(tmp_path / name)["report"]
    assert tags["report"]["regularised"] > 5


def test_areas_of_a_map_without_a_crs_are_in_pixels(polygons_of):
    frame = polygons_of(WIND, profile={"crs": None, "transform": None})

    assert frame.area_px.sum() == 49
    assert frame.crs is None


def test_a_rotated_map_has_rotated_polygons(polygons_of):
    turned = rasterio.Affine(3, 1, 500_000, 1, -3, 5_700_000)
    frame = polygons_of([[0, 1]], profile={"transform": turned})

    assert frame.geometry.iloc[1].exterior.coords[0] == turned @ (1, 0)
    assert frame.area.tolist() == [10, 10]


@pytest.mark.parametrize("name", ["a.gpkg", "a.parquet", "a.fgb", "a.geojson", "a.geojsonl"])
def test_every_format_holds_the_same_features(polygons_of, name):
    expected = polygons_of(WIND)
    found = polygons_of(WIND, name=name).to_crs(expected.crs)

    found = found.set_index("region").loc[expected.region]
    for column in ("class", "name", "pixels", "touches_edge"):
        assert found[column].tolist() == expected[column].tolist()
    assert found.area_m2.tolist() == pytest.approx(expected.area_m2.tolist())
    pairs = zip(found.geometry, expected.geometry, strict=True)
    assert all(one.symmetric_difference(other).area < 0.1 for one, other in pairs)


@pytest.mark.parametrize("name", ["a.gpkg", "a.parquet", "a.fgb", "a.geojson"])
def test_the_legend_is_in_the_file(polygons_of, tmp_path, name):
    polygons_of(WIND, name=name)

    tags = read_tags(tmp_path / name)
    assert Legend.from_dict(tags["legend"]) == LEGEND
    assert tags["provenance"]["vectorizing"]["map"] == "map.tif"


def test_a_geopackage_holds_its_style_and_others_have_it_beside(polygons_of, tmp_path):
    polygons_of(WIND, regularize=("house",))
    polygons_of(WIND, name="b.fgb")

    styles = pyogrio.read_dataframe(tmp_path / "map.gpkg", layer="layer_styles")
    assert styles.f_table_name.tolist() == ["land", "land regularised"]
    assert styles.useAsDefault.tolist() == [True, True]
    assert '"class" = 1' in styles.styleQML[0].replace("&quot;", '"')
    assert (tmp_path / "b.qml").read_text() == styles.styleQML[0]
    assert not (tmp_path / "map.qml").exists()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ('it\'s "my" town/2', 'it\'s "my" town/2'),
        ("Straße 🏠", "Straße 🏠"),
        ("x" * 200, "x" * 200),
        ("a\\b\tc\n", "a b c"),
        ("layer_styles", "polygons layer_styles"),
        ("GPKG_contents", "polygons GPKG_contents"),
        ("sqlite_1", "polygons sqlite_1"),
        ("(2024)", "polygons (2024)"),
        ("  ", "polygons"),
    ],
)
def test_a_layer_is_called_as_the_legend_or_as_nearly_as_a_geopackage_can(
    write_raster, tmp_path, name, expected
):
    path = write_raster("map.tif", np.asarray(WIND, np.uint8))
    output = tmp_path / "map.gpkg"
    vectorize(path, replace(LEGEND, name=name), output, VectorizeOptions())

    assert pyogrio.list_layers(output)[:, 0].tolist() == [expected, "layer_styles"]
    styles = pyogrio.read_dataframe(output, layer="layer_styles")
    assert styles.f_table_name.tolist() == [expected]
    assert len(gpd.read_file(output, layer=expected)) == 4


def test_the_style_of_the_map_stays_where_polygons_have_its_name(polygons_of, tmp_path):
    (tmp_path / "map.qml").write_text("<qgis of the map/>")
    with pytest.warns(GeosegWarning, match=r"map\.qml: is the style of something else"):
        frame = polygons_of(WIND, name="map.fgb")

    assert len(frame) == 4
    assert (tmp_path / "map.qml").read_text() == "<qgis of the map/>"


def test_formats_of_one_name_share_a_style(polygons_of, tmp_path):
    polygons_of(WIND, name="a.fgb")
    (tmp_path / "a.qml").write_text((tmp_path / "a.qml").read_text().replace("road", "way"))
    polygons_of(WIND, name="a.parquet")

    assert "way" not in (tmp_path / "a.qml").read_text()


def test_parquet_has_bounding_boxes_and_the_metadata_of_geoparquet(polygons_of, tmp_path):
    import pyarrow.parquet as pq

    frame = polygons_of(WIND, name="a.parquet")
    geo = json.loads(pq.read_schema(tmp_path / "a.parquet").metadata[b"geo"])

    assert geo["version"] == "1.1.0"
    assert geo["columns"]["geometry"]["crs"]["id"] == {"authority": "EPSG", "code": 32632}
    assert geo["columns"]["geometry"]["covering"]["bbox"]["xmin"] == ["bbox", "xmin"]
    boxes = pq.read_table(tmp_path / "a.parquet").column("bbox").to_pylist()
    assert [each["xmax"] for each in boxes] == frame.bounds.maxx.tolist()


def test_one_file_whatever_workers_and_parts(write_raster, tmp_path, monkeypatch):
    monkeypatch.setattr(cells, "CELL_PX", 5)
    draw = np.random.default_rng(4)
    path = write_raster("map.tif", draw.integers(0, 3, (23, 17)).astype(np.uint8))
    options = {"simplify": Length.parse("2px"), "smooth": True, "split_touching": "house"}
    options |= {"regularize": ("house", "other")}
    contents = []
    for workers in (1, 2, 3, 6, 7):
        output = tmp_path / f"{workers}" / "map.gpkg"
        output.parent.mkdir()
        vectorize(path, LEGEND, output, VectorizeOptions(workers=workers, **options))
        contents.append(output.read_bytes())
    folders = []
    for index in (1, 2, 3):  # each on a machine of its own
        copy = shutil.copy(path, tmp_path / f"{index * 3 % 7}")
        folders.append(tmp_path / f"part{index}")
        part = VectorizeOptions(part=(index, 3), **options)
        assert vectorize(Path(copy), LEGEND, folders[-1], part) is None
    join(folders[::-1], tmp_path / "map.gpkg")

    contents.append((tmp_path / "map.gpkg").read_bytes())
    assert len(set(contents)) == 1


def test_missing_double_and_foreign_parts_are_refused(write_raster, tmp_path, monkeypatch):
    monkeypatch.setattr(cells, "CELL_PX", 3)
    path = write_raster("map.tif", np.asarray(WIND, np.uint8))
    folders = {}
    for name, options in (
        ("one", {"part": (1, 2)}),
        ("two", {"part": (2, 2)}),
        ("again", {"part": (2, 2)}),
        ("other", {"part": (2, 2), "smooth": True}),
    ):
        folders[name] = tmp_path / name
        vectorize(path, LEGEND, folders[name], VectorizeOptions(**options))
    output = tmp_path / "a.gpkg"

    with pytest.raises(InputError, match=r"of 2 parts, \[2\] are missing"):
        join([folders["one"]], output)
    with pytest.raises(InputError, match="part 2 of 2 is there more than once"):
        join([folders[name] for name in ("one", "two", "again")], output)
    with pytest.raises(InputError, match="part of another map"):
        join([folders["one"], folders["other"]], output)
    (folders["two"] / "piece_8.safetensors").write_bytes(b"12")
    with pytest.raises(InputError, match=r"piece_8\.safetensors: is damaged"):
        join([folders["one"], folders["two"]], output)
    (folders["two"] / "piece_8.safetensors").unlink()
    with pytest.raises(InputError, match=r"piece_8\.safetensors is missing"):
        join([folders["one"], folders["two"]], output)
    assert not output.exists()


LAUNCHER = """
import sys
from pathlib import Path
from test_vectorize import LEGEND
from geoseg.vectorize import cells
from geoseg.vectorize.options import VectorizeOptions
from geoseg.vectorize.vectorize import vectorize
cells.CELL_PX = 16
folder = Path(sys.argv[1])
vectorize(folder / "map.tif", LEGEND, folder / "map.gpkg", VectorizeOptions(resume=True, workers=1))
"""


@pytest.mark.skipif(os.name == "nt", reason="kills with a signal")
def test_a_run_that_was_killed_goes_on_to_the_same_bytes(write_raster, tmp_path, monkeypatch):
    monkeypatch.setattr(cells, "CELL_PX", 16)
    draw = np.random.default_rng(1)
    path = write_raster("map.tif", draw.integers(0, 3, (96, 96)).astype(np.uint8))
    whole = tmp_path / "whole" / "map.gpkg"
    whole.parent.mkdir()
    vectorize(path, LEGEND, whole, VectorizeOptions())
    here = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    killed = 0
    for wanted in (3, 20):
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, str(tmp_path)], env=os.environ | {"PYTHONPATH": here}
        )
        while process.poll() is None:
            if len([*tmp_path.glob(".map.gpkg.*.unfinished/*.safetensors")]) >= wanted:
                process.send_signal(signal.SIGKILL)
                killed += 1
                break
            time.sleep(0.001)
        process.wait()
        assert not (tmp_path / "map.gpkg").exists() or not killed
    output = tmp_path / "map.gpkg"
    vectorize(path, LEGEND, output, VectorizeOptions(resume=True))

    assert killed
    assert output.read_bytes() == whole.read_bytes()
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []


def test_what_is_done_is_not_done_again(write_raster, tmp_path):
    path = write_raster("map.tif", np.asarray(WIND, np.uint8))
    output = tmp_path / "map.gpkg"
    first = vectorize(path, LEGEND, output, VectorizeOptions())
    state = output.stat().st_mtime_ns
    again = vectorize(path, LEGEND, output, VectorizeOptions(resume=True))

    assert again == first
    assert output.stat().st_mtime_ns == state


@pytest.mark.parametrize(
    ("values", "options", "error", "message"),
    [
        (np.full((3, 3), 255), {}, EmptyError, "no pixel of the map has data"),
        ([[1, 1]], {"classes": ("road",)}, EmptyError, "no pixel of the map is road"),
        ([[1, 1]], {"classes": ("car",)}, LegendError, "car: is not in the map's legend"),
        ([[1, 1]], {"regularize": ("car",)}, LegendError, "--regularize car: is not in"),
        ([[1, 1]], {"split_touching": "car"}, LegendError, "--split-touching car: is not in"),
        ([[1, 9]], {}, LegendError, "9"),
    ],
)
def test_what_cannot_become_polygons_leaves_nothing(
    polygons_of, tmp_path, values, options, error, message
):
    with pytest.raises(error, match=message):
        polygons_of(values, **options)
    assert [each.name for each in tmp_path.iterdir()] == ["map.tif"]


def test_rasters_that_do_not_fit_are_refused(polygons_of, write_raster):
    elsewhere = rasterio.Affine(0.5, 0, 500_000.2, 0, -0.5, 5_700_000)
    shifted = write_raster("c.tif", np.zeros((7, 7), np.uint8), transform=elsewhere)
    with pytest.raises(GridMismatchError, match="not on the grid of the map"):
        polygons_of(WIND, confidence=shifted)
    with pytest.raises(InputError, match="is no confidence"):
        polygons_of(WIND, confidence=write_raster("d.tif", np.zeros((2, 7, 7), np.uint8)))
    with pytest.raises(RasterError):
        polygons_of(WIND, scores=write_raster("e.tif", np.full((4, 7, 7), 7, np.float32)))
