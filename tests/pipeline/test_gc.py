"""gc: what it deletes, in which order, and all it must never touch."""

import json
import os
import shutil
import subprocess
import time

import pytest
from click.testing import CliRunner

from repro import yaml
from repro.cli import main
from repro.errors import UserError
from repro.pipeline import files, lockfiles, plans
from repro.pipeline import gc as collector
from repro.pipeline.holds import Hold
from repro.pipeline.store import MANIFEST
from repro.settings import parse_bytes


def forget(suite) -> None:
    """Leave no reason to keep any run."""
    files.remove(suite.folder / "out")
    files.remove(suite.store.root / "plans")


def used(suite, spec, seconds_ago: float) -> None:
    then = time.time() - seconds_ago
    os.utime(suite.store.entry(spec.key).dir / "done.json", (then, then))


def lock(suite, arm: str, *stages: str) -> None:
    yaml.dump({"schema": "2.0", "stages": {f"{stage}@mini-{arm}": {
        "cmd": f"repro run {stage}", "outs": [{"path": f"out/mini/{arm}/{stage}", "md5": "0.dir"}]}
        for stage in stages}}, suite.folder / "dvc.lock")


def git(suite, *command: str) -> None:
    name = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    subprocess.run(["git", *name, *command], cwd=suite.root, check=True, capture_output=True)


def kept(found) -> dict[str, str]:
    return {item.name.partition(" (")[0]: item.why for item in found.kept}


def test_what_was_asked_for_last_is_kept(evaluated):
    found = collector.gc(evaluated.settings())
    assert (found.deleted, len(found.kept)) == ([], 7)
    assert set(kept(found).values()) == {"in the workspace"}
    files.remove(evaluated.folder / "out")
    assert set(kept(collector.gc(evaluated.settings())).values()) == {"asked for last"}


def test_superseded_runs_go_but_not_those_in_the_workspace(evaluated):
    former = evaluated.specs("eval")
    pretrained = evaluated.specs("pretrain")
    evaluated.resolve(eval={"scale": 2})
    files.remove(evaluated.folder / "out" / "mini" / "plain" / "eval")
    plans.note(evaluated.store, {("eval", "plain"): evaluated.specs("eval"),
                                 ("pretrain", "plain"): []})
    before = collector.gc(evaluated.settings(), dry_run=True)
    assert len(before.deleted) == 2
    assert evaluated.store.checked(former[0].key)
    after = collector.gc(evaluated.settings())
    assert {item.key for item in after.deleted} == {item.key for item in before.deleted}
    assert (after.freed, after.left) == (before.freed, before.left)
    assert after.left == files.size(evaluated.store.root)
    assert not evaluated.store.entry(former[0].key).dir.exists()
    assert not (evaluated.store.root / "trash").exists()
    assert evaluated.store.checked(pretrained[0].key)
    assert "deleted toy/eval@mini-plain seed0" in collector.render(after)
    assert "would delete" in collector.render(before)
    assert "kept 5 runs" in collector.render(after)


def test_with_a_quota_the_longest_unused_go_first_and_only_until_the_rest_fits(evaluated):
    specs = [spec for stage in ("data", "pretrain", "finetune", "eval")
             for spec in evaluated.specs(stage)]
    forget(evaluated)
    for age, spec in enumerate(specs):
        used(evaluated, spec, seconds_ago=1000 - age)  # data the oldest
    assert collector.gc(evaluated.settings(), quota=10**9).deleted == []
    size = files.size(evaluated.store.root)
    oldest = files.size(evaluated.store.entry(specs[0].key).dir)
    found = collector.gc(evaluated.settings(), quota=size - oldest - 1)
    assert [item.key for item in found.deleted] == [specs[0].key, specs[1].key]
    assert found.left == files.size(evaluated.store.root) <= found.quota
    assert set(kept(found).values()) == {collector.FREE}
    assert len(collector.gc(evaluated.settings()).deleted) == 5


def test_looking_a_run_up_makes_it_the_last_to_go(evaluated):
    specs = evaluated.specs("eval")
    forget(evaluated)
    for spec in specs:
        used(evaluated, spec, seconds_ago=1000)
    evaluated.store.checked(specs[0].key)
    order = sorted((evaluated.store.entry(spec.key) for spec in specs), key=collector._last_use)
    assert [entry.key for entry in order] == [specs[1].key, specs[0].key]


def test_a_quota_that_what_is_needed_exceeds_is_said(evaluated):
    found = collector.gc(evaluated.settings(), quota=10)
    assert found.deleted == []
    assert "over the quota: all of it is needed" in collector.render(found)


def test_a_lock_file_keeps_its_runs_by_their_settings_and_what_they_were_made_from(evaluated):
    lock(evaluated, "plain", "finetune")
    former = evaluated.specs("eval")
    forget(evaluated)
    found = collector.gc(evaluated.settings())
    assert {item.key for item in found.deleted} == {spec.key for spec in former}
    reasons = kept(found)
    assert reasons["toy/finetune@mini-plain seed0"] == "dvc.lock of toy"
    assert reasons["toy/pretrain@mini-plain seed1"] == "a run that is kept was made from it"
    assert reasons["toy/data@mini-plain"] == "a run that is kept was made from it"


def test_the_lock_file_of_the_last_commit_counts_too(evaluated):
    lock(evaluated, "plain", "eval")
    git(evaluated, "init", "-q")
    git(evaluated, "add", "papers/toy/dvc.lock", "papers/toy/paper.yaml", "papers/toy/mini.gin",
        "papers/toy/resolved", "params.yaml")
    git(evaluated, "commit", "-qm", "eval")
    former = evaluated.specs("eval")
    forget(evaluated)
    evaluated.resolve(eval={"scale": 2})  # now the lock file and its settings are gone from here
    (evaluated.folder / "dvc.lock").unlink()
    found = collector.gc(evaluated.settings())
    assert found.deleted == []
    assert kept(found)["toy/eval@mini-plain seed1"] == "dvc.lock of toy at HEAD"
    assert evaluated.store.checked(former[0].key)


def test_a_lock_file_that_cannot_be_understood_stops_gc(evaluated):
    lock(evaluated, "plain", "eval")
    forget(evaluated)
    shutil.rmtree(evaluated.folder / "resolved")
    with pytest.raises(UserError, match=r"resolved/mini: no resolved .*dvc.lock needs is not know"):
        collector.gc(evaluated.settings())
    (evaluated.folder / "dvc.lock").write_text("stages: [")
    with pytest.raises(UserError, match=r"dvc.lock:\d: not readable as YAML"):
        collector.gc(evaluated.settings())
    assert len(list(evaluated.store.entries())) == 7


def test_a_directory_in_dvcs_cache_is_kept_even_if_its_settings_are_gone(evaluated):
    """The lock names a directory listing in DVC's cache, which names our manifest."""
    spec = evaluated.specs("eval")[0]
    manifest = (evaluated.store.entry(spec.key).out / MANIFEST).read_text()
    cache = evaluated.root / ".dvc" / "cache" / "files" / "md5"
    for digest, text in (("aa11", manifest),
                         ("bb22.dir", json.dumps([{"md5": "aa11",
                                                   "relpath": f"seed0/{MANIFEST}"}]))):
        (cache / digest[:2]).mkdir(parents=True)
        (cache / digest[:2] / digest[2:]).write_text(text)
    yaml.dump({"schema": "2.0", "stages": {"eval@mini-plain": {"outs": [
        {"path": "out/mini/plain/eval", "md5": "bb22.dir"}]}}}, evaluated.folder / "dvc.lock")
    evaluated.resolve(eval={"scale": 5})
    assert spec.key in lockfiles.keys(evaluated.root)


def test_runs_that_a_living_command_holds_are_kept(evaluated):
    specs = evaluated.specs("eval")
    forget(evaluated)
    with Hold(evaluated.store, [specs[0].key]):
        found = collector.gc(evaluated.settings())
        assert kept(found)["toy/eval@mini-plain seed0"] == "a command at work needs it"
        assert specs[1].key in {item.key for item in found.deleted}
        (hold,) = (evaluated.store.root / "holds").iterdir()
        left = files.read_json(hold)
    files.write_json(hold, left | {"process": left["process"] | {"start": 1.0}})  # it was killed
    assert len(collector.gc(evaluated.settings()).deleted) == 4
    assert not hold.exists()


def test_checkpoints_of_finished_runs_and_what_was_set_aside_go_always(evaluated):
    spec = evaluated.specs("pretrain")[0]
    entry = evaluated.store.entry(spec.key)
    entry.checkpoints.mkdir()
    (entry.checkpoints / "state.json").write_text("x" * 1000)
    (evaluated.store.root / "quarantine" / "old.1").mkdir(parents=True)
    said = []
    collector.tidy(evaluated.settings(quota="1"), said.append)  # by itself: that is left to look at
    assert len(list((evaluated.store.root / "quarantine").iterdir())) == 1
    assert "over the quota" in said[0]
    assert not entry.checkpoints.exists()
    entry.checkpoints.mkdir()
    (entry.checkpoints / "state.json").write_text("x" * 1000)
    found = collector.gc(evaluated.settings(), quota=10**12)
    assert found.freed >= 1000
    assert not entry.checkpoints.exists()
    assert list((evaluated.store.root / "quarantine").iterdir()) == []
    assert entry.is_done


@pytest.mark.parametrize("name", ["request.json", "done.json", "run.json"])
def test_a_damaged_run_is_left_to_verify(evaluated, name):
    spec = evaluated.specs("eval")[0]
    forget(evaluated)
    (evaluated.store.entry(spec.key).dir / name).write_text("{")
    found = collector.gc(evaluated.settings())
    damaged = [item for item in found.kept if item.why.startswith("damaged; see `repro store veri")]
    assert [spec.fp in item.name for item in damaged] == [True]
    assert evaluated.store.entry(spec.key).out.exists()


def test_a_running_run_and_its_inputs_are_left_alone(evaluated, until):
    evaluated.resolve(pretrain={"steps": 12, "pause": 0.1})
    specs = evaluated.specs("pretrain")
    driver = evaluated.driver("pretrain")
    until(lambda: evaluated.running(specs))
    forget(evaluated)
    reasons = kept(collector.gc(evaluated.settings()))
    assert reasons["toy/pretrain@mini-plain seed0"] in ("its job is not over",
                                                        "a command at work needs it")
    driver.communicate()
    assert driver.returncode == 0
    assert evaluated.starts(specs) == [1, 1]
    assert evaluated.store.entry(specs[0].inputs["data"][0].key).is_done


def test_a_driver_stays_below_the_quota_of_the_machine(evaluated):
    former = evaluated.specs("eval")
    evaluated.resolve(eval={"scale": 2})
    status, said = evaluated.run("eval", quota="1000")
    assert status == 0
    assert "quota: deleted 2 runs" in said or "quota: still" in said
    assert not any(evaluated.store.entry(spec.key).is_done for spec in former)
    assert all(evaluated.store.entry(spec.key).is_done for spec in evaluated.specs("eval"))
    assert "quota" not in evaluated.run("eval", quota="1000")[1]  # nothing was made


def test_sizes_are_read_as_people_write_them():
    assert [parse_bytes(text) for text in ("12", "20GB", "1.5 tib", "3k", "2MiB")] == [
        12, 20 * 10**9, int(1.5 * 2**40), 3000, 2 << 20]
    for text in ("", "GB", "-1GB", "1e9", "20 potatoes", "2i", "1" * 40):
        with pytest.raises(UserError, match="must be a size such as 500MB, 20GB or 1.5TiB"):
            parse_bytes(text)


def test_a_wrong_quota_names_its_place(suite, monkeypatch):
    with pytest.raises(UserError, match="^--quota: quota: must be a size"):
        suite.settings(quota="much")
    monkeypatch.chdir(suite.root)
    result = CliRunner().invoke(main, ["store", "gc", "--keep", "much"])
    assert result.exit_code == 1
    assert "error: --keep: must be a size such as 500MB" in result.output
