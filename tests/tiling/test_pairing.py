from pathlib import Path

import pytest

from geoseg.errors import InputError
from geoseg.tiling import pair_by_name, pair_by_order, pairs_from_csv


def paths(*names):
    return [Path(name) for name in names]


def references(sources):
    return [str(source.reference) for source in sources]


def test_the_first_reference_belongs_to_the_first_orthophoto():
    sources = pair_by_order(paths("o/a.tif", "o/b.tif"), paths("r/2.tif", "r/1.tif"))

    assert [source.name for source in sources] == ["a", "b"]
    assert references(sources) == ["r/2.tif", "r/1.tif"]


def test_one_reference_may_serve_all():
    assert references(pair_by_order(paths("a.tif", "b.tif"), paths("r.gpkg"))) == ["r.gpkg"] * 2


@pytest.mark.parametrize("count", [0, 2, 4])
def test_different_numbers_are_refused_with_the_way_out(count):
    with pytest.raises(InputError, match=rf"3 orthophotos and {count} references.*--pair name"):
        pair_by_order(paths("a.tif", "b.tif", "c.tif"), paths("r.tif") * count)


@pytest.mark.parametrize(
    "reference", ["r/a.tif", "r/a.png", "r/a_mask.tif", "r/label_a.gpkg", "r/mask-a.tif"]
)
def test_a_reference_is_found_by_the_orthophotos_name(reference):
    sources = pair_by_name(paths("o/b.tif", "o/a.tif"), paths("r/b.tif", reference))

    assert references(sources) == ["r/b.tif", reference]


def test_the_whole_name_goes_before_a_part_of_it():
    found = pair_by_name(paths("o/a.tif", "o/a_1.tif"), paths("r/a_1.tif", "r/a.tif"))

    assert references(found) == ["r/a.tif", "r/a_1.tif"]


def test_names_that_only_share_digits_are_not_mixed_up():
    orthos = paths("o/tile_1.tif", "o/tile_10.tif", "o/tile_11.tif")
    truths = paths("r/tile_1_mask.tif", "r/tile_10_mask.tif", "r/tile_11_mask.tif")

    assert references(pair_by_name(orthos, truths)) == [str(path) for path in truths]


def test_of_the_same_names_the_one_in_the_kindred_folder_is_taken():
    orthos = paths("north/o/1.tif", "south/o/1.tif")
    truths = paths("south/r/1.tif", "north/r/1.tif")

    assert references(pair_by_name(orthos, truths)) == ["north/r/1.tif", "south/r/1.tif"]


@pytest.mark.parametrize(
    ("truths", "reason"),
    [(["r/b.tif"], "no reference bears its name"), (["r/a_1.tif", "r/a_2.tif"], "several")],
)
def test_none_or_several_that_fit_are_refused(truths, reason):
    with pytest.raises(InputError, match=rf"o/a\.tif: {reason}"):
        pair_by_name(paths("o/a.tif"), paths(*truths))


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


@pytest.mark.parametrize("row", ["a.tif,\n", ",b.tif\n", "a.tif\n"])
def test_a_row_with_an_empty_cell_is_refused(write_table, row):
    with pytest.raises(InputError):
        pairs_from_csv(write_table(f"ortho,reference\n{row}"))


def test_a_missing_table_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        pairs_from_csv(tmp_path / "pairs.csv")
