import numpy as np
import pytest

from geoseg.patches.record import Patch, PatchTable
from geoseg.raster.window import Window


def patch(row_off, split, *, source=0):
    window = Window(row_off=row_off, col_off=7, height=4, width=4)
    return Patch(
        source=source, window=window, split=split, valid_share=0.75, class_shares=(0.5, 0.1)
    )


PATCHES = [patch(0, "train"), patch(3, "val", source=1), patch(6, "train"), patch(9, "test")]


@pytest.fixture
def table():
    return PatchTable.of(PATCHES, size=4)


def test_patches_come_out_as_they_went_in(table):
    assert list(table) == PATCHES
    assert table[-1] == PATCHES[-1]
    assert (len(table), PATCHES[2] in table, table.index(PATCHES[2])) == (4, True, 2)


def test_a_table_is_equal_to_what_holds_the_same(table):
    assert table == PATCHES == table
    assert table == PatchTable.of(table, size=4)
    assert table != PATCHES[:3]
    assert table != [*PATCHES[:3], patch(10, "test")]
    assert table != 4


def test_parts_are_tables(table):
    assert table[1:] == PATCHES[1:]
    assert table[np.array([2, 0])] == [PATCHES[2], PATCHES[0]]
    assert table.in_split("train") == [PATCHES[0], PATCHES[2]]
    assert isinstance(table[:2], PatchTable)


def test_there_is_no_patch_beyond_the_last(table):
    with pytest.raises(IndexError):
        table[4]


def test_a_table_may_be_empty():
    empty = PatchTable.of([], size=4)

    assert (len(empty), list(empty), bool(empty), empty.in_split("val")) == (0, [], False, [])


def test_a_patch_takes_no_object_of_its_own():
    many = PatchTable.of(PATCHES * 1000, size=4)

    arrays = [value for value in vars(many).values() if isinstance(value, np.ndarray)]
    assert sum(array.nbytes for array in arrays) / len(many) < 50
