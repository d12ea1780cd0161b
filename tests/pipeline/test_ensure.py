"""The driver's decisions, with a scheduler that ends each job the moment it is submitted."""

import io
import time
from math import ceil

import pytest

from repro.pipeline import processes
from repro.pipeline.ensure import VANISHED, Outcome, ensure
from repro.pipeline.jobs import Look
from repro.pipeline.launch import Fleet
from repro.pipeline.progress import Lines
from repro.pipeline.spec import expand_all


class Instant:
    """A scheduler without waiting. ends: label -> failed or vanished; else runs are done."""

    name = "instant"
    links = False
    poll_s = 0.0
    retries = 0
    trouble = ""
    ticks = 0

    def __init__(self, store, workers=2, ends=None):
        self.store, self.workers, self.ends = store, workers, ends or {}
        self.packs = []

    def refresh(self, force=False):
        self.ticks += 1

    def look(self, job):
        return Look("gone")

    def why(self, jobs):
        return ["" for _ in jobs]

    def find(self, intent):
        return None

    def pack_size(self, runs, most):
        return min(most, ceil(runs / self.workers))

    def choose(self, packs):
        return list(packs)

    def submit(self, packs):
        self.packs += packs
        return [self._run(pack) for pack in packs]

    def _run(self, pack):
        job = {**pack.intent(self.name, pack.name), "process": None}
        self.store.record(job)
        for key in pack.keys:
            entry = self.store.entry(key)
            label = entry.read("request")["label"]
            end = self.ends.get(label, "done")
            if end == "failed":
                entry.write("failed", {"error": "no luck", "time": time.time()})
            elif end == "done":
                (entry.dir / "out.tmp").mkdir()
                (entry.dir / "out.tmp" / "x.json").write_text(label)
                entry.finish(entry.dir / "out.tmp", {"label": label, "seconds": 1.0})
        return job


def drive(suite, specs, launcher):
    said = io.StringIO()
    outcome = ensure(specs, store=suite.store, fleet=Fleet({"instant": lambda: launcher}),
                     launcher=launcher, root=suite.root, display=Lines(said))
    return outcome, said.getvalue()


def whole(suite):
    cells = expand_all(suite.paper, suite.tree(), "mini", [0, 1])
    return [spec for specs in cells.values() for spec in specs]


def test_every_run_of_a_paper_is_submitted_once_after_what_it_reads(suite):
    launcher = Instant(suite.store)
    outcome, _ = drive(suite, whole(suite), launcher)
    assert outcome.exit_code == 0
    order = [key for pack in launcher.packs for key in pack.keys]
    assert len(order) == len(set(order)) == len(outcome.states)
    for spec in whole(suite):
        assert all(order.index(up.key) < order.index(spec.key) for up in spec.upstream)


def test_short_runs_are_packed_but_all_workers_get_some(suite):
    suite.seeds([0, 1, 2, 3])
    first, second = Instant(suite.store), Instant(suite.store)
    drive(suite, suite.specs("pretrain"), first)
    drive(suite, suite.specs("finetune"), second)
    assert [len(pack.keys) for pack in first.packs] == [1, 1, 1, 1, 1]
    assert [len(pack.keys) for pack in second.packs] == [2, 2]


def test_the_longest_way_starts_first(suite):
    launcher = Instant(suite.store, workers=1)
    specs = [*suite.specs("pretrain", "fast"), *suite.specs("eval")]
    drive(suite, specs, launcher)
    pretrains = [launcher.store.entry(pack.keys[0]).read("request")["arm"]
                 for pack in launcher.packs
                 if launcher.store.entry(pack.keys[0]).read("request")["ingredients"]["stage"]
                 == "pretrain"]
    assert pretrains == ["plain", "plain", "fast", "fast"]


def test_a_failure_blocks_what_needs_it_and_nothing_else(suite):
    launcher = Instant(suite.store, ends={"toy/pretrain@mini-plain seed1": "failed"})
    outcome, said = drive(suite, [*suite.specs("eval"), *suite.specs("eval", "fast")], launcher)
    assert outcome.exit_code == 1
    assert said.count("failed: ") == 1
    counts = {state: list(outcome.states.values()).count(state) for state in
              ("done", "failed", "blocked")}
    assert counts == {"done": 1 + 3 + 6, "failed": 1, "blocked": 2}


def test_a_vanished_run_is_retried_only_by_the_next_call(suite):
    ends = {"toy/data@mini-plain": "vanished"}
    launcher = Instant(suite.store, ends=ends)
    outcome, said = drive(suite, suite.specs("data"), launcher)
    assert outcome.exit_code == VANISHED
    assert len(launcher.packs) == 1
    assert "vanished: toy/data@mini-plain" in said
    ends.clear()
    outcome, _ = drive(suite, suite.specs("data"), launcher)
    assert outcome.exit_code == 0


def test_an_earlier_failure_is_tried_again(suite):
    drive(suite, suite.specs("data"), Instant(suite.store, ends={"toy/data@mini-plain": "failed"}))
    outcome, _ = drive(suite, suite.specs("data"), Instant(suite.store))
    assert outcome.exit_code == 0
    assert suite.store.entry(suite.specs("data")[0].key).end() == "done"


def test_a_failure_another_driver_met_meanwhile_is_not_repeated(suite):
    """Both want the run; the other one's attempt fails between our start and our turn."""
    (spec,) = suite.specs("data")

    class Late(Instant):
        def choose(self, packs):
            entry = self.store.prepare(spec, suite.root)
            entry.write("failed", {"error": "their luck", "time": time.time()})
            return list(packs)

    launcher = Late(suite.store)
    outcome, said = drive(suite, [spec], launcher)
    assert outcome.exit_code == 1
    assert "their luck" in said
    assert launcher.packs == []


def test_a_full_queue_is_waited_for(suite):
    class Full(Instant):
        asked = 0

        def choose(self, packs):
            self.asked += 1
            return list(packs) if self.asked > 5 else []

    launcher = Full(suite.store)
    outcome, _ = drive(suite, suite.specs("data"), launcher)
    assert outcome.exit_code == 0
    assert launcher.asked > 5


@pytest.mark.parametrize(
    ("states", "wish", "code"),
    [
        (["done"], None, 0),
        (["done", "failed", "vanished"], None, 1),
        (["done", "vanished"], None, 75),
        (["done", "interrupted"], None, 75),
        (["done", "active"], "detach", 143),
        (["done", "active"], "queued", 0),
        (["done", "active", "failed"], "queued", 1),
        (["done", "interrupted"], "cancel", 130),
        (["failed", "interrupted"], "cancel", 1),
    ],
)
def test_exit_codes(states, wish, code):
    assert Outcome(dict(enumerate(states)), wish=wish).exit_code == code


def test_a_process_is_told_apart_from_another_with_its_number():
    mine = processes.identify()
    assert processes.is_alive(mine)
    assert not processes.is_alive({**mine, "start": mine["start"] - 1})
    assert not processes.is_alive({**mine, "host": "elsewhere"})
    assert not processes.is_alive({**mine, "boot": "before"})
    assert not processes.is_alive(None)
    assert processes.identify(2**22 + 1) is None
