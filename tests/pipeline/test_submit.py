"""`repro submit`, `attach`, `status`, `logs` and `cancel` of a suite whose jobs go to a cluster."""

import io
import json
import pickle
import signal

import pytest
from fake_site import SITE, finish
from fake_slurm import DOWN, FakeSlurm

from repro import yaml
from repro.errors import UserError
from repro.pipeline import gc as collector
from repro.pipeline import slurm_job, snapshot, status
from repro.pipeline.progress import Lines
from repro.pipeline.submit import Request, attach, submit, submit_driver


@pytest.fixture
def slurm(monkeypatch):
    fake = FakeSlurm()
    monkeypatch.setattr("repro.pipeline.queue.command", fake)
    monkeypatch.setattr(slurm_job, "command", fake)
    return fake


@pytest.fixture
def flags(suite):
    """Machine settings of a toy suite on that cluster."""
    suite.keep_arms("plain", "fast")
    suite.resolve()
    yaml.dump(SITE, suite.root / "site.yaml")
    return {"executor": "slurm", "cluster": str(suite.root / "site.yaml")}


def ask(suite, flags, *papers, **request):
    said = io.StringIO()
    code = submit(Request(papers or ("toy",), "mini", **request), suite.settings(**flags),
                  display=Lines(said))
    return code, said.getvalue()


def test_submitting_returns_when_everything_is_queued(suite, slurm, flags):
    code, said = ask(suite, flags)
    assert code == 0
    assert "13 runs queued, 0 over; see `repro status`" in said
    assert slurm.calls["sbatch"] == 4


def test_only_some_stages_and_what_they_need(suite, slurm, flags):
    ask(suite, flags, stages=("pretrain",), arms=("fast",))
    assert [job.title.partition("@")[0] for job in slurm.submitted] == [
        "toy.data", "toy.pretrain", "toy.pretrain"]


def test_another_host_at_the_same_workspace_does_not_stop_a_submission(suite, slurm, flags):
    """A lease keeps two hosts from running DVC in one workspace; queueing touches none of it."""
    lease = suite.root / ".repro" / "leases" / "elsewhere-7.json"
    lease.parent.mkdir(parents=True)
    lease.write_text(json.dumps({"host": "elsewhere", "boot": "b", "pid": 7, "start": 1}))
    assert ask(suite, flags)[0] == 0


def test_status_tells_why_runs_wait_and_what_runs_on_which_node(suite, slurm, flags):
    ask(suite, flags)
    slurm.schedule()
    found = status.status(suite.settings(**flags))
    counts = {(cell.stage, cell.arm): cell.counts for cell in found.cells}
    assert counts["data", "plain"] == {"running": 1}
    assert counts["eval", "fast"] == {"queued": 2}
    text = status.render(found)
    assert "starting  toy/data@mini-fast" in text  # plain has the same data
    assert "queued (Dependency)  toy/eval@mini-fast seed1" in text


def test_status_of_a_silent_controller_is_unknown_not_lost(suite, slurm, flags):
    ask(suite, flags)
    slurm.controller = False
    found = status.status(suite.settings(**flags))
    assert found.cells[0].counts == {"unknown": 1}
    assert f"the queue cannot be read: {DOWN}" in status.render(found)


def test_status_tells_how_a_lost_job_ended(suite, slurm, flags):
    ask(suite, flags, stages=("data",))
    (job,) = slurm.submitted
    job.state, slurm.records[job.number] = "TIMEOUT", ("TIMEOUT", "0:0")
    assert "toy/data@mini-plain and 1 more: its job TIMEOUT; run again to resume" in status.render(
        status.status(suite.settings(**flags)))


def test_status_says_of_dropped_jobs_that_an_input_is_missing(suite, slurm, flags):
    ask(suite, flags)
    data, *others = slurm.submitted
    data.state = "FAILED"
    for _ in range(3):
        slurm.schedule()
    assert {job.state for job in others} == {"CANCELLED"}
    found = status.status(suite.settings(**flags))
    counts = {(cell.stage, cell.arm): cell.counts for cell in found.cells}
    assert counts["pretrain", "plain"] == counts["eval", "fast"] == {"blocked": 2}
    assert "and 11 more: not started: a run it needs did not finish" in status.render(found)


def test_cancelled_jobs_are_shown_as_cancelled_and_are_submitted_again_when_asked(
    suite, slurm, flags
):
    ask(suite, flags)
    slurm.jobs["1001_0"].state = "PENDING"
    cancelled = status.cancel(suite.settings(**flags), "toy/eval")
    assert len(cancelled) == 4
    found = status.status(suite.settings(**flags))
    counts = {(cell.stage, cell.arm): cell.counts for cell in found.cells}
    assert counts["eval", "fast"] == {"cancelled": 2}
    assert counts["finetune", "fast"] == {"queued": 2}
    ask(suite, flags)
    assert slurm.calls["sbatch"] == 4 + 1


def test_cancelling_where_nobody_listens_changes_nothing(suite, slurm, flags):
    ask(suite, flags)
    slurm.controller = False
    with pytest.raises(UserError, match="scancel: Unable to contact slurm controller"):
        status.cancel(suite.settings(**flags), "toy/eval")
    slurm.controller = True
    assert not any(job.get("cancelled") for job in suite.store.jobs())


def test_logs_of_a_waiting_run_say_what_it_waits_for(suite, slurm, flags):
    ask(suite, flags)
    slurm.schedule()
    said = io.StringIO()
    status.logs(suite.settings(**flags), "toy/eval@mini-fast seed1", stream=said)
    assert said.getvalue().endswith("--- queued (Dependency)\n")


def test_logs_of_a_lost_run_hold_what_slurm_said(suite, slurm, flags):
    ask(suite, flags, stages=("data",))
    (job,) = slurm.submitted
    job.state = "FAILED"
    (job.folder / f"{job.number}_0_log.out").write_text("slurmstepd: error: Exceeded memory\n")
    said = io.StringIO()
    status.logs(suite.settings(**flags), "toy/data", stream=said)
    assert "--- vanished (FAILED)\n" in said.getvalue()
    assert said.getvalue().endswith("slurmstepd: error: Exceeded memory\n")


def test_attaching_follows_what_was_asked_for_last(suite, slurm, flags):
    ask(suite, flags)
    for job in slurm.submitted:
        finish(suite, job)
        job.state = "COMPLETED"
    said = io.StringIO()
    assert attach([], suite.settings(**flags), Lines(said)) == 0
    assert slurm.calls["sbatch"] == 4


def test_attaching_leaves_runs_of_other_settings_alone(suite, slurm, flags):
    ask(suite, flags)
    for job in slurm.submitted:
        finish(suite, job)
        job.state = "COMPLETED"
    suite.resolve(eval={"scale": 9})
    said = io.StringIO()
    assert attach(["toy"], suite.settings(**flags), Lines(said)) == 0
    assert "4 runs of other settings are left alone" in said.getvalue()
    assert slurm.calls["sbatch"] == 4


def test_there_must_be_something_to_attach_to(suite, slurm, flags):
    with pytest.raises(UserError, match="nothing to attach to"):
        attach([], suite.settings(**flags))


def test_a_driver_that_is_a_job_is_asked_for_the_same(suite, slurm, flags):
    number = submit_driver(Request(("toy",), "mini", ("fast",)), suite.settings(**flags))
    (job,) = slurm.submitted
    assert (job.number, job.title.partition(".")[0]) == (number, "repro-driver")
    task = pickle.loads((job.folder / f"{number}_submitted.pkl").read_bytes())
    assert task.function is slurm_job.drive_job
    asked = json.loads(task.args[0])
    assert asked["request"] == {"papers": ["toy"], "profile": "mini", "arms": ["fast"],
                                "stages": [], "wait": True}
    assert asked["flags"] | flags == asked["flags"]


def test_a_driver_that_is_a_job_needs_a_cluster_and_papers_that_exist(suite, slurm, flags):
    with pytest.raises(UserError, match="--driver-job needs a cluster"):
        submit_driver(Request(("toy",), "mini"), suite.settings())
    with pytest.raises(UserError, match="unknown arm 'fats'"):
        submit_driver(Request(("toy",), "mini", ("fats",)), suite.settings(**flags))


def test_a_driver_whose_time_is_up_leaves_the_runs_alone_and_comes_back(slurm, monkeypatch):
    calls = []
    monkeypatch.setattr(slurm_job, "command", lambda *argv: calls.append(argv))
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    former = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR2)}
    heard = []

    def drive(asked):
        signal.signal(signal.SIGTERM, lambda *_: heard.append("leave"))
        signal.raise_signal(signal.SIGUSR2)
        return 143

    monkeypatch.setattr("repro.pipeline.submit.run_text", drive)
    try:
        with pytest.raises(SystemExit) as caught:
            slurm_job.drive_job("{}")
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
    assert (caught.value.code, heard) == (143, ["leave"])
    assert calls == [("scontrol", "requeue", "77")]


def test_a_copy_of_the_code_is_made_once_per_content(suite):
    first = snapshot.take(suite.root, suite.store)
    assert snapshot.take(suite.root, suite.store) == first
    assert (first / "papers" / "toy" / "method.py").read_text() == (
        suite.folder / "method.py").read_text()
    assert (first / "repro" / "pipeline" / "snapshot.py").is_file()
    assert not list(first.rglob("__pycache__"))
    (suite.folder / "out").mkdir()
    (suite.folder / "out" / "large.py").write_text("not code")
    assert snapshot.take(suite.root, suite.store) == first
    (suite.folder / "method.py").write_text("# other\n")
    assert snapshot.take(suite.root, suite.store) != first


def test_jobs_are_told_to_run_the_copy_and_gc_keeps_it_as_long(suite, slurm, flags):
    ask(suite, flags | {"snapshot": True}, stages=("data",))
    (copy,) = snapshot.folder(suite.store).iterdir()
    (job,) = slurm.submitted
    request = suite.store.entry(job.keys[0]).read("request")
    assert request["root"] == str(copy)
    assert f"PYTHONPATH={copy}" in (job.folder / "submission.sh").read_text()
    collector.gc(suite.settings(**flags))
    assert copy.is_dir()
    finish(suite, job)
    job.state = "COMPLETED"
    collector.gc(suite.settings(**flags))
    assert not copy.exists()


def test_the_store_of_the_cluster_file_is_used_where_the_settings_name_none(suite, flags):
    yaml.dump(SITE | {"store": "shared/store"}, suite.root / "site.yaml")
    assert suite.settings(**flags).store == suite.root / "shared" / "store"
    assert suite.settings(**flags, store="/mine").store.as_posix() == "/mine"
