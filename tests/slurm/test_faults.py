"""Drills on a real Slurm: whatever dies, a run ends in the same bytes, and nothing runs twice."""

import os
import signal
import time

LONG = 600  # steps: a minute, unless something ends it


def states(cluster, job):
    return cluster.ask("squeue", "--noheader", f"--jobs={job}", "--format=%T")


def test_a_preempted_run_goes_on_elsewhere(slow, cluster, until):
    slow.lasts(LONG)
    slow.profile(partition="low")
    driver = slow.pretrain()
    until(lambda: slow.has_saved(5))
    (job,), (node,) = cluster.jobs(), cluster.nodes_in_use()
    cluster.ask("sbatch", f"--nodelist={node}", f"--partition={node[:3]}", "--exclusive",
                "--output=/dev/null", "--wrap", "sleep 60")
    until(lambda: states(cluster, job) == ["PENDING"])
    until(lambda: len(cluster.nodes_in_use()) == 2)
    assert len(set(cluster.nodes_in_use())) == 2
    assert driver.finish()[0] == 0, driver.said
    assert slow.first_steps()[1] >= 5
    assert slow.models() == slow.expected()


def test_a_run_whose_node_dies_goes_on_elsewhere(slow, cluster, until):
    slow.lasts(LONG)
    driver = slow.pretrain()
    until(lambda: slow.has_saved(5))
    before, (node,) = cluster.submissions(), cluster.nodes_in_use()
    cluster.must("node-kill", node)
    assert driver.finish()[0] == 0, driver.said
    assert not cluster.submissions() - before  # Slurm itself started it again
    assert slow.first_steps()[1] >= 5
    assert slow.models() == slow.expected()


def test_a_requeued_run_goes_on(slow, cluster, until):
    """As an administrator does it: SIGTERM and no warning."""
    slow.lasts(LONG)
    driver = slow.pretrain()
    until(lambda: slow.has_saved(5))
    cluster.ask("scontrol", "requeue", *cluster.jobs())
    assert driver.finish()[0] == 0, driver.said
    assert slow.first_steps()[1] >= 5
    assert slow.models() == slow.expected()


def test_a_run_longer_than_its_limit_goes_on_after_it(slow):
    """Slurm compares jobs with their limits every 30 seconds: the first start lasts until then."""
    slow.lasts(LONG)
    slow.profile(time_factor=0.5, signal_s=55)  # a limit of one minute; told to save in its first
    driver = slow.pretrain()
    assert driver.finish()[0] == 0, driver.said
    first, second = slow.first_steps()
    assert first == 0 < second < LONG
    assert slow.models() == slow.expected()


def test_accounting_may_go_away(slow, cluster, until):
    driver = slow.pretrain()
    until(lambda: slow.has_saved(1))
    cluster.must("dbd-stop")
    assert driver.finish()[0] == 0, driver.said
    assert slow.first_steps() == [0]
    assert slow.models() == slow.expected()


def test_the_controller_may_be_away_while_a_run_ends(slow, cluster, until):
    driver = slow.pretrain()
    until(lambda: slow.has_saved(1))
    cluster.must("ctld-stop")
    until(lambda: slow.store.entry(slow.spec.key).is_done)
    time.sleep(1)
    cluster.must("ctld-start")
    assert driver.finish()[0] == 0, driver.said
    assert slow.first_steps() == [0]
    assert slow.models() == slow.expected()


def test_the_controller_may_be_away_when_a_run_is_submitted(slow, cluster):
    cluster.must("ctld-stop")
    driver = slow.pretrain()
    time.sleep(3)
    assert driver.poll() is None
    cluster.must("ctld-start")
    assert driver.finish()[0] == 0, driver.said
    assert slow.first_steps() == [0]
    assert slow.models() == slow.expected()


def test_a_killed_driver_attaches_again(slow, cluster, until):
    driver = slow.pretrain()
    until(lambda: slow.has_saved(1))
    os.kill(driver.pid, signal.SIGKILL)
    driver.finish()
    before = cluster.submissions()
    driver = slow.pretrain()
    assert driver.finish()[0] == 0, driver.said
    assert not cluster.submissions() - before
    assert slow.first_steps() == [0]
    assert slow.models() == slow.expected()


def test_a_cancelled_job_is_named_and_its_run_can_go_on(slow, cluster, until):
    slow.lasts(LONG)
    driver = slow.pretrain()
    until(lambda: slow.has_saved(5))
    cluster.ask("scancel", *cluster.jobs())
    assert driver.finish()[0] == 75
    assert "toy/pretrain@mini-plain seed0: its job was cancelled from outside" in driver.said
    assert slow.pretrain().finish()[0] == 0
    assert slow.first_steps()[1] >= 5
    assert slow.models() == slow.expected()


def test_without_accounting_a_cancelled_job_is_named_all_the_same(bare_cluster, workspace, until):
    slow = workspace(bare_cluster)
    slow.lasts(LONG)
    driver = slow.pretrain()
    until(lambda: slow.has_saved(5))
    bare_cluster.ask("scancel", *bare_cluster.jobs())
    assert driver.finish()[0] == 75
    assert "toy/pretrain@mini-plain seed0: its job was cancelled from outside" in driver.said
    assert slow.pretrain().finish()[0] == 0
    assert slow.models() == slow.expected()
