"""Outputs in buckets, with a server that speaks S3."""

import os
import sys
from pathlib import Path

import pytest

from geoseg.errors import (
    EmptyError,
    OutputConflictError,
    OutputError,
    OutputExistsError,
)
from geoseg.raster.folders import EVALUATION
from geoseg.raster.guard import Output, check_outputs
from geoseg.raster.paths import parse_name
from geoseg.raster.upload import object_of, send, sending, told


def write(path, text="new"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def write_and(url, last, **how):
    """Write an output, do something else, and give its place on this machine."""
    with sending(url, **how) as path:
        write(path)
        last(path)
    return path


def fail(error):
    def last(_):
        raise error

    return last


@pytest.fixture
def url(bucket):
    return parse_name(f"s3://{bucket.name}/d/map.tif")


def test_an_output_of_this_machine_is_written_where_it_is_named(tmp_path):
    with sending(tmp_path / "a.tif") as path:
        assert path == tmp_path / "a.tif"
        assert object_of(path) is None


def test_a_file_is_sent_with_what_lies_beside_it(bucket, url, tmp_path):
    with sending(url) as path:
        assert object_of(path) == url
        assert told(f"{path}: 3 px") == f"{url}: 3 px"
        write(path)
        write(path.with_suffix(".qml"), "style")

    assert bucket.keys == ["d/map.qml", "d/map.tif"]
    assert bucket.get("d/map.tif") == b"new"
    assert not any((tmp_path / "staging").iterdir())


def test_hidden_files_stay_here(bucket, url):
    write_and(url, lambda path: write(path.with_name(".map.tif.unfinished") / "x"))

    assert bucket.keys == ["d/map.tif"]


def test_a_folder_is_sent_with_all_that_is_in_it(bucket):
    with sending(parse_name(f"s3://{bucket.name}/report/")) as path:
        write(path / "evaluation.json")
        write(path / "deep/a.csv")

    assert bucket.keys == ["report/deep/a.csv", "report/evaluation.json"]


def test_nothing_is_sent_of_what_was_interrupted(bucket, url):
    with pytest.raises(KeyboardInterrupt):
        write_and(url, fail(KeyboardInterrupt()))

    assert bucket.keys == []


def test_what_was_written_is_sent_where_some_inputs_failed(bucket, url):
    with pytest.raises(EmptyError):
        write_and(url, fail(EmptyError("one has no data")))

    assert bucket.keys == ["d/map.tif"]


def test_an_object_is_replaced_only_if_wanted(bucket, url):
    bucket.put("d/map.tif", b"old")

    for overwrite in (False, True):
        with sending(url, overwrite=overwrite) as path:
            if not overwrite:
                with pytest.raises(OutputExistsError, match=f"^{url} exists; use --overwrite"):
                    check_outputs([Output(path)], [], overwrite=False)
                continue
            check_outputs([Output(path)], [], overwrite=True)
            write(path)

    assert bucket.get("d/map.tif") == b"new"


def test_an_object_that_has_come_to_be_meanwhile_stays(bucket, url, tmp_path):
    def last(path):
        write(path.with_suffix(".qml"))
        bucket.put("d/map.tif", b"another's")

    with pytest.raises(OutputExistsError, match="exists by now") as caught:
        write_and(url, last)

    assert bucket.keys == ["d/map.tif"]  # no half of ours
    assert bucket.get("d/map.tif") == b"another's"
    place = Path(str(caught.value).rpartition(" lies at ")[2])
    assert place.is_relative_to(tmp_path)
    assert place.read_text() == "new"


def test_what_an_earlier_call_left_is_used_only_to_resume(bucket, url):
    for resume, left in ((True, True), (False, False)):
        with pytest.raises(KeyboardInterrupt):
            write_and(url, fail(KeyboardInterrupt()))
        with sending(url, resume=resume) as path:
            assert path.exists() == left


def test_a_folder_that_is_replaced_keeps_nothing_old(bucket):
    for key in ("r/evaluation.json", "r/old.csv", "other/a.csv", "r2/a.csv"):
        bucket.put(key, b"old")

    url = parse_name(f"s3://{bucket.name}/r")
    with sending(url, overwrite=True) as path:
        with pytest.raises(OutputExistsError, match=f"^{url} exists; use --overwrite"):
            check_outputs([Output(path, EVALUATION)], [], overwrite=False)
        check_outputs([Output(path, EVALUATION)], [], overwrite=True)
        write(path / "evaluation.json")
        write(path / "classes.csv")

    assert bucket.keys == ["other/a.csv", "r/classes.csv", "r/evaluation.json", "r2/a.csv"]


def test_a_folder_of_others_is_not_replaced(bucket):
    bucket.put("r/thesis.txt", b"mine")

    refused = pytest.raises(OutputExistsError, match=r"geoseg did not write .*thesis\.txt")
    with sending(parse_name(f"s3://{bucket.name}/r"), overwrite=True) as path, refused:
        check_outputs([Output(path, EVALUATION)], [], overwrite=True)

    assert bucket.keys == ["r/thesis.txt"]


def test_an_output_is_no_input(bucket, url):
    refused = pytest.raises(OutputConflictError, match=f"^{url}: is an input")
    with sending(url, overwrite=True) as path, refused:
        check_outputs([Output(path)], [url], overwrite=True)


def test_finished_files_go_at_once(bucket):
    with sending(parse_name(f"s3://{bucket.name}/maps")) as path:
        send([write(path / "a.tif")])
        assert bucket.keys == ["maps/a.tif"]
        assert not (path / "a.tif").exists()
        write(path / "b.tif")
        write(path / "failed.json")

    assert bucket.keys == ["maps/a.tif", "maps/b.tif"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("s3://no-bucket/a.tif", "the bucket refuses: NoSuchBucket"),
        ("https://host/a.tif", r"outputs go to disks, or to s3://, gs:// or az:// buckets"),
        ("/vsis3/bucket/a.tif", "outputs go to disks"),
    ],
)
def test_outputs_that_go_nowhere_are_refused_before_any_work(bucket, name, reason):
    with pytest.raises(OutputError, match=f"^{name}: {reason}"), sending(parse_name(name)):
        pytest.fail("work has begun")


def test_a_server_that_fails_at_the_end_is_told_with_the_place(bucket, url, monkeypatch, tmp_path):
    from geoseg.raster import bucket as module

    monkeypatch.setattr(module, "RETRIES", {"max_retries": 0})
    gone = "http://127.0.0.1:1"
    with pytest.raises(OutputError, match=r"map\.tif: the bucket refuses") as caught:
        write_and(url, lambda _: monkeypatch.setenv("AWS_ENDPOINT_URL", gone))

    place = Path(str(caught.value).rpartition(" lies at ")[2])
    assert place.is_relative_to(tmp_path)
    assert place.read_text() == "new"


def test_without_obstore_its_install_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore.store", None)

    refused = pytest.raises(OutputError, match=r"pip install 'geoseg\[cloud\]'")
    with refused, sending(parse_name("s3://bucket/a.tif")):
        pytest.fail("work has begun")


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="folders have no owner there")
def test_a_place_that_another_user_has_prepared_is_not_used(bucket, url, monkeypatch):
    me = os.getuid()
    monkeypatch.setattr("os.getuid", lambda: me + 1)

    with pytest.raises(OutputError, match="belongs to another user; set TMPDIR"), sending(url):
        pytest.fail("work has begun")
