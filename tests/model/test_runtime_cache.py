import json
import os
import sys
import time

import pytest

from geoseg.model import runtime as cache
from geoseg.model.runtime import CACHE_VARIABLE, cache_folder, cached

FACTS = {"weights": "abc", "size": 32}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


class Writer:
    """Writes a file, and counts how often."""

    def __init__(self):
        self.times = 0

    def __call__(self, folder):
        self.times += 1
        (folder / "model.bin").write_bytes(b"content")


def read(facts, write):
    with cached(facts, write) as folder:
        return (folder / "model.bin").read_bytes()


def test_what_was_made_once_is_not_made_again():
    write = Writer()

    assert [read(FACTS, write) for _ in range(3)] == [b"content"] * 3
    assert write.times == 1


def test_other_facts_are_another_entry():
    write = Writer()

    read(FACTS, write)
    read(FACTS | {"size": 64}, write)

    assert write.times == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: (entry / "model.bin").write_bytes(b"c0ntent"),
        lambda entry: (entry / "model.bin").unlink(),
        lambda entry: (entry / cache.CACHE_RECORD).unlink(),
        lambda entry: (entry / cache.CACHE_RECORD).write_text("{"),
        lambda entry: (entry / cache.CACHE_RECORD).write_text("[]"),
        lambda entry: (entry / cache.CACHE_RECORD).write_text(
            json.dumps({"facts": {"weights": "other"}, "sha256": {}})
        ),
    ],
)
def test_a_damaged_entry_is_made_again(folder, damage):
    write = Writer()
    read(FACTS, write)
    (entry,) = (folder / "converted").iterdir()

    damage(entry)

    assert read(FACTS, write) == b"content"
    assert write.times == 2
    assert read(FACTS, write) == b"content"
    assert write.times == 2


def test_a_failure_leaves_nothing_behind(folder):
    def fail(_):
        raise ValueError("cannot")

    with pytest.raises(ValueError, match="cannot"), cached(FACTS, fail):
        pass

    assert list((folder / "converted").iterdir()) == []


def test_a_cache_that_cannot_be_written_only_costs_time(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file" / "cache"))
    write = Writer()

    assert read(FACTS, write) == read(FACTS, write) == b"content"
    assert write.times == 2


def test_the_entries_not_used_for_longest_go(folder, monkeypatch):
    monkeypatch.setattr(cache, "MAX_ENTRIES", 2)
    write, now = Writer(), time.time()
    for size in range(3):
        read({"size": size}, write)
        for age, entry in enumerate((folder / "converted").iterdir()):
            os.utime(entry, (now - 100 - age, now - 100 - age))

    assert len(list((folder / "converted").iterdir())) == 2


@pytest.mark.parametrize(
    ("system", "variable", "expected"),
    [
        ("linux", "XDG_CACHE_HOME", "here/geoseg"),
        ("win32", "LOCALAPPDATA", "here/geoseg"),
        ("darwin", "HOME", "here/Library/Caches/geoseg"),
    ],
)
def test_the_cache_is_where_the_system_keeps_such_files(
    tmp_path, monkeypatch, system, variable, expected
):
    if system == "darwin" and sys.platform == "win32":
        pytest.skip("a home is named otherwise here")
    monkeypatch.delenv(CACHE_VARIABLE)
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setenv(variable, str(tmp_path / "here"))

    assert cache_folder() == tmp_path / expected
