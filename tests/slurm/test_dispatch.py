"""How runs get to Slurm: arrays, chains, GPUs, and what it refuses."""

from repro import yaml


def test_an_array_uses_several_nodes_at_once(slow, cluster, until):
    slow.seeds([0, 1, 2])
    before = cluster.submissions()
    driver = slow.pretrain()
    until(lambda: len(set(cluster.nodes_in_use())) >= 2)
    assert driver.finish()[0] == 0, driver.said
    assert len(cluster.submissions() - before) == 1
    assert slow.starts(slow.specs("pretrain")) == [1, 1, 1]
    assert slow.models() == slow.expected([0, 1, 2])


def test_a_queued_suite_outlives_its_driver(slow, cluster, until):
    """The rest waits in Slurm behind its inputs; what reads a failed run is never started."""
    slow.seeds([0, 1])
    slow.lasts(steps=30, fail_at=20, fail_seed=1)
    cluster.hold()
    assert slow.repro("submit", "toy", "--arm", "plain").finish()[0] == 0
    before = cluster.submissions()
    driver = slow.repro("run", "eval", "--paper", "toy", "--arm", "plain")
    until(lambda: list((slow.root / ".repro" / "leases").glob("*.json")))
    cluster.release()
    assert driver.finish()[0] == 1
    assert "failed: toy/pretrain@mini-plain seed1: loss is not finite at step 1" in driver.said
    until(lambda: not cluster.jobs())
    assert not cluster.submissions() - before
    assert slow.starts(slow.specs("pretrain") + slow.specs("eval")) == [1, 1, 1, 0]


def test_a_run_that_needs_a_gpu_gets_one(slow, cluster, until):
    card = yaml.load(slow.folder / "paper.yaml")
    card["resources"]["mini"]["pretrain"]["gpus"] = 1
    yaml.dump(card, slow.folder / "paper.yaml")
    driver = slow.pretrain()
    until(cluster.nodes_in_use)
    assert cluster.nodes_in_use()[0] in ("gpu1", "gpu2")
    assert cluster.ask("squeue", "--noheader", "--format=%b") == ["gres:gpu:fake:1"]
    assert driver.finish()[0] == 0, driver.said


def test_what_slurm_refuses_is_said_in_a_line(slow):
    slow.profile(qos="fast")
    driver = slow.pretrain()
    assert driver.finish()[0] == 1
    (line,) = [line for line in driver.said.splitlines() if line.startswith("error:")]
    assert "toy.pretrain@mini-plain" in line and "Invalid qos" in line
