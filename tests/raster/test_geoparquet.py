import geopandas as gpd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from geoseg.errors import VectorError
from geoseg.raster.facts import vector_facts
from geoseg.raster.vector import read_layer, read_layer_tag, read_polygons

ROOF, TREE = shapely.box(0, 0, 4, 4), shapely.box(8, 8, 9, 9)


@pytest.fixture
def write(tmp_path):
    """A function that writes roof and tree as GeoParquet; `change` edits the Arrow table."""

    def write(change=lambda table: table, *, crs="EPSG:32632", **how):
        frame = gpd.GeoDataFrame({"kind": ["roof", "tree"]}, geometry=[ROOF, TREE], crs=crs)
        frame.to_parquet(tmp_path / "a.parquet", **how)
        pq.write_table(change(pq.read_table(tmp_path / "a.parquet")), tmp_path / "b.parquet")
        return tmp_path / "b.parquet"

    return write


def geometries(replaced):
    """A change of the stored geometries."""

    def change(table):
        column = table.column_names.index("geometry")
        stored = [replaced(each) for each in table.column("geometry").to_pylist()]
        metadata = table.schema.metadata
        table = table.set_column(column, "geometry", pa.array(stored, pa.binary()))
        return table.replace_schema_metadata(metadata)

    return change


@pytest.mark.parametrize("encoding", ["WKB", "geoarrow"])
def test_a_file_has_one_layer_which_is_called_as_the_file(write, encoding):
    path = write(geometry_encoding=encoding)

    assert read_polygons(path, layer="b", attribute="kind").attributes == ["roof", "tree"]
    with pytest.raises(VectorError, match=r"no layer 'roofs'; .*: \['b'\]"):
        read_polygons(path, layer="roofs")


def test_a_file_that_says_nothing_of_its_crs_is_in_degrees(write):
    def without_crs(table):
        tags = table.schema.metadata
        about = tags[b"geo"].replace(b'"crs": null, ', b"")
        assert about != tags[b"geo"]
        return table.replace_schema_metadata({**tags, b"geo": about})

    assert read_layer(write(crs=None)).crs is None
    assert read_layer(write(without_crs, crs=None)).crs == "OGC:CRS84"


def test_facts_are_those_of_other_formats(write, tmp_path):
    path = write()
    read_layer(path).to_file(tmp_path / "b.fgb")

    [own], [other] = vector_facts(path), vector_facts(tmp_path / "b.fgb")

    for name in ("name", "features", "geometry", "crs", "bounds", "classes"):
        assert getattr(own, name) == getattr(other, name)


def test_a_column_may_be_the_index_of_the_table(tmp_path):
    frame = gpd.GeoDataFrame({"kind": [7, 7]}, geometry=[ROOF, TREE]).set_index("kind")
    frame.to_parquet(tmp_path / "a.parquet")

    assert read_polygons(tmp_path / "a.parquet", attribute="kind").attributes == [7, 7]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda table: table.drop_columns("geometry").replace_schema_metadata(), "plain Parquet"),
        (lambda table: table.replace_schema_metadata({"geo": "7"}), "tag 'geo' is no JSON object"),
        (lambda table: table.replace_schema_metadata({"geo": "{"}), "cannot be read"),
        (lambda table: table.drop_columns("geometry"), "cannot be read"),
        (geometries(lambda each: each[:-8]), "feature 1 and 1 more are broken"),
    ],
)
def test_what_holds_no_geometries_is_refused_on_one_line(write, change, reason):
    path = write(change)

    for read in (read_polygons, vector_facts):
        with pytest.raises(VectorError, match=rf"^[^\n]*b\.parquet: [^\n]*{reason}[^\n]*$"):
            read(path)


def test_a_folder_of_parts_is_refused(tmp_path):
    (tmp_path / "a.parquet").mkdir()

    with pytest.raises(VectorError, match=r"a\.parquet: cannot be read: it is a folder"):
        read_polygons(tmp_path / "a.parquet")


def test_a_file_without_tags_says_nothing(write):
    assert read_layer_tag(write(lambda table: table.replace_schema_metadata()), "GEOSEG") is None
