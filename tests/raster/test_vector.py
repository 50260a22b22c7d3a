import json
import sqlite3
import warnings
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.features import rasterize

from geoseg.errors import EmptyError, GeosegError, GeosegWarning, VectorError
from geoseg.labels.legend import IGNORE
from geoseg.raster.facts import vector_facts
from geoseg.raster.grid import Grid
from geoseg.raster.polygons import AreaOfInterest, BurntPolygons
from geoseg.raster.vector import is_vector, read_layer, read_polygons
from geoseg.raster.window import Window, sliding_windows

UTM = CRS.from_epsg(32632)
NORTH_UP = Affine(1, 0, 500_000, 0, -1, 5_700_000)


def grid(height=6, width=8, transform=NORTH_UP, crs=UTM):
    return Grid(crs, transform, height, width)


def box(row_off, col_off, height, width, transform=NORTH_UP):
    """The ground of some pixels."""
    corners = [(0, 0), (width, 0), (width, height), (0, height)]
    return shapely.Polygon([transform @ (col_off + c, row_off + r) for c, r in corners])


def burn(shapes, indices, on=None, background=0, crs="EPSG:32632"):
    polygons = gpd.GeoSeries(shapes, crs=crs)
    return BurntPolygons(polygons, np.array(indices, np.uint8), on or grid(), background=background)


@pytest.mark.parametrize(
    ("name", "vector"), [("a.gpkg", True), ("a.GeoJSON", True), ("a.shp", True), ("a.tif", False)]
)
def test_polygons_are_known_by_their_suffix(tmp_path, name, vector):
    assert is_vector(tmp_path / name) is vector


@pytest.mark.parametrize("name", ["a.gpkg", "a.geojson", "a.shp", "a.fgb", "a.parquet"])
def test_polygons_come_with_their_attribute(write_polygons, name):
    path = write_polygons(name, [box(0, 0, 1, 1), box(2, 2, 1, 1)], kind=["roof", "tree"])

    polygons = read_polygons(path, attribute="kind")

    assert sorted(polygons.attributes) == ["roof", "tree"]
    assert polygons.geometries.crs == UTM.to_wkt()
    assert len(read_polygons(path).attributes) == 2


def test_rows_without_a_geometry_are_passed_over(write_polygons):
    path = write_polygons("a.gpkg", [None, box(0, 0, 1, 1), shapely.Polygon()], kind=[1, 2, 3])

    with pytest.warns(GeosegWarning, match="2 rows have no geometry .* feature 1"):
        assert read_polygons(path, attribute="kind").attributes == [2]


def test_a_missing_column_is_refused_with_the_columns(write_polygons):
    path = write_polygons("a.gpkg", [box(0, 0, 1, 1)], kind=["roof"], year=[1999])

    with pytest.raises(VectorError, match=r"no column 'class'; its columns are kind, year"):
        read_polygons(path, attribute="class")


def test_of_several_layers_one_must_be_named(write_polygons):
    path = write_polygons("a.gpkg", [box(0, 0, 1, 1)], layer="roofs")
    write_polygons("a.gpkg", [box(0, 0, 1, 1)] * 3, layer="trees")

    assert len(read_polygons(path, layer="trees").geometries) == 3
    with pytest.raises(VectorError, match=r"several layers.*'roofs', 'trees'"):
        read_polygons(path)
    with pytest.raises(VectorError, match="no layer 'cars'"):
        read_polygons(path, layer="cars")


def test_points_are_refused_with_their_number(write_polygons):
    path = write_polygons("a.gpkg", [box(0, 0, 1, 1), shapely.Point(1, 2)])

    with pytest.raises(VectorError, match=r"needs polygons, but 1 rows are \['Point'\]"):
        read_polygons(path)


@pytest.mark.parametrize("content", [None, b"", b"no polygons"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "a.gpkg").write_bytes(content)

    with pytest.raises(VectorError, match=r"a\.gpkg: (no such file|cannot be read)"):
        read_polygons(tmp_path / "a.gpkg")


def test_a_pixel_belongs_to_the_polygon_that_covers_its_centre():
    burnt = burn([box(0.6, 0.4, 2, 2)], [7], grid(4, 4))

    assert burnt.read(grid(4, 4).window).tolist() == [
        [0, 0, 0, 0],
        [7, 7, 0, 0],
        [7, 7, 0, 0],
        [0, 0, 0, 0],
    ]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_of_overlapping_polygons_the_later_class_lies_on_top(order):
    shapes = [box(0, 0, 1, 4), box(0, 1, 1, 3), box(0, 3, 1, 1)]
    indices = [1, 2, IGNORE]

    burnt = burn([shapes[i] for i in order], [indices[i] for i in order], grid(1, 5))

    assert burnt.read(grid(1, 5).window).tolist() == [[1, 2, 2, IGNORE, 0]]


@pytest.mark.parametrize("transform", [NORTH_UP, NORTH_UP @ Affine.rotation(20)])
@pytest.mark.parametrize(("size", "stride"), [(7, 5), (16, 16), (64, 64)])
def test_windows_together_agree_with_rasterio(transform, size, stride):
    rng = np.random.default_rng(0)
    on = grid(40, 50, transform)
    centres = [transform @ (col, row) for row, col in rng.uniform(-5, 55, (25, 2))]
    shapes = [shapely.Point(xy).buffer(rng.uniform(1, 9)) for xy in centres]
    indices = rng.integers(1, 4, 25)
    ordered = sorted(zip(indices.tolist(), range(25), strict=True))
    expected = rasterize(
        [(shapes[number], index) for index, number in ordered],
        out_shape=(40, 50),
        transform=transform,
        fill=IGNORE,
        dtype="uint8",
    )
    burnt = burn(shapes, indices, on, background=IGNORE)

    found = np.zeros((40, 50), np.uint8)
    for window in sliding_windows(40, 50, size=size, stride=stride):
        inside = window.clip(40, 50)
        found[inside.slices] = burnt.read(inside)

    assert (found == expected).all()


def test_polygons_in_another_crs_are_brought_to_the_rasters():
    ground = gpd.GeoSeries([box(2, 3, 3, 4)], crs="EPSG:32632").to_crs("EPSG:4326")

    burnt = burn(list(ground), [1], crs="EPSG:4326").read(grid().window)

    expected = np.zeros((6, 8))
    expected[2:5, 3:7] = 1
    assert (burnt == expected).all()


@pytest.mark.parametrize(("polygons", "raster"), [(None, UTM), ("EPSG:32632", None), (None, None)])
def test_without_a_crs_coordinates_are_taken_as_they_are(polygons, raster):
    burnt = burn([box(0, 0, 6, 8)], [1], grid(crs=raster), crs=polygons)

    assert (burnt.read(grid().window) == 1).all()


def test_a_window_without_polygons_is_background():
    burnt = burn([box(0, 0, 1, 1)], [1], background=IGNORE)

    assert (burnt.read(Window(row_off=3, col_off=3, height=2, width=3)) == IGNORE).all()


@pytest.mark.parametrize(("row_off", "touches"), [(5, True), (60, False)])
def test_it_is_known_whether_any_polygon_lies_on_the_raster(row_off, touches):
    assert burn([box(row_off, 0, 2, 2)], [1]).touches_grid is touches


def test_no_polygon_touches_nothing():
    assert not burn([], []).touches_grid


def test_an_area_is_true_inside(write_polygons):
    path = write_polygons("aoi.geojson", [box(1, 1, 2, 2), box(2, 2, 2, 2)])

    area = AreaOfInterest.open(path, grid(4, 5))

    assert area.read(grid(4, 5).window).astype(int).tolist() == [
        [0, 0, 0, 0, 0],
        [0, 1, 1, 0, 0],
        [0, 1, 1, 1, 0],
        [0, 0, 1, 1, 0],
    ]


def test_an_area_elsewhere_is_refused(write_polygons):
    path = write_polygons("aoi.gpkg", [box(100, 100, 2, 2)])

    with pytest.raises(EmptyError, match=r"aoi\.gpkg: no polygon of the area lies on the raster"):
        AreaOfInterest.open(path, grid())


HOUSE = [[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]
AT_FEATURE_2 = [
    (HOUSE[:-1], "a ring is not closed"),
    (HOUSE[:2], "a ring is not closed"),
    (HOUSE[:1], "must contain 0 or >1"),
    ([[float("nan")] * 2] * 4, "its coordinates are not numbers"),
    ([*HOUSE[:2], [float("nan"), 4], *HOUSE[3:]], "not finite"),
    ([*HOUSE[:2], [float("inf"), 4], *HOUSE[3:]], "not finite"),
    ([*HOUSE[:2], [1e300, 4], *HOUSE[3:]], "far too large"),
]


@pytest.fixture
def write_geojson(tmp_path):
    """A function that writes a house, and a geometry after it, as no library would."""

    def write(geometry):
        geometries = [{"type": "Polygon", "coordinates": [HOUSE]}, geometry]
        features = [{"type": "Feature", "properties": {}, "geometry": each} for each in geometries]
        path = tmp_path / "odd.geojson"
        path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
        return path

    return write


@pytest.mark.parametrize(("ring", "reason"), AT_FEATURE_2)
def test_a_ring_that_is_none_is_refused_by_its_number(ring, reason, write_geojson):
    path = write_geojson({"type": "Polygon", "coordinates": [ring]})

    with pytest.raises(VectorError, match=rf"odd.geojson: feature 2 .*{reason}"):
        read_polygons(path)


@pytest.mark.parametrize(
    ("coordinates", "area"),
    [
        ([[[0, 0], [4, 4], [4, 0], [0, 4], [0, 0]]], 8),  # a bow-tie
        ([HOUSE, [[2, 2], [6, 2], [6, 6], [2, 6], [2, 2]]], 24),  # a hole that reaches outside
    ],
)
def test_rings_that_cross_are_repaired_and_counted(coordinates, area, write_geojson):
    path = write_geojson({"type": "Polygon", "coordinates": coordinates})

    with pytest.warns(GeosegWarning, match="rings of 1 polygons crossed .* feature 2"):
        repaired = read_polygons(path).geometries

    assert repaired.is_valid.all()
    assert shapely.area(repaired.values).tolist() == [16, area]


def test_a_collection_of_polygons_is_polygons(write_geojson):
    house = {"type": "Polygon", "coordinates": [HOUSE]}
    point = {"type": "Point", "coordinates": [0, 0]}

    whole = read_polygons(write_geojson({"type": "GeometryCollection", "geometries": [house]}))
    assert whole.geometries.geom_type.tolist() == ["Polygon", "MultiPolygon"]
    with pytest.raises(VectorError, match="first of them feature 2"):
        read_polygons(write_geojson({"type": "GeometryCollection", "geometries": [house, point]}))


SQUARE = "((0 0, 4 0, 4 4, 0 4, 0 0))"
CIRCLE = "CURVEPOLYGON (CIRCULARSTRING (0 2, 2 4, 4 2, 2 0, 0 2))"
FACES = "((0 0 0, 4 0 0, 4 4 0, 0 0 0)), ((0 0 9, 4 4 9, 0 4 9, 0 0 9))"
WALL = "((0 0 0, 0 0 9, 4 4 9, 4 4 0, 0 0 0))"


@pytest.fixture
def write_wkt(tmp_path):
    """A function that writes a square and a geometry after it, of any kind."""

    def write(wkt):
        path = tmp_path / "any.csv"
        path.write_text(f'kind,WKT\na,"POLYGON {SQUARE}"\nb,"{wkt}"\n')
        return path

    return write


@pytest.mark.parametrize(
    ("wkt", "area"),
    [
        ("POLYGON M ((0 0 7, 4 0 7, 4 4 7, 0 4 7, 0 0 7))", 16),
        ("MULTIPOLYGON ZM (((0 0 5 7, 4 0 5 7, 4 4 5 7, 0 4 5 7, 0 0 5 7)))", 16),
        (CIRCLE, pytest.approx(4 * np.pi, rel=1e-3)),
        (f"MULTISURFACE ({CIRCLE}, ((10 10, 14 10, 14 14, 10 14, 10 10)))",
         pytest.approx(16 + 4 * np.pi, rel=1e-3)),
        (f"TIN Z ({FACES})", 16),
        (f"POLYHEDRALSURFACE Z ({FACES}, {WALL})", 16),
        (f"POLYHEDRALSURFACE Z ({FACES}, {FACES})", 16),
        ("TRIANGLE ((0 0, 4 0, 4 4, 0 0))", 8),
        (f"GEOMETRYCOLLECTION (GEOMETRYCOLLECTION (MULTIPOLYGON ({SQUARE})))", 16),
        (f"GEOMETRYCOLLECTION (POLYGON {SQUARE}, POLYGON ((2 0, 6 0, 6 4, 2 4, 2 0)))", 24),
    ],
)  # fmt: skip
def test_all_that_covers_ground_is_polygons(wkt, area, write_wkt):
    polygons = read_polygons(write_wkt(wkt), attribute="kind")

    assert polygons.attributes == ["a", "b"]
    assert polygons.geometries.area.tolist() == [16, area]
    assert not polygons.geometries.has_z.any()


@pytest.mark.parametrize(
    ("wkt", "reason"),
    [
        (f"GEOMETRYCOLLECTION ({CIRCLE})", "feature 2 is a collection with curves; make lines"),
        ("CIRCULARSTRING (0 2, 2 4, 4 2)", r"1 rows are \['LineString'\].* feature 2"),
        ("POINT ZM (1 2 3 4)", r"1 rows are \['Point'\].* feature 2"),
    ],
)
def test_what_covers_no_ground_is_refused_by_its_number(wkt, reason, write_wkt):
    with pytest.raises(VectorError, match=rf"any.csv: .*{reason}"):
        read_polygons(write_wkt(wkt))


@pytest.mark.parametrize(
    ("suffix", "content", "reason"),
    [
        (".shx", None, "a.shx, which belongs to it, is missing or damaged"),
        (".prj", b'PROJCS["mine",GEOGCS["WGS 84",', "its CRS is damaged; set it in a GIS"),
        (".cpg", b"UTF-8", "its text is not UTF-8; name its encoding in a .cpg file"),
    ],
)
def test_a_shapefile_with_a_damaged_part_is_refused_on_one_line(
    suffix, content, reason, write_polygons
):
    path = write_polygons("a.shp", [box(0, 0, 1, 1)] * 2, kind=["road", "roof"])
    table = path.with_suffix(".dbf")
    table.write_bytes(table.read_bytes().replace(b"road", b"r\xf6ad"))
    if content is None:
        path.with_suffix(suffix).unlink()
    else:
        path.with_suffix(suffix).write_bytes(content)

    with pytest.raises(VectorError, match=rf"^[^\n]*a\.shp: [^\n]*{reason}[^\n]*$"):
        read_polygons(path)


@pytest.mark.parametrize("name", ["a.gpkg", "a.fgb", "a.geojson", "a.shp", "a.parquet"])
def test_a_damaged_file_is_read_or_refused_on_one_line(name, write_polygons, capfd):
    path = write_polygons(name, [box(0, 0, 1, 1), box(2, 2, 1, 1)], kind=["roof", "tree"])
    whole = path.read_bytes()
    damaged = [whole[: len(whole) * part // 8] for part in range(8)]
    damaged += [
        whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]
        for place in np.linspace(0, len(whole) - 1, 12).astype(int).tolist()
    ]
    refusals = []

    for content in damaged:
        path.write_bytes(content)
        for read in (read_polygons, vector_facts):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                warnings.simplefilter("ignore", GeosegWarning)
                try:
                    read(path)
                except GeosegError as error:
                    refusals.append(str(error))
    assert refusals
    assert all(each.startswith(str(path)) and "\n" not in each for each in refusals)
    assert capfd.readouterr() == ("", "")


def test_all_rows_of_a_geopackage_are_read_whatever_it_says_of_their_number(write_polygons):
    path = write_polygons("a.gpkg", [box(0, 0, 1, 1)] * 3, kind=["roof", "tree", "tree"])
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE gpkg_ogr_contents SET feature_count = 1")

    assert len(read_polygons(path).geometries) == 3
    assert vector_facts(path)[0].features == 3


@pytest.mark.parametrize("crs", ["IAU_2015:30100", 'LOCAL_CS["site",UNIT["metre",1]]'])
def test_a_crs_that_does_not_lead_to_the_rasters_is_refused_with_the_file(
    crs, write_polygons, capfd
):
    path = write_polygons("moon.gpkg", [box(0, 0, 1, 1)], crs=crs)

    with pytest.raises(
        VectorError, match=r"moon\.gpkg: there is no transformation from the CRS of the polygons"
    ):
        AreaOfInterest.open(path, grid())
    assert capfd.readouterr() == ("", "")


def test_a_surface_without_columns_is_read(tmp_path):
    (tmp_path / "bare.csv").write_text('WKT\n"TRIANGLE ((0 0, 4 0, 4 4, 0 0))"\n')

    assert read_layer(tmp_path / "bare.csv").geometry.area.tolist() == [8]


@pytest.mark.parametrize("name", ["z.gpkg", "z.parquet"])
def test_heights_are_left_out(write_polygons, name):
    path = write_polygons(name, [shapely.Polygon([(0, 0, 5), (4, 0, 5), (4, 4, 5)])])

    assert not read_polygons(path).geometries.has_z.any()


def test_the_whole_world_covers_a_raster_whose_crs_does_not_reach_that_far():
    place = grid()
    world = gpd.GeoSeries([shapely.box(-180, -90, 180, 90)], crs="EPSG:4326")

    assert AreaOfInterest(world, place).read(place.window).all()


def test_nobody_is_asked_for_a_crs(tmp_path):
    asked = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Server) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        crs = {"type": "link", "properties": {"href": f"http://127.0.0.1:{server.server_port}/"}}
        feature = {"geometry": {"type": "Polygon", "coordinates": [HOUSE]}, "properties": {}}
        collection = {"type": "FeatureCollection", "crs": crs, "features": [
            {"type": "Feature", **feature}]}  # fmt: skip
        path = tmp_path / "x.geojson"
        path.write_text(json.dumps(collection))
        read_polygons(path)
        server.shutdown()

    assert asked == []


@pytest.mark.parametrize("name", [".", ".."])
def test_a_folder_is_no_file_of_polygons(tmp_path, monkeypatch, name):
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")

    with pytest.raises(VectorError, match="it is a folder, not a file of polygons"):
        read_polygons(Path(name))


def test_a_raster_holds_no_polygons(write_raster):
    path = write_raster("a.tif", np.zeros((2, 2), np.uint8))

    with pytest.raises(VectorError, match=r"a\.tif: cannot be read: \.tif files hold no polygons"):
        read_polygons(path)


def test_a_geopackage_whose_schema_is_no_text_is_damaged(tmp_path):
    path = tmp_path / "a.gpkg"
    with closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE gpkg_contents (data_type TEXT)")
        file.commit()
    content = path.read_bytes().replace(b"gpkg_contents", b"gpkg_c\xebntents")
    path.write_bytes(content.replace(b"CREATE TABLE", b"CREATE TABXE"))

    assert is_vector(path)
    with pytest.raises(GeosegError, match=r"a\.gpkg: "):
        read_polygons(path)
