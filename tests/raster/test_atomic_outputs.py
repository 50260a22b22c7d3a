import json
import os
from errno import ENOSPC, EXDEV
from pathlib import Path

import numpy as np
import pytest

from geoseg.errors import InputError, OutputError, OutputExistsError
from geoseg.labels.legend import Legend
from geoseg.labels.style import sidecars, write_sidecars
from geoseg.raster.atomic import (
    FINISHING_MARKER,
    move,
    put_in_place,
    refuse_existing,
    scratch,
    staged,
    write_text,
    writing,
)
from geoseg.raster.folders import EVALUATION, PATCH_SET

OURS = json.dumps({"kind": "evaluation"})


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def old_folder(tmp_path):
    """A folder that geoseg wrote."""
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / EVALUATION.record).write_text(OURS)
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
    kind = EVALUATION if folder else None
    with staged(target, overwrite=overwrite, kind=kind) as partial:
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

    assert names(old_folder) == [EVALUATION.record]
    assert names(old_folder.parent) == ["out"]


def test_an_existing_output_is_refused_before_any_work(tmp_path):
    (tmp_path / "a.txt").write_text("old")

    with pytest.raises(OutputExistsError, match=r"a\.txt exists; use --overwrite"):
        staged(tmp_path / "a.txt", overwrite=False).__enter__()

    assert (tmp_path / "a.txt").read_text() == "old"


def test_an_existing_folder_of_the_same_kind_is_replaced_whole(old_folder):
    (old_folder / "maps.csv").write_text("old")

    with staged(old_folder, overwrite=True, kind=EVALUATION) as partial:
        partial.mkdir()
        (partial / EVALUATION.record).write_text("new")

    assert names(old_folder) == [EVALUATION.record]
    assert (old_folder / EVALUATION.record).read_text() == "new"
    assert names(old_folder.parent) == ["out"]


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("name", ["holiday.jpg", "evaluation.json", "patches.json"])
def test_a_folder_of_another_kind_is_never_replaced(tmp_path, overwrite, name):
    (tmp_path / name).write_text('{"of": "another program"}')

    with pytest.raises(OutputExistsError, match="a folder that geoseg did not write"):
        refuse_existing(tmp_path, overwrite=overwrite, kind=EVALUATION)


def test_a_folder_of_geoseg_with_the_work_of_others_in_it_is_not_replaced(old_folder):
    (old_folder / "thesis.doc").write_text("years")

    with pytest.raises(OutputExistsError, match=r"did not write, .*: thesis\.doc; move"):
        refuse_existing(old_folder, overwrite=True, kind=EVALUATION)


def test_a_folder_takes_no_place_of_a_file_and_no_file_that_of_a_folder(old_folder, tmp_path):
    (tmp_path / "a.txt").write_text("old")

    with pytest.raises(OutputExistsError, match="is a folder, but the output is a file"):
        refuse_existing(old_folder, overwrite=True)
    with pytest.raises(OutputExistsError, match="is a file, but the output is a folder"):
        refuse_existing(tmp_path / "a.txt", overwrite=True, kind=EVALUATION)


def test_the_folder_that_one_works_in_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(OutputExistsError, match="is the working folder"):
        refuse_existing(Path(), overwrite=True, kind=PATCH_SET)


def test_an_empty_folder_is_not_in_the_way(tmp_path):
    (tmp_path / "out").mkdir()

    with staged(tmp_path / "out", overwrite=False, kind=EVALUATION) as partial:
        partial.mkdir()
        (partial / "a").write_text("new")

    assert names(tmp_path / "out") == ["a"]


def test_a_scratch_folder_is_gone_afterwards(tmp_path):
    with scratch(tmp_path / "new" / "map.tif") as folder:
        (folder / "a").touch()

    assert names(tmp_path / "new") == []


def killed(path, *, after):
    """What a process leaves that is killed while it replaces a folder."""
    new, old = (path.with_name(f".{path.name}.{end}") for end in ("part", "old"))
    new.mkdir()
    old.mkdir()
    path.rename(old / path.name)
    if after == "both names":
        new.rename(path)


@pytest.mark.parametrize("after", ["the first name", "both names"])
def test_what_a_killed_process_left_is_cleared_by_the_next(old_folder, tmp_path, after):
    killed(old_folder, after=after)

    with scratch(old_folder) as folder:
        assert names(folder) == []

    assert names(tmp_path) == ["out"]
    assert names(old_folder) == ([EVALUATION.record] if after == "the first name" else [])


def test_a_folder_that_a_killed_process_moved_away_is_still_there_for_the_guard(old_folder):
    killed(old_folder, after="the first name")

    with pytest.raises(OutputExistsError, match="--overwrite"):
        refuse_existing(old_folder, overwrite=False, kind=EVALUATION)


def test_outputs_that_a_killed_process_had_put_in_place_are_no_obstacle(tmp_path):
    side, whole = tmp_path / "map.qml", tmp_path / "map.tif"
    left = tmp_path / ".map.tif.part"
    left.mkdir()
    (left / FINISHING_MARKER).write_text(json.dumps([str(side), str(whole)]))
    side.write_text("put there before the end")

    refuse_existing(side, whole, overwrite=False)

    whole.write_text("all are there: it was killed after that")
    with pytest.raises(OutputExistsError, match=r"map\.qml exists"):
        refuse_existing(side, whole, overwrite=False)


def test_a_style_beside_a_map_that_is_gone_is_in_the_way_only_if_the_user_made_it(tmp_path):
    style = tmp_path / "map.qml"
    legend = Legend.from_dict({"class": [{"value": 0, "name": "a", "color": "#010203"}]})
    write_sidecars(tmp_path / "map.tif", legend, np.array([1]))

    refuse_existing(*sidecars(tmp_path / "map.tif"), overwrite=False)

    style.write_text(style.read_text().replace('"3.22"', '"3.34.1-Prizren"'))
    with pytest.raises(OutputExistsError, match=r"map\.qml exists"):
        refuse_existing(*sidecars(tmp_path / "map.tif"), overwrite=False)


def test_the_last_output_says_that_all_are_there(tmp_path):
    with scratch(tmp_path / "map.tif") as folder:
        made = {tmp_path / name: folder / name for name in ("map.qml", "map.tif")}
        for file in made.values():
            file.touch()
        put_in_place(made, folder, overwrite=False)
        marked = [Path(each).name for each in json.loads((folder / FINISHING_MARKER).read_text())]

    assert marked == ["map.qml", "map.tif"]
    assert names(tmp_path) == ["map.qml", "map.tif"]


def test_the_second_of_several_outputs_is_refused_too(tmp_path):
    (tmp_path / "b.qml").write_text("old")

    with pytest.raises(OutputExistsError, match=r"b\.qml"):
        refuse_existing(tmp_path / "a.tif", tmp_path / "b.qml", overwrite=False)


def test_a_failure_of_the_system_names_the_output(tmp_path):
    (tmp_path / "file").write_text("no folder")

    with pytest.raises(OutputError, match=r"a\.txt: cannot be written"):
        write_text(tmp_path / "file" / "a.txt", "text")


def test_a_file_that_would_have_to_be_a_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")

    for path in (tmp_path / "file/out.tif", tmp_path / "file/deeper/out.tif"):
        with pytest.raises(OutputError, match=r"file is a file, not a folder"):
            refuse_existing(path, overwrite=True)


@pytest.mark.parametrize("inner", [".p.part/images/a.png", ".p.0123456789abcdef.unfinished/a.tif"])
def test_a_failure_in_a_hidden_folder_names_the_output_and_fits_a_line(tmp_path, inner):
    with pytest.raises(OutputError) as caught, writing(tmp_path / inner):
        raise OSError("one\n" * 99)

    assert str(caught.value).startswith(f"{tmp_path / 'p'}: cannot be written: one one")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 240 + len(str(tmp_path))


def test_the_remedy_for_a_full_disk_is_named(tmp_path):
    told = pytest.raises(OutputError, match="no space left on the disk; make room")

    with told, writing(tmp_path / "out"):
        raise OSError(ENOSPC, "No space left on device")


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
        if "a" in self.parts and "b" in Path(target).parts:
            raise OSError(EXDEV, "Invalid cross-device link")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", between_file_systems)
    move(tmp_path / "a/made", tmp_path / "b" / "out")

    assert (tmp_path / "b/out").read_text() == "new"
    assert names(tmp_path / "b") == ["out"]


def test_a_name_that_is_not_utf_8_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"o\\udcff\.tif': the name is not UTF-8"):
        refuse_existing(tmp_path / "o\udcff.tif", overwrite=True)


@pytest.mark.parametrize("folder", ["a\tb", "a\nb"])
def test_a_path_that_no_geopackage_can_have_is_refused_early(tmp_path, folder):
    with pytest.raises(OutputError, match="holds a tab or line break"):
        refuse_existing(tmp_path / folder / "out", overwrite=True)
