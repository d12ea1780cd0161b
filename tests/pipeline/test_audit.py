"""`repro store verify`: every kind of damage is named, nothing sound is, nothing is deleted."""

import json
import os
import re

import pytest
from click.testing import CliRunner

from repro.cli import main
from repro.pipeline.audit import audit, render
from repro.pipeline.files import read_json, write_json


@pytest.fixture
def entry(evaluated):
    return evaluated.store.entry(evaluated.specs("pretrain")[0].key)


def rewrite(path, change) -> None:
    content = read_json(path)
    change(content)
    write_json(path, content)


def test_a_sound_store_is_read_through(evaluated):
    found = audit(evaluated.store)
    assert (found.runs, found.unfinished, found.gone, found.damaged) == (7, 0, 0, [])
    assert found.files == 1 + 2 + 2 + 2
    sizes = [path.stat().st_size for path in evaluated.store.root.glob("??/*/out/**/*")
             if path.is_file() and path.name != "MANIFEST.json"]
    assert found.bytes == sum(sizes)
    assert render(found).startswith("7 finished runs are as stored (7 files, 0.0 MB read)")


DAMAGES = {
    "a flipped bit behind an unchanged time": r"model\.json: sha256 is not the one stored",
    "a file gone": r"model\.json: missing",
    "a file more": r"extra\.json: not part of the run",
    "another manifest": r"MANIFEST\.json: does not match done\.json",
    "done.json of another run": r"done\.json: key: must be",
    "no run.json": r"run\.json: missing",
    "run.json of other settings": r"run\.json: its ingredients do not have the key",
    "run.json of other files": r"run\.json: outputs: not the digests of done\.json",
    "a request of other settings": r"request\.json: its content does not have the key",
    "a request that is no JSON": r"request\.json: cannot be read",
    "a request without a key": r"request\.json: key is missing",
    "a job of no kind": r"job\.json: launcher: 'locale' \(did you mean 'local'\?\)",
    "a job without its process": r"job\.json: process is missing",
    "a job with a path for a name": r"job\.json: folder: must be name, not '\.\./\.\.'",
}


def damage(entry, kind: str) -> None:
    victim = entry.out / "encoder" / "model.json"
    victim.chmod(0o644)
    match kind:
        case "a flipped bit behind an unchanged time":
            before = victim.stat()
            victim.write_text(victim.read_text().replace("{", "["))
            os.utime(victim, ns=(before.st_atime_ns, before.st_mtime_ns))
        case "a file gone":
            victim.unlink()
        case "a file more":
            (entry.out / "extra.json").write_text("")
        case "another manifest":
            (entry.out / "MANIFEST.json").chmod(0o644)
            rewrite(entry.out / "MANIFEST.json", lambda m: m.update(key="0" * 64))
        case "done.json of another run":
            rewrite(entry.dir / "done.json", lambda done: done.update(key="0" * 64))
        case "no run.json":
            (entry.dir / "run.json").unlink()
        case "run.json of other settings":
            rewrite(entry.dir / "run.json",
                    lambda run: run["ingredients"]["config"].update(steps=4))
        case "run.json of other files":
            rewrite(entry.dir / "run.json", lambda run: run["outputs"].clear())
        case "a request of other settings":
            rewrite(entry.dir / "request.json",
                    lambda one: one["ingredients"]["config"].update(steps=4))
        case "a request that is no JSON":
            (entry.dir / "request.json").write_text("{")
        case "a request without a key":
            rewrite(entry.dir / "request.json", lambda one: one.pop("key"))
        case "a job of no kind":
            rewrite(entry.dir / "job.json", lambda one: one.update(launcher="locale"))
        case "a job without its process":
            rewrite(entry.dir / "job.json", lambda one: one.pop("process"))
        case "a job with a path for a name":
            rewrite(entry.dir / "job.json", lambda one: one.update(folder="../.."))


@pytest.mark.parametrize("kind", list(DAMAGES))
def test_damage_is_one_line_and_set_aside_only_when_asked(evaluated, entry, kind):
    damage(entry, kind)
    found = audit(evaluated.store)
    (one,) = found.damaged
    assert found.runs == 6
    assert one.folder == str(entry.dir)
    assert entry.dir.exists()
    line = render(found).splitlines()[0]
    assert re.search(DAMAGES[kind], line), line
    assert "`repro store verify --set-aside` moves it" in line
    (one,) = audit(evaluated.store, set_aside=True).damaged
    assert "moved to" in one.todo
    assert not entry.dir.exists()
    assert len(list((evaluated.store.root / "quarantine").iterdir())) == 1
    after = audit(evaluated.store)
    assert (after.damaged, after.gone) == ([], 1)


def test_what_was_set_aside_is_made_again_with_the_same_bytes(evaluated, entry):
    before = evaluated.out("pretrain")
    damage(entry, "a flipped bit behind an unchanged time")
    audit(evaluated.store, set_aside=True)
    assert evaluated.run("pretrain")[0] == 0
    assert evaluated.out("pretrain") == before
    assert audit(evaluated.store).damaged == []


def test_the_command_tells_scripts(evaluated, entry, monkeypatch):
    monkeypatch.chdir(evaluated.root)
    sound = CliRunner().invoke(main, ["store", "verify", "--json"])
    assert (sound.exit_code, json.loads(sound.output)["runs"]) == (0, 7)
    damage(entry, "a file gone")
    found = CliRunner().invoke(main, ["store", "verify", "--json"])
    assert found.exit_code == 1
    assert json.loads(found.output)["damaged"][0]["run"] == "toy/pretrain@mini-plain seed0"
