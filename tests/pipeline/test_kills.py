"""Kill drills: whatever dies, runs keep one living copy and end in the same bytes."""

import contextlib
import json
import os
import pty
import resource
import signal
import subprocess
import sys
import threading
import time

import pytest

from repro.pipeline import files, processes
from repro.pipeline.status import cancel, status

STEPS = 20
SLOW = {"steps": STEPS, "pause": 0.1}


@pytest.fixture
def slow(evaluated):
    """The toy with a pre-training of two seconds, and the result it must have."""
    evaluated.resolve(pretrain=SLOW)
    expected = {}
    for seed in (0, 1):
        total = seed
        for _ in range(STEPS):
            total = (total * 31 + 1 + sum(range(3))) % 1_000_003
        expected[f"seed{seed}/encoder/model.json"] = json.dumps({"total": total})
    return evaluated, evaluated.specs("pretrain"), expected


DRIVER = """
import sys
from repro.paper import Paper
from repro.pipeline.progress import choose
from repro.pipeline.stage import run_stage
from repro.settings import load
root, stage, arm = sys.argv[1:]
sys.exit(run_stage(Paper.find("toy", root), stage, "mini", arm, load(root), choose("info")))
"""


def models(suite):
    return {name: text for name, text in suite.out("pretrain").items() if "model" in name}


def steps_from(suite, spec):
    """Return the steps at which the starts of a run began."""
    lines = suite.store.entry(spec.key).log.read_text().splitlines()
    return [int(line.split()[-1]) for line in lines if line.startswith("from step")]


def test_a_killed_driver_attaches_again_and_nothing_runs_twice(slow, until):
    suite, specs, expected = slow
    driver = suite.driver("pretrain")
    until(lambda: suite.running(specs))
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    assert suite.run("pretrain")[0] == 0
    assert suite.starts(specs) == [1, 1]
    assert models(suite) == expected


def test_a_job_nobody_recorded_is_found_by_its_name(slow, until):
    suite, specs, expected = slow
    driver = suite.driver("pretrain")
    until(lambda: suite.running(specs))
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    for spec in specs:  # as if killed between the start of the job and the record of it
        suite.store.entry(spec.key).clear("job")
    for path in (suite.store.root / "jobs").glob("*.json"):
        path.unlink()
    assert suite.run("pretrain")[0] == 0
    assert suite.starts(specs) == [1, 1]
    assert models(suite) == expected


def test_a_driver_killed_in_the_middle_of_submitting_costs_nothing(evaluated):
    """The job's process was started, but not yet told what to run."""
    evaluated.resolve(eval={"scale": 5})
    code = ("import os; from submitit.core import utils;"
            "utils.JobPaths.move_temporary_file = lambda *_, **__: os.kill(os.getpid(), 9)\n")
    done = subprocess.run([sys.executable, "-c", code + DRIVER, str(evaluated.root), "eval",
                           "plain"], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(evaluated.processes()) > 0
    assert evaluated.run("eval")[0] == 0
    assert evaluated.starts(evaluated.specs("eval")) == [1, 1]


def test_a_run_that_outlives_its_controller_is_waited_for(slow, until):
    suite, specs, expected = slow
    driver = suite.driver("pretrain")
    until(lambda: suite.running(specs))
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    for spec in specs:
        os.kill(suite.store.entry(spec.key).read("job")["process"]["pid"], signal.SIGKILL)
    assert suite.run("pretrain")[0] == 0
    assert suite.starts(specs) == [1, 1]
    assert models(suite) == expected


def test_a_killed_run_resumes_from_its_checkpoint(slow, until):
    suite, specs, expected = slow
    driver = suite.driver("pretrain")
    until(lambda: suite.running(specs, least_step=5))
    for process in suite.processes():
        if process.pid != driver.pid:
            process.kill()
    said, _ = driver.communicate()
    assert driver.returncode == 75
    assert "vanished: toy/pretrain@mini-plain seed0" in said
    assert suite.run("pretrain")[0] == 0
    assert suite.starts(specs) == [2, 2]
    assert all(steps_from(suite, spec)[1] >= 5 for spec in specs)
    assert models(suite) == expected


def test_a_terminated_job_saves_and_is_interrupted_not_failed(slow, until):
    suite, specs, expected = slow
    driver = suite.driver("pretrain")
    until(lambda: suite.running(specs, least_step=3))
    os.kill(suite.store.entry(specs[0].key).read("progress")["pid"], signal.SIGTERM)
    said, _ = driver.communicate()
    assert driver.returncode == 75
    assert "stopped: toy/pretrain@mini-plain seed0: stopped on request at step" in said
    assert suite.store.entry(specs[0].key).end() == "interrupted"
    assert suite.store.entry(specs[1].key).end() == "done"
    assert suite.run("pretrain")[0] == 0
    assert steps_from(suite, specs[0])[1] >= 3
    assert suite.starts(specs) == [2, 1]
    assert models(suite) == expected


def test_interrupting_the_driver_cancels_and_a_rerun_resumes(slow, until):
    suite, specs, expected = slow
    driver = suite.driver("pretrain")
    until(lambda: suite.running(specs, least_step=3))
    os.kill(driver.pid, signal.SIGINT)
    said, _ = driver.communicate()
    assert driver.returncode == 130
    assert "cancelled" in said
    assert not suite.running(specs)
    assert suite.run("pretrain")[0] == 0
    assert all(steps_from(suite, spec)[1] >= 3 for spec in specs)
    assert models(suite) == expected


def test_terminating_the_driver_detaches(slow, until):
    suite, specs, expected = slow
    driver = suite.driver("pretrain")
    until(lambda: suite.running(specs))
    os.kill(driver.pid, signal.SIGTERM)
    said, _ = driver.communicate()
    assert driver.returncode == 143
    assert "detached: 2 running go on" in said
    assert suite.running(specs)
    assert suite.run("pretrain")[0] == 0
    assert suite.starts(specs) == [1, 1]
    assert models(suite) == expected


def typed(suite, until, keys):
    """Run the driver at a terminal, type each key when asked what Ctrl-C meant; return (exit code,
    what the terminal showed)."""
    specs = suite.specs("pretrain")
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["REPRO_WORKERS"] = "2"
        os.execv(sys.executable, [sys.executable, "-c", DRIVER, str(suite.root), "pretrain",
                                  "plain"])
    shown = bytearray()
    reader = threading.Thread(target=drain, args=(terminal, shown))
    reader.start()
    until(lambda: suite.running(specs, least_step=2))
    for key in keys:
        os.write(terminal, b"\x03")
        until(lambda: b"detach" in shown)
        os.write(terminal, key)
    _, code = os.waitpid(pid, 0)
    reader.join()
    os.close(terminal)
    return os.waitstatus_to_exitcode(code), shown.decode(errors="replace")


def drain(terminal, shown):
    with contextlib.suppress(OSError):  # the driver closed its end
        while some := os.read(terminal, 4096):
            shown += some


def test_control_c_at_a_terminal_can_detach(slow, until):
    suite, specs, expected = slow
    code, shown = typed(suite, until, [b"d\n"])
    assert code == 143
    assert "toy/pretrain@mini-plain seed0" in shown
    assert "detached: 2 running go on" in shown
    assert suite.run("pretrain")[0] == 0
    assert suite.starts(specs) == [1, 1]
    assert models(suite) == expected


def test_control_c_at_a_terminal_can_be_taken_back(slow, until):
    suite, specs, expected = slow
    code, _ = typed(suite, until, [b"\n"])
    assert code == 0
    assert models(suite) == expected


def test_a_second_control_c_cancels(slow, until):
    suite, specs, _ = slow
    code, shown = typed(suite, until, [b"\x03"])
    assert code == 130
    assert "cancelled; the same command resumes" in shown
    assert not any(suite.store.entry(spec.key).executing() for spec in specs)


def test_two_drivers_at_once_share_the_runs(slow):
    suite, specs, expected = slow
    suite.seeds([0, 1, 2])
    specs = suite.specs("pretrain")
    drivers = [suite.driver("pretrain", arm) for arm in ("plain", "twin")]
    said = [driver.communicate()[0] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0], said
    assert suite.starts(specs) == [1, 1, 1]
    assert suite.out("pretrain", "plain") == suite.out("pretrain", "twin")
    assert expected.items() <= models(suite).items()


def test_two_drivers_start_no_more_jobs_than_there_are_workers(slow, until):
    suite, specs, _ = slow
    suite.resolve(pretrain={"steps": 5, "pause": 0.1})
    suite.seeds([0, 1, 2])
    drivers = [suite.driver("pretrain", arm) for arm in ("plain", "fast")]
    every = [*suite.specs("pretrain"), *suite.specs("pretrain", "fast")]
    most = 0
    while any(driver.poll() is None for driver in drivers):
        most = max(most, sum(suite.store.entry(spec.key).executing() for spec in every))
        time.sleep(0.02)
    for driver in drivers:
        driver.communicate()
    assert most == 2
    assert suite.starts(every) == [1] * 6


def test_a_cancelled_job_that_still_ends_is_not_attached_to(slow, until):
    suite, specs, expected = slow
    driver = suite.driver("pretrain")
    until(lambda: suite.running(specs, least_step=2))
    cancelled = cancel(suite.settings(), "toy/pretrain@mini-plain seed0")
    assert cancelled == ["toy/pretrain@mini-plain seed0"]
    driver.communicate()
    assert driver.returncode == 75
    # The record of a job that was told to stop but is not gone yet.
    entry = suite.store.entry(specs[0].key)
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1.5)"])
    entry.clear("interrupted")
    suite.store.record(entry.read("job") | {"process": processes.identify(sleeper.pid)})
    assert suite.run("pretrain")[0] == 0
    assert sleeper.poll() is None or sleeper.wait() == 0
    assert suite.starts(specs) == [2, 1]
    assert models(suite) == expected


def test_status_tells_running_from_done(slow, until):
    suite, specs, _ = slow
    driver = suite.driver("pretrain")
    until(lambda: suite.running(specs, least_step=12))
    (cell,) = [c for c in status(suite.settings()).cells if c.stage == "pretrain"]
    assert cell.counts == {"running": 2}
    (row, _) = status(suite.settings(), ["toy"]).active
    assert (row.label, row.total) == ("toy/pretrain@mini-plain seed0", STEPS)
    driver.communicate()
    (cell,) = [c for c in status(suite.settings()).cells if c.stage == "pretrain"]
    assert cell.counts == {"done": 2}


def test_a_disk_too_full_to_record_anything_loses_nothing(slow, until):
    """The job may write no byte from step 3 on: markers cannot be written."""
    suite, specs, expected = slow
    driver = suite.driver("pretrain")
    until(lambda: suite.running(specs, least_step=3))
    for spec in specs:
        pid = suite.store.entry(spec.key).read("progress")["pid"]
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    said, _ = driver.communicate()
    assert driver.returncode in (1, 75)
    assert "disk" in said
    assert suite.run("pretrain")[0] == 0
    assert all(steps_from(suite, spec)[-1] >= 3 for spec in specs)
    assert models(suite) == expected
    assert files.tree(suite.store.entry(specs[0].key).out)
