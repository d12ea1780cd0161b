"""Many processes at one store and one remote: each does its work, nothing is ever half there."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from repro.pipeline import exchange, files
from repro.pipeline.audit import audit
from repro.pipeline.remotes import PREFIX, open_remote
from repro.pipeline.store import Store

MEMBER = '''
import io, json, random, sys, time
from pathlib import Path

from repro.paper import Paper
from repro.pipeline import audit, exchange, files, gc
from repro.pipeline.progress import Lines
from repro.pipeline.remotes import open_remote
from repro.pipeline.stage import run_stage
from repro.pipeline.store import Store
from repro.settings import load

kind, root, shelf, other, seconds = sys.argv[1:]
settings, remote = load(root), open_remote(shelf, Path(root))
here, there = Store(settings.store), Store(Path(other))
chance, end, done = random.Random(kind), time.monotonic() + float(seconds), 0
print("ready", flush=True)
while time.monotonic() < end:
    match kind.rstrip("0123456789"):
        case "push":
            found = exchange.push(chance.choice((here, there)), remote).refused
        case "pull":
            refused = exchange.pull(chance.choice((here, there)), remote, Path(root)).refused
            found = [line for line in refused if "being made here now" not in line]
        case "verify":
            found = [str(one) for store in (here, there) for one in audit.audit(store).damaged]
        case "gc":
            if chance.random() < 0.3:  # so that it has more to take
                with here.submitting():
                    files.remove(here.root / "plans")
            gc.gc(load(root, store=str(chance.choice((here, there)).root)),
                  chance.choice((None, 0, 20_000)))
            found = []
        case "ensure":
            paper, said = Paper.find("toy", root), io.StringIO()
            files.remove(paper.dir / "out" / "mini" / "plain" / "eval")
            status = run_stage(paper, "eval", "mini", "plain", settings, Lines(said))
            found = [said.getvalue()] if status or "damaged" in said.getvalue() else []
    done += 1
    if found:
        break
print(json.dumps({"kind": kind, "rounds": done, "wrong": found}), flush=True)
'''


@pytest.fixture
def crowd(evaluated, tmp_path):
    """Start members; whoever is left at the end of the test is killed."""
    members = []

    def start(*kinds: str, seconds: float) -> list[subprocess.Popen]:
        for kind in kinds:
            members.append(subprocess.Popen(
                [sys.executable, "-c", MEMBER, kind, str(evaluated.root), f"{tmp_path}/shelf/",
                 str(tmp_path / "other"), str(seconds)],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {
                    "REPRO_WORKERS": "2", "REPRO_STORE": str(evaluated.store.root)}))
        return members[-len(kinds):]

    yield start
    for member in members:
        if member.poll() is None:
            member.kill()
            member.communicate()


@pytest.mark.slow
def test_all_commands_at_once_leave_two_sound_stores_and_a_complete_remote(
        evaluated, tmp_path, crowd):
    before = evaluated.out("eval")
    files.remove(evaluated.store.root / "plans")
    files.remove(evaluated.folder / "out")  # so that gc may take everything
    kinds = ("push1", "push2", "pull1", "pull2", "verify", "gc", "ensure")
    members = crowd(*kinds, seconds=3)
    (victim,) = crowd("push3", seconds=60)
    victim.stdout.readline()
    time.sleep(0.3)
    victim.send_signal(signal.SIGKILL)
    told = []
    for member in members:
        out, err = member.communicate(timeout=300)
        assert (member.returncode, err) == (0, ""), err
        told.append(json.loads(out.splitlines()[-1]))
    assert [one["wrong"] for one in told] == [[]] * len(kinds)
    assert all(one["rounds"] for one in told)
    assert evaluated.run("eval")[0] == 0
    assert evaluated.out("eval") == before
    remote = open_remote(f"{tmp_path}/shelf/", evaluated.root)
    exchange.push(evaluated.store, remote)
    last = Store(tmp_path / "last")
    assert exchange.pull(last, remote, evaluated.root).refused == []
    for store in (evaluated.store, Store(tmp_path / "other"), last):
        assert audit(store).damaged == []
        assert not (store.root / "quarantine").exists()
        assert not (store.root / "trash").exists()
    assert not [path for path in (tmp_path / "shelf" / PREFIX).rglob("*.json")
                if not path.stat().st_size]


def test_a_job_that_finds_its_input_damaged_has_it_made_again(evaluated):
    """Bit rot behind an unchanged time: only reading every byte shows it."""
    before = evaluated.out("pretrain")
    (data,) = evaluated.specs("data")
    victim = evaluated.store.entry(data.key).out / "words.json"
    times = victim.stat()
    victim.chmod(0o644)
    victim.write_text(victim.read_text().replace("2", "7"))
    os.utime(victim, ns=(times.st_atime_ns, times.st_mtime_ns))
    for spec in evaluated.specs("pretrain"):
        files.remove(evaluated.store.entry(spec.key).dir)
    files.remove(evaluated.folder / "out")
    status, said = evaluated.run("pretrain")
    assert status == 0, said
    assert "words.json: sha256 is not the one stored" in (
        said + evaluated.store.entry(evaluated.specs("pretrain")[0].key).log.read_text())
    assert evaluated.out("pretrain") == before
    assert evaluated.starts([data]) == [1]
    assert len(list((evaluated.store.root / "quarantine").iterdir())) == 1
