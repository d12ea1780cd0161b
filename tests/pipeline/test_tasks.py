"""A job of two tasks: what `run_pack` makes of a run that all share, and of one they do not."""

import json
import os
import socket
import subprocess
import sys
import time

import pytest

from repro.errors import UserError
from repro.pipeline import tasks

PACK = "import json, sys; from repro.pipeline.execute import run_pack; " \
       "print(json.dumps(run_pack(sys.argv[1], sys.argv[2:])))"
SHARED = '''
def pretrain(ctx, *, steps=3, pause=0.0, rate=1, fail_at=-1, fail_seed=-1, error="UserError"):
    """Count what all tasks together see of steps x 4 numbers."""
    import torch

    share = [ctx.world.share(step, 4) for step in range(steps)]
    seen = torch.tensor([[sum(map(len, share))]])
    if fail_at == ctx.world.rank:
        raise KeyError("colour") if error == "KeyError" else UserError("rate = 0: expected more")
    if error == "exit" and ctx.world.rank == 1:
        os._exit(9)
    print("rank", ctx.world.rank, flush=True)
    while pause and not ctx.world.any(ctx.stop_requested()):
        time.sleep(pause)
    if pause:
        raise Interrupted
    total = {"seen": ctx.world.gather(seen).sum().item(), "size": ctx.world.size}
    (ctx.out / "encoder").mkdir()
    (ctx.out / "encoder" / "model.json").write_text(json.dumps(total | {"total": ctx.world.rank}))
'''


@pytest.fixture
def shared(suite):
    """A suite whose pretrain counts with all tasks; its data are there."""
    method = suite.folder / "method.py"
    text = method.read_text()
    before, after = text.index("def pretrain"), text.index("def finetune")
    method.write_text(text[:before] + SHARED.lstrip() + "\n\n" + text[after:])
    suite.resolve()
    assert suite.run("data")[0] == 0
    return suite


def prepared(suite, *stages, **settings):
    """Write the requests of one run of each stage; return their entries."""
    suite.resolve(**settings)
    specs = [suite.specs(stage)[0] for stage in stages]
    return [suite.store.prepare(spec, suite.root) for spec in specs]


def start(suite, entries, size=2):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    jobs = []
    for rank in range(size):
        place = {"RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        keys = [entry.key for entry in entries]
        jobs.append(subprocess.Popen(
            [sys.executable, "-c", PACK, str(suite.store.root), *keys], text=True,
            stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
            env=os.environ | {name: str(value) for name, value in place.items()}))
    return jobs


def ends(jobs, entries):
    """Return the ends each task says the runs came to."""
    said = [job.communicate(timeout=120)[0] for job in jobs]
    return [[json.loads(text)[entry.key] for entry in entries] for text in said if text]


def test_all_tasks_share_a_pretraining_and_task_0_does_the_rest(shared):
    entries = prepared(shared, "pretrain", "finetune")
    assert ends(start(shared, entries), entries) == [["done", "done"]] * 2
    made = json.loads((entries[0].out / "encoder" / "model.json").read_text())
    assert made == {"seen": 12, "size": 2, "total": 0}
    assert [entry.read("run")["tasks"] for entry in entries] == [2, 1]
    assert [len(entry.starts.read_text().splitlines()) for entry in entries] == [1, 1]
    logs = sorted(path.name for path in entries[0].log.parent.iterdir())
    assert logs == ["run.log", "run.rank1.log"] and "rank 1" in (
        entries[0].log.with_name("run.rank1.log").read_text())
    assert not (entries[1].log.parent / "run.rank1.log").exists()
    # What is done stays so: nobody starts it again.
    assert ends(start(shared, entries), entries) == [["done", "done"]] * 2
    assert len(entries[0].starts.read_text().splitlines()) == 1


@pytest.mark.parametrize("rank", [0, 1])
def test_an_error_in_one_task_fails_the_run_and_the_next_run_goes_on(shared, rank):
    failing, = prepared(shared, "pretrain", pretrain={"fail_at": rank, "error": "KeyError"})
    going, = prepared(shared, "pretrain", pretrain={"steps": 5})
    entries = [failing, going]
    assert ends(start(shared, entries), entries) == [["failed", "done"]] * 2
    assert "KeyError: 'colour'" in failing.read("failed")["error"]
    assert going.read("run")["tasks"] == 2


def test_a_task_that_dies_fails_the_run_at_once_and_the_rest_of_the_pack(shared):
    dying, = prepared(shared, "pretrain", pretrain={"error": "exit"})
    after, = prepared(shared, "pretrain", pretrain={"steps": 5})
    entries = [dying, after]
    assert ends(start(shared, entries), entries) == [["failed", "failed"]]
    for entry in entries:
        assert "lost the connection to another task of this job" in entry.read("failed")["error"]


def test_a_signal_to_one_task_interrupts_the_run_in_all(shared, until):
    entries = prepared(shared, "pretrain", pretrain={"pause": 0.02})
    jobs = start(shared, entries)
    log = entries[0].log.with_name("run.rank1.log")
    until(lambda: log.exists() and "rank 1" in log.read_text(), 60)
    time.sleep(0.1)
    jobs[1].terminate()
    assert ends(jobs, entries) == [["interrupted"]] * 2
    assert entries[0].end() == "interrupted"


def test_a_job_of_one_task_needs_nobody(monkeypatch):
    for name in (*tasks.PLAIN, "SUBMITIT_EXECUTOR"):
        monkeypatch.delenv(name, raising=False)
    assert tasks.meet() is None and tasks.rank() == 0


def test_slurm_says_where_the_tasks_meet(monkeypatch):
    place = {"SUBMITIT_EXECUTOR": "slurm", "SLURM_JOB_ID": "71", "SLURM_NTASKS": "4",
             "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_NODELIST": "localhost,node2",
             "SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_NODEID": "1"}
    for name in tasks.PLAIN:
        monkeypatch.delenv(name, raising=False)
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    met = []
    monkeypatch.setattr("repro.train.rendezvous.Tasks", met.append)
    assert tasks.rank() == 3
    tasks.meet()
    port = int(met[0].pop("MASTER_PORT"))
    assert 20000 <= port <= 60000
    assert met[0] == {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1",
                      "MASTER_ADDR": "localhost"}
    monkeypatch.setenv("SLURM_JOB_NODELIST", "no-such-node.invalid")
    with pytest.raises(UserError, match="no-such-node.invalid: its name does not resolve"):
        tasks.meet()
