import json
from dataclasses import dataclass
from typing import Literal

import pytest

from geoseg.errors import InputError
from geoseg.raster.records import check_types, read_record, understanding


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "7", '"x"', "[" * 200_000, '{"a":' * 5000, "\0", "\ufeff{}"]
)
def test_a_file_that_holds_no_table_is_damaged(text, tmp_path):
    path = tmp_path / "record.json"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(InputError, match=r"record.json: is damaged: ."):
        read_record(path)


def test_tables_are_nested_as_deeply_as_anybody_can_read(tmp_path):
    path = tmp_path / "record.json"
    deep = {"a": 1}
    for _ in range(50):
        deep = {"a": [deep]}
    path.write_text(json.dumps(deep))
    with pytest.raises(InputError, match="too deeply"):
        read_record(path)

    path.write_text(json.dumps(deep["a"][0]["a"][0]))
    assert read_record(path) == deep["a"][0]["a"][0]


@pytest.mark.parametrize(
    "use",
    [
        lambda r: r["b"],
        lambda r: r["a"].x,
        lambda r: f"{r['a']:d}",
        lambda r: len(r) / 0,
        lambda r: r + 1,
    ],
)
def test_what_cannot_be_understood_is_damage(use, tmp_path):
    path = tmp_path / "record.json"

    with pytest.raises(InputError, match=r"record.json: is damaged: "), understanding(path):
        use({"a": "text"})


def test_types_are_those_that_are_annotated():
    @dataclass
    class Part:
        number: int = 1
        share: float | None = None
        kind: Literal["a", "b"] = "a"
        names: tuple[str, ...] = ("x",)

    check_types(Part())
    check_types(Part(number=2, share=1, kind="b", names=()))
    for wrong in ({"number": True}, {"number": 1.0}, {"share": "1"}, {"kind": "c"}, {"kind": []},
                  {"names": ["x"]}, {"names": (1,)}):  # fmt: skip
        with pytest.raises(TypeError, match=f"{next(iter(wrong))} is "):
            check_types(Part(**wrong))
