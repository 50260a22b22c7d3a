from pathlib import Path

import pytest

from geoseg.errors import InputError
from geoseg.labels.legend import Legend
from geoseg.patches.record import TileOptions
from geoseg.patches.tile import pair_by_name, pair_by_order, pairs_from_csv, plan, tile
from geoseg.raster.paths import parse_name


def paths(*names):
    return [Path(name) for name in names]


def references(sources):
    return [str(source.reference) for source in sources]


def test_the_first_reference_belongs_to_the_first_orthophoto():
    sources = pair_by_order(paths("o/a.tif", "o/b.tif"), paths("r/2.tif", "r/1.tif"))

    assert [source.name for source in sources] == ["a", "b"]
    assert references(sources) == ["r/2.tif", "r/1.tif"]


def test_references_go_by_name_on_request():
    sources = pair_by_name(paths("x/a.tif", "y/a.tif"), paths("y/a.gpkg", "x/a.gpkg"))

    assert [source.name for source in sources] == ["x_a", "y_a"]
    assert references(sources) == ["x/a.gpkg", "y/a.gpkg"]


@pytest.fixture
def write_table(tmp_path):
    def write(text, encoding="utf-8"):
        path = tmp_path / "pairs.csv"
        path.write_text(text, encoding=encoding)
        return path

    return write


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_table_gives_pairs_and_their_split(write_table, encoding):
    path = write_table("ortho,reference,split\na.tif,ö/a.tif,train\nb.tif, b.gpkg ,\n", encoding)

    one, two = pairs_from_csv(path)

    assert (one.ortho, one.reference) == (path.parent / "a.tif", path.parent / "ö/a.tif")
    assert (two.reference, one.split, two.split) == (path.parent / "b.gpkg", "train", None)


def test_a_table_of_another_encoding_is_refused_with_the_way_out(write_table):
    with pytest.raises(InputError, match=r"is not UTF-8; .*Excel"):
        pairs_from_csv(write_table("ortho,reference\nStraße.tif,b.tif\n", "cp1252"))


def test_the_split_may_be_left_out(write_table):
    [one] = pairs_from_csv(write_table("reference,ortho\n/r/a.tif,/o/a.tif\n"))

    assert (one.ortho, one.reference, one.split) == (Path("/o/a.tif"), Path("/r/a.tif"), None)


@pytest.mark.parametrize("text", ["", "ortho,reference\n", "ortho,mask\na.tif,b.tif\n"])
def test_a_table_without_pairs_is_refused(write_table, text):
    with pytest.raises(InputError, match="needs a heading with ortho,reference"):
        pairs_from_csv(write_table(text))


def test_another_split_is_refused(write_table):
    with pytest.raises(InputError, match=r"train, val or test, not \['valid'\]"):
        pairs_from_csv(write_table("ortho,reference,split\na,b,train\nc,d,valid\n"))


def test_a_missing_table_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        pairs_from_csv(tmp_path / "pairs.csv")


def test_urls_are_paired_like_files(write_table):
    orthos = [parse_name(name) for name in ("s3://b/x/a.tif", "https://h/y/a.tif?sig=1")]
    truths = [parse_name(name) for name in ("https://h/y/a_mask.tif", "s3://b/x/a_mask.tif")]

    assert references(pair_by_name(orthos, truths)) == [str(truths[1]), str(truths[0])]
    [one] = pairs_from_csv(write_table("ortho,reference\ns3://b//a.tif,a.gpkg\n"))
    assert str(one.ortho) == "s3://b//a.tif"


@pytest.mark.parametrize("url", ["https://host/a.tif?sig=x", "https://me:pw@host/a.tif"])
def test_an_index_of_signed_urls_is_refused(tmp_path, url):
    options = TileOptions(storage="index")
    legend = Legend.from_dict(
        {"name": "n", "class": [{"name": "a", "value": 1, "color": "#ff0000"}]}
    )
    sources = pair_by_order([parse_name(url)], paths("a.tif"))

    for run in (
        lambda: plan(sources, legend, options),
        lambda: tile(sources, legend, tmp_path / "set", options=options),
    ):
        with pytest.raises(InputError, match=r"REDACTED.*: is signed, and an index keeps no sign"):
            run()
