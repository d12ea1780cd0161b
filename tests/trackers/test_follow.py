"""What trackers are told, whichever they are."""

import pytest
from click.testing import CliRunner

from repro.cli import main
from repro.pipeline import files
from repro.trackers import follow
from repro.trackers.runs import flat, path_of, progress, read

from .conftest import TRIALS


class Memory:
    """A tracker that remembers what it was told."""

    def __init__(self):
        self.written, self.lives = {}, []

    def has(self, run):
        return run.key in self.written

    def live(self, run, step, values):
        self.lives.append((run.key, step, values["loss"]))

    def write(self, run):
        self.written[run.planned.key] = run


def test_a_run_is_told_with_settings_curves_and_what_it_took(runs):
    run = runs.add("a")
    found = read(runs.store.entry(run.key), run)
    assert found.path == path_of(run) == "toy/mini/plain/pretrain/seed0"
    assert found.params["config.optimizer.lr"] == 0.001 and found.params["seed"] == 3
    assert found.params["config.optimizer.betas"] == [0.9, 0.999]
    assert found.history == [(100, {"loss": 5.5, "lr_factor": 1.0}),
                             (200, {"loss": 4.25, "lr_factor": 0.5})]
    assert found.summary["joules"] == 474.0 and found.summary["tokens"] == 2000.0
    assert found.summary["measured/pos.latency_ms"] == 2.5
    # 2026-01-02T03:04:05Z is 1767323045 seconds after 1970 began.
    assert (found.finished, found.started) == (1767323045.0, 1767323005.0)


def test_trials_are_numbered_and_rows_are_named_by_task(runs):
    run = runs.add("a", "finetune", history=TRIALS)
    history = read(runs.store.entry(run.key), run).history
    assert [step for step, _ in history] == [0, 1] and history[1][1]["pos/dev"] == 0.75
    rows = [{"task": "pos", "metric": "accuracy", "value": 0.5, "unit": "fraction"}]
    run = runs.add("b", "eval", history=(), rows=rows)
    assert read(runs.store.entry(run.key), run).summary["pos/accuracy"] == 0.5


def test_every_finished_run_is_written_once(runs):
    for letter in "abc":
        runs.add(letter)
    unfinished = runs.plan("d")
    sink = Memory()
    twice = [*runs.planned, runs.planned[0]]  # two arms share it
    assert follow.update(sink, runs.store, twice) == (3, 0)
    assert follow.update(sink, runs.store, twice) == (0, 3)
    assert unfinished.key not in sink.written


def test_a_living_run_is_followed_to_its_end(runs):
    run, sink, steps = runs.plan("a"), Memory(), iter([10, 10, 20])
    entry = runs.store.entry(run.key)

    def say():
        entry.write("progress", {"step": next(steps), "total": 30, "loss": 2.5,
                                 "spent": {"core_seconds": 1.0}})

    def wait(_):
        try:
            say()
        except StopIteration:
            runs.finish(run)

    say()
    with files.locked(entry.exec_lock) as held:
        assert held
        assert follow.follow(sink, runs.store, lambda: runs.planned, wait=wait) == 1
    assert sink.lives == [(run.key, 10, 2.5), (run.key, 20, 2.5)]
    assert set(sink.written) == {run.key}
    assert progress(entry)[1]["core_seconds"] == 1.0


def test_lists_of_plain_values_are_leaves():
    assert dict(flat({"a": [1, 2], "b": [{"c": 3}, {"c": 4}], "d": {}})) == {
        "a": [1, 2], "b.0.c": 3, "b.1.c": 4}


def test_a_tracker_that_is_not_installed_is_one_line(monkeypatch, tmp_path):
    (tmp_path / "papers").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("wandb", "mlflow"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
        done = CliRunner().invoke(main, ["log-to", name])
        assert done.exit_code == 1
        assert done.stderr == (f"error: log-to {name}: not installed here: pip install "
                               f"'repro[{name}]'\n")


@pytest.mark.parametrize("tracker", ["neptune", ""])
def test_an_unknown_tracker_names_those_there_are(tracker):
    done = CliRunner().invoke(main, ["log-to", tracker])
    assert done.exit_code == 2 and "tensorboard" in done.stderr
