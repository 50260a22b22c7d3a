import pytest

import geoseg
from geoseg.cluster import pool as pool_module
from geoseg.cluster.jobs import Job, TimeLimits
from geoseg.cluster.pool import Pool
from geoseg.errors import ClusterError, EmptyError, RasterError


@pytest.fixture(autouse=True)
def _no_delays(monkeypatch):
    monkeypatch.setattr(pool_module, "delay_before", lambda _: 0.05)


def job(name, key=None, **arguments):
    return Job(key or name, f"cluster_stubs:{name}", arguments)


def answers(cluster, jobs, plan=None, **how):
    return {each.key: found for each, found in Pool(cluster, plan, **how).run(jobs)}


def test_each_job_is_done_once_with_the_plan_of_all(cluster):
    jobs = [job("give", f"job {number}", value=number) for number in range(50)]

    found = [(each.key, answer) for each, answer in Pool(cluster, "plan", group=7).run(jobs)]

    assert sorted(found) == sorted((f"job {n}", ["plan", n]) for n in range(50))


def test_jobs_that_are_added_meanwhile_are_done_too(cluster):
    pool, found = Pool(cluster, None), []
    for each, answer in pool.run([job("give", "first", value=1)]):
        found.append(answer)
        if each.key == "first":
            pool.add(job("give", "second", value=2))

    assert found == [[None, 1], [None, 2]]


def test_jobs_are_done_in_the_folder_of_the_command(cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert answers(cluster, [job("folder")]) == {"folder": str(tmp_path)}


def test_arrays_do_not_pass(cluster):
    [error] = answers(cluster, [job("array")]).values()

    assert isinstance(error, ClusterError)
    assert "ndarray is not JSON serializable" in str(error)


def test_a_failing_job_is_tried_on_three_workers_or_as_many_as_there_are(cluster, tmp_path):
    log = tmp_path / "log"
    jobs = [job("fail", log=str(log)), *(job("give", str(n), value=n) for n in range(9))]

    found = answers(cluster, jobs)

    assert isinstance(found["fail"], RasterError)
    assert str(found["fail"]) == "torn.tif: cannot be read"
    assert [found[str(n)] for n in range(9)] == [[None, n] for n in range(9)]
    tried = log.read_text().split()
    assert len(tried) == 3
    assert len({*tried}) == 2


def test_what_fails_anywhere_is_tried_once(cluster, tmp_path):
    log = tmp_path / "log"

    [error] = answers(cluster, [job("fail_for_good", log=str(log))]).values()

    assert isinstance(error, EmptyError)
    assert log.read_text() == "tried\n"


def test_a_worker_with_a_full_disk_gets_no_more_work(cluster):
    told = []
    full = min(cluster.workers)
    jobs = [job("full_disk_on_one_worker", str(n), address=full) for n in range(12)]

    found = answers(cluster, jobs, warn=told.append)

    assert len(found) == 12
    assert full not in found.values()
    assert told == [f"worker {full} is not used: 2 jobs failed there that went well elsewhere"]


def test_workers_with_another_version_are_named(cluster, monkeypatch):
    told = []
    monkeypatch.setattr(geoseg, "__version__", "9.9.9")
    monkeypatch.setattr(pool_module, "GIVE_UP_S", 0.5)

    with pytest.raises(ClusterError, match=r"no worker can be used: geoseg .* 9\.9\.9 here"):
        answers(cluster, [job("give", value=1)], warn=told.append)

    assert len(told) == 2


def test_lost_and_hanging_workers_are_replaced_and_what_kills_them_is_named(cluster, tmp_path):
    jobs = [
        job("every_worker_dies"),
        job("first_worker_dies", marker=str(tmp_path / "died")),
        job("first_worker_hangs", marker=str(tmp_path / "hung")),
        *(job("give", str(n), value=n) for n in range(20)),
    ]

    found = answers(cluster, jobs, limits=TimeLimits(base=12, per_window=0))

    killer = found.pop("every_worker_dies")
    assert isinstance(killer, ClusterError)
    assert "workers ended while they did it" in str(killer)
    assert found.pop("first_worker_dies") == found.pop("first_worker_hangs") == "done"
    assert [found[str(n)] for n in range(20)] == [[None, n] for n in range(20)]
