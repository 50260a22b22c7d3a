import json

import pytest

from geoseg.commands.batch import Batch
from geoseg.commands.console import Console
from geoseg.errors import BatchError, OutputExistsError, RasterError


@pytest.fixture
def run(tmp_path):
    """A function that runs a batch of words, some of which fail; it gives what stays known."""
    record = tmp_path / "failed.json"

    def batch(words, bad="", *, error=RasterError, **options):
        def work(word):
            if word in bad:
                raise error(f"{word} is bad")
            return word

        many = Batch(Console(quiet=True), record=record, **options)
        done = many.run(words, work)
        try:
            many.finish()
        except BatchError:
            assert many.failures
        return "".join(done), json.loads(record.read_text()) if record.exists() else None

    return batch


def test_a_failure_is_known_until_its_input_goes_well(run):
    assert run("ab", bad="a") == ("b", {"a": "a is bad"})
    assert run("cd") == ("cd", {"a": "a is bad"})
    assert run("cde", bad="d") == ("ce", {"a": "a is bad", "d": "d is bad"})
    assert run("dx") == ("dx", {"a": "a is bad"})
    assert run("ax", resume=True) == ("x", {"a": "a is bad"})
    assert run("ax", resume=True, retry_failed=True) == ("ax", None)


def test_what_fails_again_is_known_by_its_new_reason(run):
    run("ab", bad="a")

    def error(_text):
        return RasterError("still bad")

    assert run("ab", bad="a", error=error) == ("b", {"a": "still bad"})


def test_an_output_in_the_way_is_no_fault_of_its_input(run):
    assert run("ab", bad="a", error=OutputExistsError) == ("b", None)


def test_a_record_that_is_damaged_is_begun_anew(run, tmp_path):
    (tmp_path / "failed.json").write_text('{"a": ')

    assert run("ab", bad="b") == ("a", {"b": "b is bad"})


def test_many_failures_are_counted_and_a_few_are_named(tmp_path):
    record = tmp_path / "failed.json"
    many = Batch(Console(), record=record)

    def fail(word):
        raise RasterError(f"{word}: is bad")

    many.run([f"{number}.tif" for number in range(300)], fail)
    with pytest.raises(BatchError) as failure:
        many.finish()

    assert str(failure.value) == (
        "300 of 300 inputs failed: 0.tif: is bad; 1.tif: is bad; 2.tif: is bad; "
        f"and 297 more, each in a warning above and {record}"
    )
