"""The cluster itself: what its command promises."""

import json
import os
import shutil

import psutil
import pytest


def listening(cluster):
    """Return the addresses at which the daemons of a cluster listen."""
    found = set()
    for process in psutil.process_iter(["cmdline"]):
        if any(f"{cluster.state}/" in part for part in process.info["cmdline"] or ()):
            found |= {one.laddr.ip for one in process.net_connections("inet")
                      if one.status == psutil.CONN_LISTEN}
    return found


def pids(cluster):
    return [line.split()[-1] for line in cluster.do("status").stdout.splitlines()]


def test_starting_twice_changes_nothing(cluster):
    before = pids(cluster)
    cluster.must("start")
    assert pids(cluster) == before
    assert len(before) == len(set(before)) == 10  # munged, database, two controllers, six nodes


def test_env_is_what_a_shell_needs(cluster):
    assert cluster.do("env").stdout == f"export SLURM_CONF={cluster.conf}\n"


def test_only_the_loopback_is_listened_at(cluster):
    assert listening(cluster) == {"127.0.0.1"}


def test_gpus_are_given_out(cluster):
    (line,) = cluster.ask("srun", "--partition=gpu", "--gres=gpu:2", "bash", "-c",
                          "echo $CUDA_VISIBLE_DEVICES on $SLURMD_NODENAME")
    assert line in ("0,1 on gpu1", "0,1 on gpu2")


def test_two_clusters_do_not_know_each_other(cluster, bare_cluster):
    assert bare_cluster.do("status").returncode == 0
    assert not set(pids(cluster)) & set(pids(bare_cluster))
    before = pids(cluster)
    bare_cluster.must("stop")
    assert bare_cluster.do("status").returncode == 3
    assert pids(cluster) == before
    assert cluster.ask("srun", "echo", "here") == ["here"]
    bare_cluster.must("start", "--no-accounting")
    assert bare_cluster.ask("srun", "echo", "here") == ["here"]


def test_a_process_id_that_now_means_another_program_is_left_alone(bare_cluster):
    bare_cluster.must("stop")
    (bare_cluster.state / "run" / "slurmctld.pid").write_text(f"{os.getpid()}\n")
    assert bare_cluster.do("status").returncode == 3
    bare_cluster.must("stop")
    bare_cluster.must("start", "--no-accounting")


def test_a_killed_node_loses_its_jobs_and_comes_back(cluster, until):
    (job,) = cluster.ask("sbatch", "--parsable", "--output=/dev/null", "--wrap", "sleep 60")
    until(cluster.nodes_in_use)
    (node,) = cluster.nodes_in_use()
    cluster.must("node-kill", node)
    assert cluster.ask("sinfo", "-h", "-n", node, "-p", "cpu", "-o", "%T") == ["down"]
    assert cluster.ask("squeue", "-h", "-j", job, "-o", "%T") == ["PENDING"]
    cluster.must("node-start", node)
    assert cluster.ask("sinfo", "-h", "-n", node, "-p", "cpu", "-o", "%T") == ["idle"]


@pytest.mark.parametrize(("words", "said"), [
    (["node-kill", "cpu9"], "no node 'cpu9'; there are cpu1, cpu2"),
    (["start", "--no-accounting"], "it runs with accounting: stop it first"),
])
def test_what_cannot_be_done_is_said_in_a_line(cluster, words, said):
    done = cluster.do(*words)
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_job_ids_of_a_new_cluster_are_not_those_of_another(cluster, bare_cluster):
    first = [json.loads((one.state / "settings.json").read_text())["first_job_id"]
             for one in (cluster, bare_cluster)]
    assert first[0] != first[1]


@pytest.mark.parametrize(("ci", "outcome"), [
    ("", pytest.skip.Exception), ("true", pytest.fail.Exception),
])
def test_without_slurm_tests_say_how_to_get_it_and_fail_in_ci(
    monkeypatch, require_slurm, ci, outcome
):
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(outcome, match="devcluster install"):
        require_slurm()
