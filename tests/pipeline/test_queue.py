"""What the suite concludes from the answers of squeue and sacct."""

import os

import pytest
from fake_slurm import DOWN

from repro.pipeline import queue as looking
from repro.pipeline.jobs import Busy
from repro.pipeline.queue import Queue, Reply, command
from repro.pipeline.store import Store


class Script:
    """Commands that answer what they are told to, and note what they were asked."""

    def __init__(self, **answers):
        self.answers, self.asked = answers, []

    def __call__(self, *argv):
        self.asked.append(argv)
        answer = self.answers.get(argv[0], "")
        return answer if isinstance(answer, Reply) else Reply(0, answer, "")


def job(number="7_0", title="t", **facts):
    return {"launcher": "slurm", "name": "repro-a", "job_id": number, "title": title, "index": 0,
            "keys": [], "folder": "t", "after": [], "submitted": 0.0, "user": 1000, **facts}


@pytest.fixture
def make(tmp_path):
    def queue(**answers):
        made = Queue(Store(tmp_path), Script(**answers))
        made.refresh()
        return made
    return queue


@pytest.mark.parametrize(
    ("state", "seen"),
    [
        ("PENDING", "queued"), ("REQUEUED", "queued"), ("REQUEUE_HOLD", "queued"),
        ("CONFIGURING", "running"), ("RUNNING", "running"), ("SUSPENDED", "running"),
        ("STAGE_OUT", "running"),
        ("COMPLETING", "ending"),
        ("COMPLETED", "gone"), ("FAILED", "gone"), ("CANCELLED", "gone"), ("TIMEOUT", "gone"),
        ("NODE_FAIL", "gone"), ("PREEMPTED", "gone"), ("OUT_OF_MEMORY", "gone"),
        ("BOOT_FAIL", "gone"), ("DEADLINE", "gone"),
    ],
)
def test_states_of_slurm(make, state, seen):
    assert make(squeue=f"7_0|{state}|None|n1|t\n").look(job()).state == seen


def test_why_a_job_waits_and_how_it_ended(make):
    queue = make(squeue="7_0|PENDING|Priority||t\n7_1|CANCELLED|DependencyNeverSatisfied||t\n")
    assert queue.look(job()).reason == "Priority"
    assert queue.look(job("7_1")).reason == "CANCELLED (DependencyNeverSatisfied)"


def test_a_job_that_is_not_in_the_queue_is_gone(make):
    assert make(squeue="").look(job()).state == "gone"


def test_a_number_that_another_job_has_now_is_not_ours(make):
    """Numbers start again when a cluster is set up anew."""
    assert make(squeue="7_0|RUNNING|None|n1|somebody.else\n").look(job()).state == "gone"


@pytest.mark.parametrize("reply", [Reply(1, "", f"squeue: error: {DOWN}"), Reply(-1, "", "squeue: "
                                   "no answer in 60 s"), Reply(127, "", "squeue: not installed")])
def test_a_controller_that_does_not_answer_says_nothing_about_jobs(make, reply):
    queue = make(squeue="7_0|RUNNING|None|n1|t\n")
    ticks = queue.ticks
    queue.run.answers["squeue"] = reply
    queue.refresh(force=True)
    assert queue.look(job()).state == "unknown"
    assert queue.look(job("8_0")).state == "unknown"
    assert queue.trouble == reply.reason
    assert queue.ticks == ticks  # such a look does not count as one at which a job was absent
    queue.run.answers["squeue"] = ""
    queue.refresh(force=True)
    assert (queue.look(job()).state, queue.trouble) == ("gone", "")


def test_one_question_for_all_jobs_and_not_more_often_than_agreed(make):
    queue = make(squeue="")
    for number in range(1000):
        queue.refresh()
        queue.look(job(f"{number}_0"))
    assert len(queue.run.asked) == 1
    queue.refresh(force=True)
    assert len(queue.run.asked) == 2


def test_jobs_of_all_users_of_the_store_are_asked_about(make, tmp_path):
    Store(tmp_path).record(job())
    asked = make(squeue="").run.asked[0]
    assert f"--user={','.join(map(str, sorted({1000, os.getuid()})))}" in asked


def test_accounting_tells_how_forgotten_jobs_ended(make):
    queue = make(squeue="", sacct="7_0|TIMEOUT|0:0\n7_1|FAILED|9:0\n7_2|CANCELLED by 0|0:0\n"
                                  "7_3|RUNNING|0:0\n")
    assert queue.why([job(f"7_{n}") for n in range(5)]) == [
        "TIMEOUT", "FAILED (9:0)", "CANCELLED", "", ""]
    assert [argv[0] for argv in queue.run.asked] == ["squeue", "sacct"]


def test_what_slurm_complained_about_in_the_jobs_output_is_part_of_the_reason(make, tmp_path):
    folder = tmp_path / "jobs" / "t"
    folder.mkdir(parents=True)
    (folder / "7_0_0_log.out").write_text(
        "x" * 20_000 + "\nstep 3\nslurmstepd: error: Step 7.0 exceeded memory limit (9 > 8)\nbye\n")
    assert make(squeue="7_0|FAILED|NonZeroExitCode||t\n").why([job()]) == [
        "FAILED (NonZeroExitCode): Step 7.0 exceeded memory limit (9 > 8)"]


def test_without_accounting_the_queue_still_tells(make):
    queue = make(squeue="7_0|NODE_FAIL|None||t\n", sacct=Reply(1, "", "accounting is disabled"))
    assert queue.why([job(), job("8_0")]) == ["NODE_FAIL", ""]


def test_a_job_nobody_recorded_is_found_by_its_name_and_index(make, tmp_path):
    (tmp_path / "jobs" / "t").mkdir(parents=True)
    queue = make(squeue="7_0|PENDING|None||t\n7_1|COMPLETED|None|n1|t\n8_0|RUNNING|None|n1|u\n")
    intent = {key: value for key, value in job().items() if key != "job_id"}
    assert queue.find(intent)["job_id"] == "7_0"
    assert (tmp_path / "jobs" / "t" / "7_0_submitted.pkl").exists()  # what it is to run
    assert queue.find({**intent, "index": 1}) is None  # ended
    assert queue.find({**intent, "title": "v"}) is None


def test_cancelling_asks_once_for_many_and_says_when_nobody_listens(make):
    queue = make()
    queue.cancel([job(f"7_{n}") for n in range(600)], now=True)
    calls = [argv for argv in queue.run.asked if argv[0] == "scancel"]
    assert [len(argv) for argv in calls] == [502, 102]
    assert calls[0][1] == "--signal=KILL"
    queue.run.answers["scancel"] = Reply(1, "", f"scancel: error: {DOWN}")
    with pytest.raises(Busy, match="Unable to contact slurm controller"):
        queue.cancel([job()])


def test_a_command_does_not_hear_of_the_job_it_is_called_from(monkeypatch):
    monkeypatch.setenv("SLURM_CONF", "/site/slurm.conf")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "3")
    monkeypatch.setenv("SBATCH_ACCOUNT", "mine")
    lines = command("env").out.splitlines()
    assert "SLURM_CONF=/site/slurm.conf" in lines
    assert "SBATCH_ACCOUNT=mine" in lines
    assert [line for line in lines if line.startswith(("SLURM_JOB", "SLURM_CPUS"))] == []


def test_a_command_that_is_not_there_or_hangs_is_an_answer_too(monkeypatch):
    assert command("no-such-program").reason == "no-such-program: not installed on this host"
    monkeypatch.setattr(looking, "_ANSWER_S", 0.1)
    assert command("sleep", "5").reason == "sleep: no answer in 0 s"


def test_the_reason_of_a_refusal_is_said_once():
    reply = Reply(1, "", "sbatch: error: invalid partition\nsbatch: error: Batch job submission "
                         "failed: Invalid partition name specified\n")
    assert reply.reason == ("invalid partition; Batch job submission failed: Invalid partition "
                            "name specified")
    assert Reply(3, "", "").reason == "exit status 3"
