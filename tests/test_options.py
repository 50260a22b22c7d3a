"""What options mean that are written in words."""

import pytest

from geoseg.options import array_part, parse_part


def slurm(task, count, first, last, step=1):
    words = {"ID": task, "COUNT": count, "MIN": first, "MAX": last, "STEP": step}
    return {f"SLURM_ARRAY_TASK_{name}": str(word) for name, word in words.items()}


def grid_engine(task, first, last, step=1):
    words = {"ID": task, "FIRST": first, "LAST": last, "STEPSIZE": step}
    return {f"SGE_TASK_{name}": str(word) for name, word in words.items()}


def aws(index, size):
    return {"AWS_BATCH_JOB_ARRAY_INDEX": str(index), "AWS_BATCH_JOB_ARRAY_SIZE": str(size)}


KUBERNETES = {"JOB_COMPLETION_INDEX": "2"}


@pytest.mark.parametrize(
    ("environment", "count", "part", "source"),
    [
        (slurm(0, 8, 0, 7), None, (1, 8), "SLURM_ARRAY_TASK_ID = 0, counted from 0"),
        (slurm(8, 8, 1, 8), None, (8, 8), "SLURM_ARRAY_TASK_ID = 8, counted from 1"),
        (slurm(30, 4, 10, 40, step=10), 4, (3, 4), "SLURM_ARRAY_TASK_ID = 30, counted from 10"),
        (aws(0, 5), None, (1, 5), "AWS_BATCH_JOB_ARRAY_INDEX = 0, counted from 0"),
        (KUBERNETES | {"JOB_COMPLETIONS": "3"}, None, (3, 3),
         "JOB_COMPLETION_INDEX = 2, counted from 0"),
        (KUBERNETES, 3, (3, 3), "JOB_COMPLETION_INDEX = 2, counted from 0"),
        (grid_engine(5, 1, 9, step=2), None, (3, 5), "SGE_TASK_ID = 5, counted from 1"),
        ({"PBS_ARRAY_INDEX": "4"}, 4, (4, 4), "PBS_ARRAY_INDEX = 4, counted from 1"),
        ({"PBS_ARRAYID": "1"}, 4, (1, 4), "PBS_ARRAYID = 1, counted from 1"),
        (aws(1, 2) | {"SGE_TASK_ID": "undefined"}, None, (2, 2),
         "AWS_BATCH_JOB_ARRAY_INDEX = 1, counted from 0"),
        (aws(1, 2) | KUBERNETES | {"JOB_COMPLETION_INDEX": "1"}, 2, (2, 2),
         "AWS_BATCH_JOB_ARRAY_INDEX = 1, counted from 0"),
    ],
)  # fmt: skip
def test_each_scheduler_numbers_its_tasks(environment, count, part, source):
    found = array_part(environment, count)

    assert found == part
    assert found.source == source


@pytest.mark.parametrize(
    ("environment", "count", "reason"),
    [
        ({}, None, "no task of an array job"),
        ({"SGE_TASK_ID": "undefined"}, 3, "no task of an array job"),
        (KUBERNETES, None, "write auto/N with their number or set JOB_COMPLETIONS"),
        ({"PBS_ARRAY_INDEX": "4"}, None, "PBS_ARRAY_INDEX is 4, but how many"),
        ({"PBS_ARRAY_INDEX": "0"}, 4, "0, which is none of 4 tasks counted from 1"),
        ({"PBS_ARRAY_INDEX": "5"}, 4, "5, which is none of 4 tasks counted from 1"),
        (slurm(3, 2, 3, 7), None, "2 tasks from 3 to 7, and some are left out"),
        (slurm(3, 1, 3, 3), 8, "auto/8: the array has 1 tasks"),
        (grid_engine(2, 1, 9, step=2), None, "none of 5 tasks counted from 1 in steps of 2"),
        (aws(1, 2) | slurm(0, 2, 0, 1), None,
         "SLURM_ARRAY_TASK_ID says part 1 of 2, AWS_BATCH_JOB_ARRAY_INDEX part 2 of 2"),
    ],
)  # fmt: skip
def test_an_array_that_does_not_say_which_part_it_is_is_refused(environment, count, reason):
    with pytest.raises(ValueError, match=reason):
        array_part(environment, count)


def test_a_part_is_that_of_the_task_if_the_word_is_auto(monkeypatch):
    monkeypatch.setenv("PBS_ARRAY_INDEX", "2")

    assert parse_part("auto/3") == (2, 3)
    with pytest.raises(ValueError, match="no part such as 2/8, nor auto"):
        parse_part("auto/0")
