import errno
import subprocess
import sys
from pathlib import Path

import filelock
import pytest

from geoseg.errors import OutputError, OutputExistsError
from geoseg.raster.folders import locked

CHILD = """
import sys, time
from pathlib import Path
from geoseg.raster.folders import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_second_is_refused_until_the_first_is_done(tmp_path):
    output = tmp_path / "map.tif"

    with (
        locked(output),
        pytest.raises(OutputExistsError, match=r"map\.tif: another process is writing it"),
    ):
        locked(output).__enter__()

    assert list(tmp_path.iterdir()) == []
    with locked(output), locked(tmp_path / "other.tif"):
        pass


def test_a_lock_dies_with_its_process(tmp_path):
    output = tmp_path / "map.tif"
    child = subprocess.Popen([sys.executable, "-c", CHILD, output], stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"held\n"
    with pytest.raises(OutputExistsError):
        locked(output).__enter__()

    child.kill()
    child.communicate()

    with locked(output):
        pass


def test_where_nothing_can_be_locked_work_goes_on(tmp_path, monkeypatch):
    def unable(lock, **_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(filelock.FileLock, "acquire", unable)
    done = []
    with locked(tmp_path / "map.tif"):
        done.append("work")

    assert done == ["work"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(OutputError, match=r"map\.tif: cannot be written"):
        locked(tmp_path / "file" / "map.tif").__enter__()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that takes no files")
def test_where_no_file_can_be_made_nobody_is_said_to_be_writing():
    with pytest.raises(OutputError, match=r"/proc/x: cannot be written"), locked(Path("/proc/x")):
        pass


def test_the_folder_that_one_is_in_can_be_locked(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")

    with locked(Path()), pytest.raises(OutputExistsError):
        locked(tmp_path / "run").__enter__()
