import errno
import json
import os

import pytest

from repro.errors import UserError
from repro.pipeline import files
from repro.pipeline.store import MANIFEST, CorruptedEntry


@pytest.fixture
def finished(suite):
    """A finished pretrain run, put into the store by hand."""
    spec = suite.specs("pretrain")[0]
    entry = suite.store.prepare(spec, suite.root)
    scratch = entry.dir / "out.tmp"
    (scratch / "encoder").mkdir(parents=True)
    (scratch / "encoder" / "model.json").write_text('{"total": 7}')
    (scratch / "summary.json").write_text("{}")
    entry.finish(scratch, {"key": spec.key, "label": spec.label})
    return spec


def test_a_finished_run_is_read_only_and_carries_its_key_and_digests(suite, finished):
    entry = suite.store.entry(finished.key)
    manifest = json.loads((entry.out / MANIFEST).read_text())
    assert manifest["key"] == finished.key
    assert list(manifest["files"]) == ["encoder/model.json", "summary.json"]
    assert manifest["files"]["summary.json"] == files.sha256(entry.out / "summary.json")
    assert (entry.out / "summary.json").stat().st_mode & 0o222 == 0
    assert suite.store.checked(finished.key, full=True)


def test_an_artefact_is_linked_not_copied(suite, finished, tmp_path):
    target = tmp_path / "work" / "seed0"
    suite.store.link(finished.key, target)
    out = suite.store.entry(finished.key).out
    assert os.path.samefile(target / "encoder" / "model.json", out / "encoder" / "model.json")
    assert files.tree(target) == files.tree(out)


def test_linking_replaces_what_was_there(suite, finished, tmp_path):
    target = tmp_path / "work" / "seed0"
    target.mkdir(parents=True)
    (target / "old.json").write_text("old")
    suite.store.link(finished.key, target)
    assert not (target / "old.json").exists()
    assert [path.name for path in target.parent.iterdir()] == ["seed0"]


def test_without_hard_links_the_artefact_is_copied(suite, finished, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    suite.store.link(finished.key, tmp_path / "seed0")
    assert (tmp_path / "seed0" / "encoder" / "model.json").read_text() == '{"total": 7}'


@pytest.mark.parametrize("damage", ["changed", "missing", "added", "truncated", "done.json"])
def test_a_damaged_entry_is_put_aside_and_named(suite, finished, damage):
    entry = suite.store.entry(finished.key)
    victim = entry.out / "encoder" / "model.json"
    match damage:
        case "changed":
            victim.chmod(0o644)
            victim.write_text('{"total": 8}')
        case "missing":
            victim.unlink()
        case "added":
            victim.with_name("extra.json").write_text("")
        case "truncated":
            victim.chmod(0o644)
            victim.write_text("")
        case "done.json":
            (entry.dir / "done.json").write_text("{")
    with pytest.raises(CorruptedEntry, match=r"(model|extra|done)\.json.*moved to .*quarantine"):
        suite.store.checked(finished.key)
    assert not suite.store.checked(finished.key)


def test_a_flipped_bit_behind_an_unchanged_time_is_found_at_linking(suite, finished, tmp_path):
    entry = suite.store.entry(finished.key)
    victim = entry.out / "summary.json"
    before = victim.stat()
    victim.chmod(0o644)
    victim.write_text("[]")
    os.utime(victim, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert suite.store.checked(finished.key)
    with pytest.raises(CorruptedEntry, match="summary.json: sha256"):
        suite.store.link(finished.key, tmp_path / "seed0")
    assert not (tmp_path / "seed0").exists()


def test_a_touched_file_with_the_same_bytes_is_fine(suite, finished):
    os.utime(suite.store.entry(finished.key).out / "summary.json")
    assert suite.store.checked(finished.key)


def test_a_run_lost_by_the_store_is_seeded_from_the_workspace(suite, finished, tmp_path):
    suite.store.link(finished.key, tmp_path / "seed0")
    files.remove(suite.store.entry(finished.key).dir)
    assert suite.store.seed_from(finished, tmp_path / "seed0", suite.root)
    out = suite.store.entry(finished.key).out
    assert suite.store.checked(finished.key, full=True)
    assert os.path.samefile(out / "summary.json", tmp_path / "seed0" / "summary.json")


def test_an_artefact_of_another_key_is_not_taken(suite, finished, tmp_path):
    suite.store.link(finished.key, tmp_path / "seed0")
    other = suite.specs("pretrain")[1]
    assert not suite.store.seed_from(other, tmp_path / "seed0", suite.root)
    assert not suite.store.seed_from(finished, tmp_path / "nowhere", suite.root)


def test_a_damaged_workspace_artefact_is_refused(suite, finished, tmp_path, edit):
    suite.store.link(finished.key, tmp_path / "seed0")
    files.remove(suite.store.entry(finished.key).dir)
    edit(tmp_path / "seed0" / "encoder" / "model.json", "7", "8")
    with pytest.raises(CorruptedEntry, match="model.json: sha256 is not the one in its manifest"):
        suite.store.seed_from(finished, tmp_path / "seed0", suite.root)
    assert not suite.store.entry(finished.key).is_done


def test_an_empty_artefact_is_an_error(suite):
    spec = suite.specs("data")[0]
    entry = suite.store.prepare(spec, suite.root)
    (entry.dir / "out.tmp").mkdir()
    with pytest.raises(UserError, match="toy/data@mini-plain: the stage left nothing"):
        entry.finish(entry.dir / "out.tmp", {"label": spec.label})
    assert not entry.is_done


def test_a_full_disk_keeps_the_old_file_and_says_so(tmp_path, monkeypatch):
    files.write_json(tmp_path / "job.json", {"old": 1})

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="job.json: no space left .* checkpoints are kept"):
        files.write_json(tmp_path / "job.json", {"new": 2})
    assert files.read_json(tmp_path / "job.json") == {"old": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["job.json"]


def test_a_lock_has_one_holder_and_shows_it(tmp_path):
    lock = tmp_path / "exec.lock"
    assert not files.is_locked(lock)
    with files.locked(lock) as first:
        assert first
        assert files.is_locked(lock)
        with files.locked(lock, wait_s=0.05) as second:
            assert not second
    assert not files.is_locked(lock)


def test_two_who_look_at_a_free_lock_do_not_take_each_other_for_its_holder(tmp_path, monkeypatch):
    lock = tmp_path / "exec.lock"
    lock.touch()
    real, answers = files._try_lock, []

    def look_again_meanwhile(handle, path, kind=files.fcntl.LOCK_EX):
        held = real(handle, path, kind)
        if not answers:
            answers.append("asked")
            answers.append(files.is_locked(lock))
        return held

    monkeypatch.setattr(files, "_try_lock", look_again_meanwhile)
    assert not files.is_locked(lock)
    assert answers == ["asked", False]
