import pytest

from geoseg.errors import EmptyError, OutputExistsError, RasterError
from geoseg.raster.atomic import (
    FINISHING_MARKER,
    UNFINISHED_SUFFIX,
    put_in_place,
    resume_dir,
    resume_dirs,
)


@pytest.fixture
def begin(tmp_path):
    """A function that begins an output, finishes one piece, and fails."""

    def run(key="a" * 64, error=RasterError, *, resume=False, overwrite=False, pieces=1, **more):
        output = tmp_path / "map.tif"
        choices = {"guarded": [output], "resume": resume, "overwrite": overwrite} | more
        try:
            with resume_dir(output, key, **choices) as folder:
                for number in range(pieces):
                    (folder / f"piece_{number}.json").touch()
                raise error("no more")  # noqa: TRY301 it is the test
        except error as caught:
            return str(caught)

    return run


def finish(path, key="a" * 64, **options):
    """Go on with an output and finish it."""
    choices = {"guarded": [path], "resume": True, "overwrite": False} | options
    with resume_dir(path, key, **choices) as folder:
        found = sorted(each.name for each in folder.iterdir())
        (folder / "made").write_text("new")
        put_in_place({path: folder / "made"}, folder, overwrite=False)
    return found


def test_what_is_finished_stays_until_all_is(begin, tmp_path):
    said = begin()
    [folder] = resume_dirs(tmp_path / "map.tif")

    assert said == "no more; finished parts are kept; continue with --resume"
    assert finish(tmp_path / "map.tif") == ["piece_0.json"]
    assert not folder.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["map.tif"]


@pytest.mark.parametrize(("error", "pieces"), [(RasterError, 0), (EmptyError, 3)])
def test_nothing_is_kept_of_what_is_worth_nothing(begin, tmp_path, error, pieces):
    assert begin(error=error, pieces=pieces) == "no more"
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_by_hand_keeps_what_is_finished_too(begin, tmp_path):
    begin(error=KeyboardInterrupt)

    assert finish(tmp_path / "map.tif") == ["piece_0.json"]


def test_an_output_started_with_other_options_is_replaced_only_on_request(begin, tmp_path):
    output = tmp_path / "map.tif"
    begin()

    with pytest.raises(OutputExistsError, match="started with another"):
        finish(output, "b" * 64)

    assert finish(output, "b" * 64, overwrite=True) == []
    assert resume_dirs(output) == []


def test_outputs_of_a_finish_that_was_interrupted_are_no_obstacle(begin, tmp_path):
    output = tmp_path / "map.tif"
    begin()
    [folder] = resume_dirs(output)
    (folder / FINISHING_MARKER).touch()
    output.write_text("put there before the end")

    assert finish(output) == [FINISHING_MARKER, "piece_0.json"]
    assert output.read_text() == "new"


def test_an_output_of_another_run_is_an_obstacle_before_anything_is_done(begin, tmp_path):
    output = tmp_path / "map.tif"
    begin()
    output.write_text("precious")

    with pytest.raises(OutputExistsError):
        finish(output)

    assert output.read_text() == "precious"


def test_what_was_killed_before_its_first_piece_is_as_if_it_never_was(tmp_path):
    output = tmp_path / "map.tif"
    (tmp_path / f".map.tif.{'b' * 16}{UNFINISHED_SUFFIX}").mkdir()
    (tmp_path / f".map.tif.{'a' * 16}{UNFINISHED_SUFFIX}").mkdir()

    assert finish(output, resume=False) == []
    assert [path.name for path in tmp_path.iterdir()] == ["map.tif"]


def test_a_second_process_is_refused_and_changes_nothing(tmp_path):
    output = tmp_path / "map.tif"
    choices = {"guarded": [output], "resume": True, "overwrite": True}

    with resume_dir(output, "a" * 64, **choices) as folder:
        (folder / "piece_0.json").touch()
        with pytest.raises(OutputExistsError, match="another process is writing it"):
            resume_dir(output, "b" * 64, **choices).__enter__()
        assert (folder / "piece_0.json").exists()


def test_the_note_says_how_to_go_on_here(begin):
    assert begin(note="go on so and so") == "no more; go on so and so"
