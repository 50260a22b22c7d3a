import os
from errno import EXDEV
from pathlib import Path

import pytest

from geoseg.errors import InputError, OutputError, OutputExistsError
from geoseg.io.outputs import RECORDS, move, refuse_existing, staged, write_text, writing


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def old_folder(tmp_path):
    """A folder that geoseg wrote."""
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / RECORDS[0]).write_text("old")
    return folder


def test_a_file_appears_when_the_block_ends(tmp_path):
    target = tmp_path / "new" / "a.txt"

    with staged(target, overwrite=False) as partial:
        partial.write_text("whole")
        assert not target.exists()

    assert target.read_text() == "whole"
    assert names(target.parent) == ["a.txt"]


def write_half(target, *, folder=False, overwrite=False, failure=ValueError):
    """Fail while writing."""
    with staged(target, overwrite=overwrite) as partial:
        if folder:
            (partial / "images").mkdir(parents=True)
        else:
            partial.write_text("half")
        raise failure


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, OSError])
@pytest.mark.parametrize("folder", [True, False])
def test_nothing_is_left_when_the_block_fails(tmp_path, failure, folder):
    with pytest.raises((failure, OutputError)):
        write_half(tmp_path / "out", folder=folder, failure=failure)

    assert names(tmp_path) == []


def test_an_existing_file_stays_as_it_was_when_the_block_fails(tmp_path):
    (tmp_path / "a.txt").write_text("old")

    with pytest.raises(LookupError):
        write_half(tmp_path / "a.txt", overwrite=True, failure=LookupError)

    assert (tmp_path / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_an_existing_folder_stays_as_it_was_when_the_block_fails(old_folder):
    with pytest.raises(LookupError):
        write_half(old_folder, folder=True, overwrite=True, failure=LookupError)

    assert names(old_folder) == [RECORDS[0]]
    assert names(old_folder.parent) == ["out"]


def test_an_existing_output_is_refused_before_any_work(tmp_path):
    (tmp_path / "a.txt").write_text("old")

    with pytest.raises(OutputExistsError, match=r"a\.txt exists; use --overwrite"):
        staged(tmp_path / "a.txt", overwrite=False).__enter__()

    assert (tmp_path / "a.txt").read_text() == "old"


def test_an_existing_folder_of_geoseg_is_replaced_whole(old_folder):
    (old_folder / "leftover").write_text("old")

    with staged(old_folder, overwrite=True) as partial:
        partial.mkdir()
        (partial / RECORDS[0]).write_text("new")

    assert names(old_folder) == [RECORDS[0]]
    assert (old_folder / RECORDS[0]).read_text() == "new"
    assert names(old_folder.parent) == ["out"]


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_folder_that_geoseg_did_not_write_is_never_replaced(tmp_path, overwrite):
    (tmp_path / "holiday.jpg").write_text("dear")

    with pytest.raises(OutputExistsError):
        refuse_existing(tmp_path, overwrite=overwrite)


def test_an_empty_folder_is_not_in_the_way(tmp_path):
    (tmp_path / "out").mkdir()

    with staged(tmp_path / "out", overwrite=False) as partial:
        partial.mkdir()
        (partial / "a").write_text("new")

    assert names(tmp_path / "out") == ["a"]


def test_the_second_of_several_outputs_is_refused_too(tmp_path):
    (tmp_path / "b.qml").write_text("old")

    with pytest.raises(OutputExistsError, match=r"b\.qml"):
        refuse_existing(tmp_path / "a.tif", tmp_path / "b.qml", overwrite=False)


def test_a_failure_of_the_system_names_the_output(tmp_path):
    (tmp_path / "file").write_text("no folder")

    with pytest.raises(OutputError, match=r"a\.txt: cannot be written"):
        write_text(tmp_path / "file" / "a.txt", "text")


def test_a_text_replaces_the_old_one_with_the_same_bytes_everywhere(tmp_path):
    for text in ("old\n", "grün\n"):
        write_text(tmp_path / "a.txt", text)

    assert (tmp_path / "a.txt").read_bytes() == b"gr\xc3\xbcn\n"


@pytest.mark.parametrize("error", [OSError("gone"), SystemError("Unknown GDAL Error")])
def test_failures_of_gdal_and_the_system_are_ours(tmp_path, error):
    with (
        pytest.raises(OutputError, match=r"a\.tif: cannot be written: "),
        writing(tmp_path / "a.tif"),
    ):
        raise error


@pytest.fixture
def link(tmp_path):
    """A link to a file that is elsewhere."""
    (tmp_path / "far").mkdir()
    (tmp_path / "far/real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to(tmp_path / "far/real.txt")
    return tmp_path / "link.txt"


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_links_are_written_through(link, tmp_path):
    write_text(link, "staged")
    assert (tmp_path / "far/real.txt").read_text() == "staged"

    (tmp_path / "made").write_text("moved")
    move(tmp_path / "made", link)

    assert link.is_symlink()
    assert (tmp_path / "far/real.txt").read_text() == "moved"
    assert names(tmp_path / "far") == ["real.txt"]


def test_a_file_from_another_file_system_appears_whole(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/made").write_text("new")
    replace = Path.replace

    def between_file_systems(self, target):
        if self.parent != Path(target).parent:
            raise OSError(EXDEV, "Invalid cross-device link")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", between_file_systems)
    move(tmp_path / "a/made", tmp_path / "b" / "out")

    assert (tmp_path / "b/out").read_text() == "new"
    assert names(tmp_path / "b") == ["out"]


def test_a_name_that_is_not_utf_8_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"o\\udcff\.tif': the name is not UTF-8"):
        refuse_existing(tmp_path / "o\udcff.tif", overwrite=True)
