"""Drills on a real Slurm: whatever dies, runs end in the same bytes, and nothing runs twice.

The toy counts for a few seconds and saves every step; the expected result is computed here.
"""

import os
import signal
import time

import pytest

STEPS = 30


@pytest.fixture
def slow(cluster, workspace):
    """A pre-training of three seconds, its input made."""
    made = workspace(cluster)
    made.resolve(pretrain={"steps": STEPS, "pause": 0.1})
    assert finish(made.repro("run", "data", "--paper", "toy", "--arm", "plain"))[0] == 0
    return made


def finish(driver):
    said, _ = driver.communicate(timeout=300)
    return driver.returncode, said


def job_on(cluster, node):
    """Return the job (or array task) that runs on a node."""
    (job,) = cluster.ask("squeue", "--noheader", "--states=R", f"--nodelist={node}", "--format=%i")
    return job


def test_an_array_uses_several_nodes_at_once(slow, cluster, until, expected):
    slow.seeds([0, 1, 2, 3])
    specs, before = slow.specs("pretrain"), cluster.submissions()
    driver = slow.pretrain()
    until(lambda: slow.running(specs))
    assert len(set(cluster.nodes_in_use())) >= 2
    assert finish(driver)[0] == 0
    assert len(cluster.submissions() - before) == 1
    assert slow.starts(specs) == [1, 1, 1, 1]
    assert slow.models() == expected([0, 1, 2, 3], STEPS)


def test_a_preempted_run_goes_on_elsewhere(slow, cluster, until, expected):
    slow.profile(partition="low")
    specs = slow.specs("pretrain")
    driver = slow.pretrain()
    until(lambda: slow.running(specs, least_step=5))
    first, _ = cluster.nodes_in_use()
    lost = job_on(cluster, first)
    cluster.ask("sbatch", f"--nodelist={first}", f"--partition={first[:3]}", "--exclusive",
                "--output=/dev/null", "--wrap", "sleep 30")
    until(lambda: cluster.ask("squeue", "-h", "-j", lost, "-o", "%T") == ["RUNNING"]
          and job_on(cluster, first) != lost)
    status, said = finish(driver)
    assert status == 0, said
    assert sorted(slow.starts(specs)) == [1, 2]
    assert max(slow.steps_from(specs[0]) + slow.steps_from(specs[1])) >= 5
    assert slow.models() == expected([0, 1], STEPS)


def test_runs_of_a_dead_node_are_made_on_another(slow, cluster, until, expected):
    specs = slow.specs("pretrain")
    driver = slow.pretrain()
    until(lambda: slow.running(specs, least_step=5))
    cluster.must("node-kill", cluster.nodes_in_use()[0])
    status, said = finish(driver)
    assert status == 0, said
    assert sorted(slow.starts(specs)) == [1, 2]
    assert max(slow.steps_from(specs[0]) + slow.steps_from(specs[1])) >= 5
    assert slow.models() == expected([0, 1], STEPS)


def test_accounting_may_go_away(slow, cluster, until, expected):
    specs = slow.specs("pretrain")
    driver = slow.pretrain()
    until(lambda: slow.running(specs))
    cluster.must("dbd-stop")
    assert finish(driver)[0] == 0
    assert slow.starts(specs) == [1, 1]
    assert slow.models() == expected([0, 1], STEPS)


def test_the_controller_may_be_restarted(slow, cluster, until, expected):
    specs = slow.specs("pretrain")
    driver = slow.pretrain()
    until(lambda: slow.running(specs))
    cluster.must("ctld-stop")
    until(lambda: not any(slow.store.entry(spec.key).executing() for spec in specs))
    cluster.must("ctld-start")
    status, said = finish(driver)
    assert status == 0, said
    assert slow.starts(specs) == [1, 1]
    assert slow.models() == expected([0, 1], STEPS)


def test_a_killed_driver_attaches_again(slow, cluster, until, expected):
    specs = slow.specs("pretrain")
    driver = slow.pretrain()
    until(lambda: slow.running(specs))
    os.kill(driver.pid, signal.SIGKILL)
    driver.communicate()
    before = cluster.submissions()
    assert finish(slow.pretrain())[0] == 0
    assert cluster.submissions() == before
    assert slow.starts(specs) == [1, 1]
    assert slow.models() == expected([0, 1], STEPS)


def test_the_controller_may_be_away_when_jobs_are_submitted(slow, cluster, until, expected):
    cluster.must("ctld-stop")
    driver = slow.pretrain()
    time.sleep(3)
    assert driver.poll() is None
    cluster.must("ctld-start")
    status, said = finish(driver)
    assert status == 0, said
    assert slow.starts(slow.specs("pretrain")) == [1, 1]
    assert slow.models() == expected([0, 1], STEPS)


def test_a_queued_suite_outlives_its_driver(slow, cluster, until):
    """The rest waits in Slurm behind its inputs; what reads a failed run is never started."""
    slow.resolve(pretrain={"steps": STEPS, "pause": 0.1, "fail_at": 20, "fail_seed": 1})
    assert finish(slow.repro("submit", "toy", "--arm", "plain"))[0] == 0
    before = cluster.submissions()
    status, said = finish(slow.repro("run", "eval", "--paper", "toy", "--arm", "plain"))
    assert status == 1
    assert "failed: toy/pretrain@mini-plain seed1: loss is not finite at step 1" in said
    until(lambda: not cluster.ask("squeue", "--noheader"))
    assert cluster.submissions() == before
    assert slow.starts(slow.specs("pretrain") + slow.specs("eval")) == [1, 1, 1, 0]


def test_what_slurm_refuses_is_said_in_a_line(slow, cluster):
    slow.profile(qos="fast")
    status, said = finish(slow.pretrain())
    assert status == 1
    (line,) = [line for line in said.splitlines() if line.startswith("error:")]
    assert "toy.pretrain@mini-plain" in line and "Invalid qos" in line


def test_a_cancelled_job_is_named_and_can_be_resumed(slow, cluster, until, expected):
    specs = slow.specs("pretrain")
    driver = slow.pretrain()
    until(lambda: slow.running(specs, least_step=5))
    cluster.ask("scancel", *cluster.ask("squeue", "--noheader", "--format=%i"))
    status, said = finish(driver)
    assert status not in (0, None)
    assert "toy/pretrain@mini-plain seed0: its job was cancelled from outside" in said
    assert finish(slow.pretrain())[0] == 0
    assert all(slow.steps_from(spec)[-1] >= 5 for spec in specs)
    assert slow.models() == expected([0, 1], STEPS)


def test_a_run_longer_than_its_limit_goes_on_after_it(slow, cluster, edit, expected):
    """Slurm compares jobs with their limits every 30 seconds: the first start lasts until then."""
    slow.seeds([0])
    edit(slow.folder / "method.py", "time.sleep(pause)", "time.sleep(pause if begun else 0)")
    edit(slow.folder / "method.py", 'print("from step"', 'begun = step == 0; print("from step"')
    slow.resolve(pretrain={"steps": 400, "pause": 0.1})
    slow.profile(time_factor=0.5, signal_s=55)  # a limit of one minute; told to save in its first
    (spec,) = slow.specs("pretrain")
    status, said = finish(slow.pretrain())
    assert status == 0, said
    assert slow.starts([spec]) == [2]
    assert slow.steps_from(spec)[1] > 0
    assert slow.models() == expected([0], 400)


def test_without_accounting_the_queue_says_what_happened(bare_cluster, workspace, until, expected):
    made = workspace(bare_cluster)
    made.resolve(pretrain={"steps": STEPS, "pause": 0.1})
    specs = made.specs("pretrain")
    driver = made.pretrain()
    until(lambda: made.running(specs))
    bare_cluster.ask("scancel", *bare_cluster.ask("squeue", "--noheader", "--format=%i"))
    status, said = finish(driver)
    assert status not in (0, None)
    assert "toy/pretrain@mini-plain seed0: its job was cancelled from outside" in said
    assert finish(made.pretrain())[0] == 0
    assert made.models() == expected([0, 1], STEPS)
