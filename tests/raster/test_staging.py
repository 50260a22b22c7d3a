"""Copies of rasters on servers."""

import logging
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from servers import serving

from geoseg.errors import ChangedError, OutputError, RasterError
from geoseg.raster import staging as module
from geoseg.raster.reader import RasterReader
from geoseg.raster.staging import staging

SIDE = 256
IMAGE = np.random.default_rng(0).integers(1, 250, (3, SIDE, SIDE)).astype(np.uint8)
KB = 1 << 10


@pytest.fixture(scope="module")
def server():
    with serving() as running:
        yield running


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Repeat at once, and copy in many requests."""
    monkeypatch.setenv("GDAL_HTTP_RETRY_DELAY", "0.01")
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "1")
    monkeypatch.setattr(module, "CHUNK_BYTES", 32 * KB)


@pytest.fixture
def copies(tmp_path):
    """A folder for copies."""
    return tmp_path / "copies"


@pytest.fixture
def local(write_raster):
    return write_raster("there/a.tif", IMAGE)


def image_of(name, folder):
    with staging(folder), RasterReader(Path(name)) as reader:
        return reader.read(reader.grid.window).image


def given(shelf):
    """Bytes that a server has given."""
    return sum(count for _, _, _, count in shelf.log())


def copies_in(folder):
    return sorted(path.suffix for path in folder.iterdir() if path.suffix != ".lock")


FAULTS = {
    "nothing": {},
    "503 for a third": {"status": 503, "every": 3},
    "one that breaks off": {"close": 1000, "after": 2, "times": 1},
    "a server without ranges": {"ranges": False},
    "a server without ETag": {"etag": ""},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_raster_is_read_from_its_copy_which_is_the_file_to_the_byte(local, server, copies, fault):
    shelf = server.shelf(local.parent, **FAULTS[fault])

    assert (image_of(shelf.name("a.tif"), copies) == IMAGE).all()

    (copy,) = (copies).glob("*.tif")
    assert copy.read_bytes() == local.read_bytes()
    assert copies_in(copies) == [".json", ".tif"]


def test_a_copy_is_kept_for_later_runs_until_the_file_changes(local, server, copies):
    shelf = server.shelf(local.parent)
    image_of(shelf.name("a.tif"), copies)
    once = given(shelf)

    image_of(shelf.name("a.tif"), copies)
    assert given(shelf) == once

    shelf.set(etag='"two"')
    image_of(shelf.name("a.tif"), copies)
    assert given(shelf) == pytest.approx(2 * once, rel=0.1)


def test_a_copy_goes_on_where_it_was_interrupted(local, server, copies, caplog):
    shelf = server.shelf(local.parent, status=503, after=2)
    with pytest.raises(RasterError, match=r"cannot be copied: .*answered 503 .*try again later"):
        image_of(shelf.name("a.tif"), copies)
    (begun,) = copies.glob("*.part")
    done, before = begun.stat().st_size, given(shelf)

    shelf.set(after=1_000_000)
    with caplog.at_level(logging.INFO, "geoseg.remote"):
        image_of(shelf.name("a.tif"), copies)

    assert done >= 32 * KB
    assert given(shelf) - before < local.stat().st_size - done + 17 * KB
    assert f"from byte {done} on" in caplog.text
    assert copies_in(copies) == [".json", ".tif"]


def test_a_copy_of_another_version_is_begun_anew(local, server, copies):
    shelf = server.shelf(local.parent, status=503, after=2)
    with pytest.raises(RasterError):
        image_of(shelf.name("a.tif"), copies)

    shelf.set(after=1_000_000, etag='"two"')

    assert (image_of(shelf.name("a.tif"), copies) == IMAGE).all()


def test_a_file_that_changes_while_it_is_copied_is_told(local, server, copies):
    shelf = server.shelf(local.parent, after=2, etag2='"two"')

    with pytest.raises(ChangedError, match="while it was copied"):
        image_of(shelf.name("a.tif"), copies)

    assert copies_in(copies) == [".json"]


def test_names_that_differ_only_by_their_signature_have_one_copy(local, server, copies):
    shelf = server.shelf(local.parent)

    for query in ("?v=1&sig=abc", "?v=1&sig=xyz", "?v=2&sig=abc"):
        image_of(shelf.name(f"a.tif{query}"), copies)

    assert len([*copies.glob("*.tif")]) == 2
    assert "abc" not in "".join(path.read_text() for path in copies.glob("*.json"))


def test_an_archive_is_copied_whole(local, server, copies):
    with zipfile.ZipFile(local.with_name("b.zip"), "w") as archive:
        archive.write(local, "a.tif")
    name = server.shelf(local.parent).name("b.zip/a.tif")

    assert (image_of(f"/vsizip/{name}", copies) == IMAGE).all()
    assert copies_in(copies) == [".json", ".zip"]


def test_a_full_disk_is_told_before_anything_is_copied(local, server, copies, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: SimpleNamespace(free=1))

    with pytest.raises(OutputError, match=r"copies of --stage need 0 MB.*another disk"):
        image_of(server.shelf(local.parent).name("a.tif"), copies)


def test_a_folder_that_cannot_be_made_is_told(local, server):
    with pytest.raises(OutputError, match="copies of --stage cannot be written"):
        image_of(server.shelf(local.parent).name("a.tif"), local / "copies")


def test_a_process_waits_for_the_copy_that_another_one_makes(local, server, copies, caplog):
    copies.mkdir()
    shelf = server.shelf(local.parent)
    code = (
        "import sys; from filelock import FileLock; lock = FileLock(sys.argv[1]); lock.acquire(); "
        "print('locked', flush=True); sys.stdin.readline(); lock.release()"
    )
    lock = copies / f"{module.copy_name(shelf.name('a.tif'))}.lock"
    with subprocess.Popen(
        [sys.executable, "-c", code, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "locked\n"
        threading.Timer(0.2, other.stdin.close).start()
        with caplog.at_level(logging.INFO, "geoseg.remote"):
            assert (image_of(shelf.name("a.tif"), copies) == IMAGE).all()

    assert "another process copies it; waiting" in caplog.text


def test_local_rasters_are_not_copied(local, copies):
    assert (image_of(local, copies) == IMAGE).all()
    assert copies_in(copies) == []
