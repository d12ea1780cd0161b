"""`repro run` on a toy paper: real jobs through submitit's local executor."""

import json
import os
import shutil
import signal
from contextlib import contextmanager

import pytest

from repro.errors import UserError
from repro.pipeline import files
from repro.pipeline.execute import STOP_SIGNALS, run_pack
from repro.pipeline.lease import Lease
from repro.pipeline.store import MANIFEST


@contextmanager
def signals_kept():
    """A job's body takes the signals of its process, which here is the test's."""
    former = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    yield
    for number, handler in former.items():
        signal.signal(number, handler)


def test_asking_for_the_last_stage_makes_all_before_it_once(evaluated):
    assert sorted(evaluated.out("eval")) == [
        "seed0/MANIFEST.json", "seed0/rows.jsonl", "seed1/MANIFEST.json", "seed1/rows.jsonl"]
    for stage in ("data", "pretrain", "finetune", "eval"):
        assert set(evaluated.starts(evaluated.specs(stage))) == {1}


def test_asking_again_starts_nothing_and_changes_nothing(evaluated):
    before = evaluated.out("eval")
    status, said = evaluated.run("eval")
    assert (status, said) == (0, "")
    assert evaluated.out("eval") == before
    assert evaluated.starts(evaluated.specs("eval")) == [1, 1]


def test_run_json_tells_what_was_spent_and_the_artefact_does_not(evaluated):
    spec = evaluated.specs("pretrain")[0]
    entry = evaluated.store.entry(spec.key)
    record = entry.read("run")
    assert record["ingredients"] == spec.ingredients
    assert (record["tokens"], record["flops"]) == (30, 300)
    assert record["measurements"] == {"latency_ms": 0.5}
    assert record["seconds"] > 0
    assert record["peak_memory_mb"] > 5
    assert record["core_seconds"] > 0 and record["gpu_seconds"] == 0
    assert record["energy"]["joules"] > 0 and record["energy"]["cpu"]["method"]
    assert record["outputs"] == {
        "encoder/model.json": files.sha256(entry.out / "encoder" / "model.json")}
    assert files.tree(entry.out) == [MANIFEST, "encoder/model.json"]
    assert not entry.checkpoints.exists()


def test_equal_arms_share_their_runs(evaluated):
    status, said = evaluated.run("eval", "twin")
    assert (status, said) == (0, "")
    assert evaluated.out("eval", "twin") == evaluated.out("eval", "plain")
    assert evaluated.starts(evaluated.specs("pretrain")) == [1, 1]


def test_a_new_seed_computes_only_that_seed(evaluated):
    evaluated.seeds([0, 1, 2])
    status, _ = evaluated.run("pretrain")
    assert status == 0
    assert evaluated.starts(evaluated.specs("pretrain")) == [1, 1, 1]
    assert evaluated.starts(evaluated.specs("data")) == [1]
    assert {name.split("/")[0] for name in evaluated.out("pretrain")} == {"seed0", "seed1", "seed2"}


def test_one_file_says_what_all_runs_of_a_stage_are(evaluated):
    folder = evaluated.folder / "out" / "mini" / "plain" / "pretrain"
    listed = files.read_json(folder / "runs.json")
    assert listed == {name: files.sha256(folder / name / MANIFEST) for name in ("seed0", "seed1")}
    before = (folder / "runs.json").read_bytes()
    evaluated.resolve(eval={"scale": 3})  # of a later stage
    evaluated.run("pretrain")
    assert (folder / "runs.json").read_bytes() == before
    evaluated.resolve(pretrain={"steps": 4})
    evaluated.run("pretrain")
    assert files.read_json(folder / "runs.json").keys() == listed.keys()
    assert not set(files.read_json(folder / "runs.json").values()) & set(listed.values())


def test_a_dropped_seed_leaves_the_workspace_but_not_the_store(evaluated):
    former = evaluated.specs("eval")
    evaluated.seeds([1])
    assert evaluated.run("eval")[0] == 0
    assert sorted(evaluated.out("eval")) == ["seed1/MANIFEST.json", "seed1/rows.jsonl"]
    assert evaluated.store.checked(former[0].key)


def test_an_emptied_store_is_seeded_from_the_workspace(evaluated):
    files.remove(evaluated.store.root)
    files.remove(evaluated.folder / "out" / "mini" / "plain" / "eval")
    status, said = evaluated.run("eval")
    assert status == 0
    # Only what eval reads is needed: finetune and data come back, pretrain is not asked for.
    assert said.count("from the workspace: toy/finetune@mini-plain") == 2
    assert evaluated.starts(evaluated.specs("finetune")) == [0, 0]
    assert not evaluated.store.entry(evaluated.specs("pretrain")[0].key).dir.exists()


def test_the_same_key_gives_the_same_bytes_in_another_store(evaluated):
    before = evaluated.out("pretrain")
    files.remove(evaluated.store.root)
    files.remove(evaluated.folder / "out")
    assert evaluated.run("pretrain")[0] == 0
    assert evaluated.out("pretrain") == before


def test_a_damaged_store_entry_is_made_again_and_never_used(evaluated, edit):
    before = evaluated.out("eval")
    spec = evaluated.specs("eval")[0]
    edit(evaluated.store.entry(spec.key).out / "rows.jsonl", "value", "valve")
    status, said = evaluated.run("eval")
    assert status == 0
    assert "damaged:" in said
    assert "rows.jsonl: sha256 is not the one stored" in said
    assert evaluated.out("eval") == before
    assert evaluated.store.checked(spec.key, full=True)


def test_a_damaged_input_is_made_again_before_a_job_reads_it(evaluated, edit):
    before = evaluated.out("pretrain")
    spec = evaluated.specs("pretrain")[0]
    edit(evaluated.store.entry(spec.key).out / "encoder" / "model.json", "total", "totals")
    evaluated.resolve(finetune={"tasks": ["colour", "shape"]})
    files.remove(evaluated.folder / "out" / "mini" / "plain" / "pretrain")
    status, said = evaluated.run("finetune")
    assert status == 0
    assert "model.json: sha256 is not the one stored" in said
    assert evaluated.run("pretrain")[0] == 0
    assert evaluated.out("pretrain") == before
    assert evaluated.starts(evaluated.specs("pretrain")) == [1, 1]


def test_a_job_checks_its_inputs_itself(evaluated, edit):
    spec = evaluated.specs("eval")[0]
    (finetune,) = spec.inputs["finetune"]
    edit(evaluated.store.entry(finetune.key).out / "colour.json", "3972", "3973")
    evaluated.store.entry(spec.key).clear("done")
    with signals_kept():
        assert run_pack(str(evaluated.store.root), [spec.key]) == {spec.key: "failed"}
    assert "colour.json: sha256" in evaluated.store.entry(spec.key).read("failed")["error"]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        ("UserError", "toy/pretrain@mini-plain seed1: loss is not finite at step 1 (log: "),
        ("KeyError", "KeyError: 'colour' (at "),
        ("full", "model.json: no space left on this disk"),
    ],
)
def test_a_failed_run_is_one_line_and_the_others_go_on(evaluated, error, line):
    suite = evaluated
    files.remove(suite.folder / "out" / "mini" / "plain" / "finetune")
    suite.resolve(pretrain={"fail_at": 1, "fail_seed": 1, "error": error})
    status, said = suite.run("finetune")
    assert status == 1
    assert line in said
    good, bad = suite.specs("pretrain")
    assert suite.store.checked(good.key)
    log = suite.store.entry(bad.key).log.read_text()
    assert "Traceback" in log
    assert "from step 0" in log
    assert suite.store.checked(suite.specs("finetune")[0].key)
    assert suite.starts(suite.specs("finetune")) == [1, 0]
    assert not (suite.folder / "out" / "mini" / "plain" / "finetune").exists()
    # What it had saved is there, and the next attempt goes on from it.
    assert json.loads((suite.store.entry(bad.key).checkpoints / "state.json").read_text())[0] == 1


def test_a_job_that_dies_without_a_word_is_noticed(evaluated):
    suite = evaluated
    suite.resolve(pretrain={"fail_at": 1, "fail_seed": 1, "error": "exit"})
    status, said = suite.run("pretrain")
    assert status == 75
    assert "vanished: toy/pretrain@mini-plain seed1" in said
    assert suite.store.checked(suite.specs("pretrain")[0].key)


def test_code_changed_while_queued_is_refused(suite, edit):
    edit(suite.folder / "method.py", "total * 31", "total * 37")
    status, said = suite.run("data")
    assert status == 1
    assert "papers.toy.method.prepare: its code changed since this run was resolved" in said
    assert "repro resolve" in said


def test_a_changed_comment_is_no_change_of_code(suite, edit):
    edit(suite.folder / "method.py", "import json\n", "# What json is for\nimport json\n")
    assert suite.run("data")[0] == 0


def test_another_library_version_is_refused(suite, edit):
    for path in (suite.folder / "resolved" / "mini").iterdir():
        edit(path, '"3.11"', '"3.12"')
    status, said = suite.run("data")
    assert status == 1
    assert "versions.python: resolved for 3.12, here is 3.11" in said


def test_a_request_that_was_tampered_with_is_refused(suite):
    spec = suite.specs("data")[0]
    entry = suite.store.prepare(spec, suite.root)
    request = entry.read("request")
    request["ingredients"]["config"]["words"] = 4
    entry.write("request", request)
    with signals_kept():
        assert run_pack(str(suite.store.root), [spec.key]) == {spec.key: "failed"}
    assert "does not have the key it names" in entry.read("failed")["error"]


def test_an_unresolved_profile_says_what_to_run(suite):
    shutil.rmtree(suite.folder / "resolved" / "mini")
    with pytest.raises(UserError, match="mini: no resolved settings; run `repro resolve toy"):
        suite.run("data")


def test_another_host_at_the_same_workspace_is_refused(suite):
    lease = suite.root / ".repro" / "leases" / "elsewhere-7.json"
    lease.parent.mkdir(parents=True)
    files.write_json(lease, {"host": "elsewhere", "boot": "b", "pid": 7, "start": 1})
    with pytest.raises(UserError, match="process 7 on host elsewhere drives this workspace"):
        suite.run("data")
    os.utime(lease, (0, 0))
    assert suite.run("data")[0] == 0


def test_a_lease_is_left_by_no_one_and_dead_ones_of_this_host_go(suite):
    folder = suite.root / ".repro" / "leases"
    with Lease(suite.root) as lease:
        dead = files.read_json(lease.path) | {"start": 1.0}
        files.write_json(folder / "here-1.json", dead)
    with Lease(suite.root):
        assert not (folder / "here-1.json").exists()
    assert list(folder.iterdir()) == []
