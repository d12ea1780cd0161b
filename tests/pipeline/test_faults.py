"""Whatever happens on a cluster, runs end in the same bytes: random histories, and each fault
alone.

`bench/faults.py` runs more of the random ones; one is told step by step by
`python tests/pipeline/fault_schedules.py NUMBER`.
"""

import pytest
from fault_schedules import FAULTS, Bench

# Those a driver gets over by itself; the others end it, and whoever wants the runs asks again.
UNNOTICED = set(FAULTS) - {"scancel from outside", "the driver is killed", "a second driver",
                           "the code is edited"}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Bench(tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="module")
def undisturbed(bench):
    history = bench.history(None)
    assert history.wrong == []
    return history


def test_without_faults_each_run_starts_once_and_once_more_after_its_time_limit(undisturbed):
    assert undisturbed.drivers == 1
    assert undisturbed.starts == 1 + 13 + 4  # the driver, the runs, and pretrain a second time
    assert len(set(undisturbed.bytes.values())) == len(undisturbed.bytes) == 13


@pytest.mark.parametrize("first", range(0, 40, 8))
def test_random_faults_change_no_byte_lose_no_run_and_run_none_twice(bench, undisturbed, first):
    for number in range(first, first + 8):
        history = bench.history(number)
        told = "\n".join([f"schedule {number}", *history.faults, *history.log])
        assert history.wrong == [], told
        assert history.bytes == undisturbed.bytes, told


@pytest.mark.parametrize("kind", sorted(FAULTS))
@pytest.mark.parametrize("when", [20.0, 52.0])  # while pretrain runs, and while it waits to go on
def test_each_fault_alone(bench, undisturbed, kind, when):
    history = bench.history(None, [(kind, when, 0.4)])
    assert history.met == [kind]
    assert history.wrong == []
    assert history.bytes == undisturbed.bytes
    if kind in UNNOTICED:
        assert history.drivers == 1, "\n".join(history.log)


def said(history, words):
    return [line for line in history.log if words in line]


def test_a_run_that_was_cancelled_is_not_started_again_by_itself(bench):
    history = bench.history(None, [("scancel from outside", 20.0, 0.0)])
    (line,) = said(history, "stopped: toy/")
    assert "its job was cancelled from outside" in line
    assert history.drivers == 2


def test_jobs_run_the_code_they_were_resolved_for_or_say_so(bench):
    history = bench.history(None, [("the code is edited", 0.0, 0.9)])
    assert said(history, "its code changed since this run was resolved")
    assert history.drivers > 1


def test_queued_jobs_with_a_copy_of_the_code_are_immune_to_edits(bench, undisturbed):
    history = bench.history(None, [("the code is edited", 0.0, 0.9)], snapshot=True)
    assert history.wrong == []
    assert history.bytes == undisturbed.bytes
    assert history.drivers == 1


def test_a_schedule_is_a_number(bench):
    """The same faults, at the same moments, with the same consequences."""
    first, second = (bench.history(7) for _ in range(2))
    assert first.faults == second.faults
    assert [line[:40] for line in first.log] == [line[:40] for line in second.log]
