"""Polygons that say themselves of which class they are, and those that do not."""

import json
import sqlite3
from contextlib import closing

import geopandas as gpd
import numpy as np
import pyogrio
import pytest

from geoseg.errors import LegendError, UnknownCodeError, VectorError
from geoseg.labels.legend import IGNORE, Legend
from geoseg.labels.legend_files import find_legend, load_legend
from geoseg.labels.legend_map import Correspondence, merge_legends
from geoseg.labels.polygon_classes import PolygonClasses
from geoseg.labels.reference import References, open_reference
from geoseg.labels.tags import carried_legend, read_tags
from geoseg.raster.reader import RasterReader
from geoseg.raster.records import PROVENANCE
from geoseg.raster.vector import FIXED_DATE, gdal_options, read_layer
from geoseg.vectorize.options import VectorizeOptions
from geoseg.vectorize.vectorize import vectorize

U = IGNORE
LEGEND = Legend.from_dict(
    {
        "name": "town",
        "background": "other",
        "class": [
            {"value": 4, "name": "other", "values": [1]},
            {"value": 1, "name": "roof", "values": [4], "attributes": ["house"]},
            {"value": 7, "name": "road"},
        ],
    }
)
"""Map values that are source values of other classes: mixing them up shows."""

MAP = [[4, 4, 1, 1], [4, 7, 7, 1], [255, 7, 4, 4]]
INDICES = [[0, 0, 1, 1], [0, 2, 2, 1], [U, 2, 0, 0]]


@pytest.fixture
def town(write_raster):
    """The map, whose values are those of geoseg's class maps."""
    return write_raster("town.tif", np.array(MAP, np.uint8), nodata=255)


@pytest.fixture
def polygons(town, tmp_path):
    """A function that writes the map's polygons."""

    def write(name="town.gpkg", legend=LEGEND, **options):
        options.setdefault("simplify", None)
        vectorize(town, legend.of_maps(), tmp_path / name, VectorizeOptions(**options))
        return tmp_path / name

    return write


def update(path, *changes):
    """Change cells, as a user does in QGIS."""
    with closing(sqlite3.connect(path)) as file, file:
        triggers = file.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for (name,) in triggers:  # they need GDAL's functions
            file.execute(f'DROP TRIGGER "{name}"')
        for each in changes:
            file.execute(f"UPDATE town SET {each}")  # noqa: S608


def read(path, on, legend=LEGEND):
    with RasterReader(on) as reader:
        grid = reader.grid
    return open_reference(path, legend=legend, grid=grid).read(grid.window).tolist()


@pytest.mark.parametrize("name", ["a.gpkg", "a.fgb", "a.geojson", "a.parquet"])
def test_polygons_of_geoseg_give_the_map_back_with_the_legend_that_they_carry(polygons, town, name):
    path = polygons(name)

    assert read(path, town, carried_legend(path)) == INDICES
    assert read(path, town) == INDICES


def test_a_legend_of_the_same_names_and_other_values_reads_the_names(polygons, town):
    other = Legend.from_dict(
        {"class": [{"value": 1, "name": "road"}, {"value": 4, "name": "roof"}, {"name": "other"}]}
    )

    table = {0: 2, 1: 1, 2: 0, U: U}
    expected = [[table[index] for index in row] for row in INDICES]
    assert read(polygons(), town, other) == expected


def test_a_corrected_class_counts_in_any_legend_and_new_ones_are_the_others(polygons, town):
    path = polygons()
    update(path, "class = 7 WHERE name = 'roof'", "class = 9 WHERE name = 'road'")
    named = {"other": 1, "roof": 2, "road": 3, "solar": 9}
    classes = [{"name": name, "value": value} for name, value in named.items()]
    own, more = Legend.from_dict(LEGEND.to_dict()), Legend.from_dict({"class": classes})

    assert read(path, town, more) == [[0, 0, 2, 2], [0, 3, 3, 2], [U, 3, 0, 0]]
    (note,) = PolygonClasses(path, more).notes
    assert note.endswith(
        "2 of 4 polygons have another class in column 'class', which counts, than in 'name'"
    )
    with pytest.raises(UnknownCodeError, match="9"):
        PolygonClasses(path, own)


def test_a_polygon_without_a_name_has_no_other_class(polygons):
    path = polygons()
    update(path, "name = NULL WHERE class = 1", "name = ' ' WHERE class = 7")

    assert not any("another class" in note for note in PolygonClasses(path, LEGEND).notes)


def test_a_name_without_a_class_is_refused(polygons, town):
    with pytest.raises(UnknownCodeError, match=r"column 'class': .*'road' \(1x\)"):
        read(polygons(), town, load_legend("binary:roof"))


@pytest.mark.parametrize(
    ("legend", "classes", "gaps"),
    [
        (LEGEND, (), U),  # the rest is without data
        (LEGEND, ("roof", "road"), 0),
        (LEGEND, ("roof",), U),  # roads were left out
        (load_legend("binary:roof"), ("roof",), 0),  # and here roads are other
        (Legend.from_dict(LEGEND.to_dict() | {"background": None}), ("roof", "road"), U),
    ],
)
def test_ground_without_a_polygon_is_background_only_if_all_else_was_written(
    polygons, town, legend, classes, gaps
):
    path = polygons(classes=classes)
    left_out = {0} if "road" in classes else {0, 2}

    found = np.array(read(path, town, legend))

    expected = np.array(INDICES)
    gap = (expected == U) | (np.isin(expected, list(left_out)) if classes else False)
    assert (found[gap] == gaps).all()
    assert (found[~gap] == expected[~gap]).all()


def test_what_becomes_of_classes_that_were_left_out_is_said(polygons):
    [unknown] = PolygonClasses(polygons(classes=("roof",)), LEGEND).notes
    assert "holds polygons of 'roof' alone: ground without a polygon is unknown" in unknown
    [other] = PolygonClasses(polygons("b.gpkg", classes=("roof", "road")), LEGEND).notes
    assert "ground without a polygon is 'other', also where the map had no data" in other
    assert PolygonClasses(polygons("c.gpkg"), LEGEND).notes == []


def test_several_references_do_not_fill_the_gaps_of_polygons_of_geoseg(polygons, town):
    with RasterReader(town) as reader:
        grid = reader.grid
    paths = [polygons(classes=("roof",)), polygons("b.gpkg", classes=("road",))]

    found = References(paths, legend=LEGEND, grid=grid).read(grid.window)

    assert found.tolist() == [[U, U, 1, 1], [U, 2, 2, 1], [U, 2, U, U]]


def test_the_style_of_a_geopackage_is_no_layer(polygons):
    path = polygons()
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("SELECT count(*) FROM layer_styles").fetchone() == (1,)

    assert len(read_layer(path)) == 4
    with pytest.raises(VectorError, match=r"no layer 'layer_styles'; .*: \['town'\]"):
        read_layer(path, "layer_styles")


def test_of_several_layers_of_geoseg_the_first_is_read_which_is_said(polygons, town, tmp_path):
    path, other = polygons(), polygons("b.gpkg")
    roofs = read_layer(other)
    roofs = roofs[roofs["name"] == "roof"].assign(regularised=True)
    with gdal_options(FIXED_DATE):
        pyogrio.write_dataframe(
            roofs, path, layer="town regularised", append=True,
            layer_metadata={PROVENANCE: json.dumps(read_tags(other))},
        )  # fmt: skip

    both = PolygonClasses(path, LEGEND)
    assert sorted(both.indices) == [0, 0, 1, 2]
    assert both.notes == [
        f"{path}: layer 'town' is read; --layer reads ['town regularised']",
    ]
    regular = PolygonClasses(path, LEGEND, layer="town regularised")
    assert regular.indices.tolist() == [1]
    assert "holds polygons of 'roof' alone" in regular.notes[0]


def test_a_value_that_is_no_class_is_refused_with_its_column(polygons, tmp_path):
    path = polygons()
    frame = read_layer(path)
    with closing(sqlite3.connect(path)) as file, file:
        rtree = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        for (name,) in file.execute(rtree).fetchall():
            file.execute(f'DROP TRIGGER "{name}"')
        file.execute("UPDATE town SET class = 9 WHERE name = 'road'")

    assert len(frame) == 4
    with pytest.raises(UnknownCodeError, match=r"town\.gpkg: column 'class': values .*9 \(1x\)"):
        PolygonClasses(path, LEGEND)


def test_a_legend_map_reads_the_names(polygons, town):
    own = Legend.from_dict({"class": [{"name": "sealed"}, {"name": "open"}]})
    rows = [Correspondence("sealed", name) for name in ("roof", "road")]
    classes = [{"value": each.value, "name": each.name} for each in LEGEND.classes]
    theirs = Legend.from_dict({"class": classes})
    merged = merge_legends([*rows, Correspondence("open", "other")], own, theirs)

    table = {0: 1, 1: 0, 2: 0, U: U}
    assert read(polygons(), town, merged) == [[table[i] for i in row] for row in INDICES]


def test_a_map_of_polygons_is_read_with_what_it_has_in_common_with_its_reference(polygons):
    path = polygons(classes=("roof", "road"))
    theirs = Legend.from_dict({"class": [{"name": "house"}, {"name": "rest"}]})
    rows = [("roof", "house"), ("road", "rest"), ("other", "rest")]
    merged = merge_legends([Correspondence(*row) for row in rows], LEGEND, theirs)

    classes = PolygonClasses.of_map(path, merged)

    assert sorted(classes.indices.tolist()) == [0, 1]
    assert merged.names[classes.uncovered] == "rest"


def test_a_map_of_another_program_has_the_values_of_maps_or_attributes(write_polygons):
    shapes = gpd.GeoSeries.from_wkt(["POLYGON ((0 0, 1 0, 1 1, 0 0))"] * 4)
    path = write_polygons("a.fgb", list(shapes), DN=["house", "4", "7", None])

    classes = PolygonClasses.of_map(path, LEGEND, attribute="DN")

    assert classes.indices.tolist() == [1, 0, 2, U]
    assert classes.uncovered == 0


def test_scores_are_numbers(write_polygons):
    shapes = gpd.GeoSeries.from_wkt(["POLYGON ((0 0, 1 0, 1 1, 0 0))"] * 2)
    legend = load_legend("binary:roof")
    good = write_polygons("a.gpkg", list(shapes), score=[0.25, None])
    bad = write_polygons("b.gpkg", list(shapes), score=["0.5", "much"])

    def scores(path):
        return PolygonClasses(path, legend).objects_of(1).scores

    assert np.array_equal(scores(good), [0.25, np.nan], equal_nan=True)
    assert scores(write_polygons("c.gpkg", list(shapes))) is None
    with pytest.raises(VectorError, match=r"b\.gpkg: column 'score' holds no numbers: .*much"):
        scores(bad)


def test_references_of_one_legend_share_it(polygons, write_polygons):
    one, other = polygons(), polygons("b.fgb", classes=("roof",))
    stranger = polygons("c.gpkg", Legend.from_dict(LEGEND.to_dict() | {"class": [
        {"value": 1, "name": "house"}, {"value": 4, "name": "tree"}, {"value": 7, "name": "way"}],
        "background": None}))  # fmt: skip

    assert carried_legend(one, other).names == LEGEND.names
    with pytest.raises(LegendError, match=r"c\.gpkg: carries other classes than .*town\.gpkg"):
        carried_legend(one, stranger)


def test_the_legend_command_finds_what_polygons_carry(polygons):
    path = polygons()

    assert find_legend(str(path)).legend == carried_legend(path)
    assert find_legend(str(path), attribute="name").legend.names == ["other", "road", "roof"]
    assert read_tags(path)["kind"] == "polygons"
