"""A suite with one toy paper, whose stages count in integers and never load torch."""

import io
import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from repro import settings as settings_module
from repro import yaml
from repro.config import code, resolved
from repro.config.source import Sources
from repro.paper import Paper
from repro.pipeline.progress import Lines
from repro.pipeline.spec import RunSpec, expand
from repro.pipeline.stage import load_tree, run_stage
from repro.pipeline.store import RUNS, Store
from repro.settings import Settings

sys.path.append(str(Path(__file__).parent))  # where the fakes are

METHOD = '''
import json
import os
import time

from repro.errors import Interrupted, UserError


def prepare(ctx, *, words=3):
    (ctx.out / "words.json").write_text(json.dumps(list(range(words))))


def pretrain(ctx, *, steps=3, pause=0.0, rate=1, fail_at=-1, fail_seed=-1, error="UserError"):
    words = json.loads((ctx.input("data") / "words.json").read_text())
    state = ctx.checkpoints / "state.json"
    step, total = json.loads(state.read_text()) if state.exists() else (0, ctx.seed + ctx.member)
    print("from step", step, flush=True)
    while step < steps:
        if step == fail_at and ctx.seed == fail_seed:
            if error == "exit":
                os._exit(9)
            raise {"UserError": UserError("loss is not finite at step 1"),
                   "full": OSError(28, "No space left on device", "model.json"),
                   "KeyError": KeyError("colour")}[error]
        total = (total * 31 + rate + sum(words)) % 1_000_003
        step += 1
        (ctx.checkpoints / "state.tmp").write_text(json.dumps([step, total]))
        os.replace(ctx.checkpoints / "state.tmp", state)
        ctx.report(step=step, total=steps, loss=1 / step, tokens=10 * step, phase="pretrain")
        if ctx.stop_requested():
            raise Interrupted
        time.sleep(pause)
    (ctx.out / "encoder").mkdir()
    (ctx.out / "encoder" / "model.json").write_text(json.dumps({"total": total}))
    ctx.count(tokens=10 * steps, flops=100 * steps)
    ctx.measure(latency_ms=0.5)


def finetune(ctx, *, tasks=("colour",)):
    model = json.loads((ctx.input("pretrain") / "encoder" / "model.json").read_text())
    for number, task in enumerate(tasks):
        (ctx.out / f"{task}.json").write_text(json.dumps(model["total"] + number))


def score(ctx, *, scale=1):
    found = [json.loads((path / "colour.json").read_text()) for path in ctx.inputs["finetune"]]
    (ctx.out / "rows.jsonl").write_text(json.dumps({"value": scale * sum(found)}))
'''

PAPER = '''
slug: toy
title: A Paper About Toys
venue: ToyConf
year: 2024
authors: [Ada Author]
family: counter
stages:
  data: papers.toy.method.prepare
  pretrain: papers.toy.method.pretrain
  finetune: papers.toy.method.finetune
  eval: papers.toy.method.score
arms:
  plain: {role: baseline, about: counts}
  twin: {role: baseline, about: settings equal to plain}
  fast: {role: method, about: counts by two}
  small: {role: ablation, about: three members, members: 3}
  committee: {role: method, about: joins small, stages: [eval], inputs: {finetune: small}}
tasks: {}
claims: []
data: {}
resources:
  mini:
    data: {minutes: 1}
    pretrain: {minutes: 2}
    finetune: {minutes: 1, pack: 8}
    eval: {minutes: 1, pack: 8}
'''

DEFAULTS: dict[str, dict[str, Any]] = {
    "data": {"words": 3},
    "pretrain": {"steps": 3, "pause": 0.0, "rate": 1, "fail_at": -1, "fail_seed": -1,
                 "error": "UserError"},
    "finetune": {"tasks": ["colour"]},
    "eval": {"scale": 1},
}

DRIVER = '''
import sys
from repro.paper import Paper
from repro.pipeline.progress import Lines
from repro.pipeline.stage import run_stage
from repro.settings import load
root, stage, arm = sys.argv[1:]
print("ready", flush=True)
sys.exit(run_stage(Paper.find("toy", root), stage, "mini", arm, load(root), Lines(sys.stdout)))
'''


class Suite:
    """The toy's workspace, with the few moves the tests make."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "papers" / "toy"
        if self.folder.exists():
            return
        self.folder.mkdir(parents=True)
        (self.folder / "paper.yaml").write_text(PAPER)
        (self.folder / "mini.gin").write_text("")
        (self.folder / "method.py").write_text(METHOD)
        self.seeds([0, 1])
        self.resolve()

    def seeds(self, seeds: list[int]) -> None:
        yaml.dump({"suite": {"seeds": seeds}}, self.root / "params.yaml")
        folder = self.folder / "resolved" / "mini"
        if folder.exists():
            resolved.dump(resolved.load(folder) | {"seeds": seeds}, folder)

    def keep_arms(self, *names: str) -> None:
        card = yaml.load(self.folder / "paper.yaml")
        card["arms"] = {name: card["arms"][name] for name in names}
        yaml.dump(card, self.folder / "paper.yaml")

    def resolve(self, **settings: dict[str, Any]) -> None:
        """Write resolved/mini/; `arm_stage={...}` and `stage={...}` are settings."""
        card = yaml.load(self.folder / "paper.yaml")
        arms: dict[str, Any] = {}
        for arm, facts in card["arms"].items():
            for stage in facts.get("stages", card["stages"]):
                config = {"_fn": card["stages"][stage], **DEFAULTS[stage],
                          **settings.get(stage, {}), **settings.get(f"{arm}_{stage}", {})}
                if (arm, stage) == ("fast", "pretrain"):
                    config["rate"] = 2
                digest = code.section_digest(config, Sources(self.root))
                arms.setdefault(arm, {})[stage] = {"code": digest, "config": config}
        tree = {"paper": "toy", "profile": "mini", "numerics": None, "epoch": 1,
                "seeds": self.settings().suite.seeds, "versions": {"python": "3.11"}, "arms": arms}
        resolved.dump(tree, self.folder / "resolved" / "mini")

    def tree(self) -> dict[str, Any]:
        return load_tree(self.paper, "mini", self.settings().suite)

    @property
    def paper(self) -> Paper:
        return Paper.load(self.folder)

    def settings(self, **flags: Any) -> Settings:
        return settings_module.load(self.root, **{"workers": 2, **flags})

    @property
    def store(self) -> Store:
        return Store(self.settings().store)

    def specs(self, stage: str, arm: str = "plain") -> list[RunSpec]:
        found = self.settings().suite
        return expand(self.paper, self.tree(), "mini", stage, arm, found.seeds)

    def run(self, stage: str, arm: str = "plain", **flags: Any) -> tuple[int, str]:
        """Run a stage in this process; return (exit code, what was said)."""
        said = io.StringIO()
        status = run_stage(self.paper, stage, "mini", arm, self.settings(**flags), Lines(said))
        return status, said.getvalue()

    def driver(self, stage: str, arm: str = "plain") -> subprocess.Popen[str]:
        """Start `repro run` as a process of its own, as DVC would."""
        return subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(self.root), stage, arm], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            env=os.environ | {"REPRO_WORKERS": "2"},
        )

    def out(self, stage: str, arm: str = "plain") -> dict[str, str]:
        """Return the text of every file a stage left in the workspace, but for its list."""
        folder = self.folder / "out" / "mini" / arm / stage
        return {path.relative_to(folder).as_posix(): path.read_text()
                for path in sorted(folder.rglob("*")) if path.is_file() and path.name != RUNS}

    def starts(self, specs: list[RunSpec]) -> list[int]:
        """Return how often each run was started."""
        logs = [self.store.entry(spec.key).starts for spec in specs]
        return [len(log.read_text().splitlines()) if log.exists() else 0 for log in logs]

    def running(self, specs: list[RunSpec], least_step: int = 1) -> bool:
        """Return whether all these runs are executing and have saved some steps."""
        entries = [self.store.entry(spec.key) for spec in specs]
        states = [entry.checkpoints / "state.json" for entry in entries]
        return all(entry.executing() and state.exists()
                   and json.loads(state.read_text())[0] >= least_step
                   for entry, state in zip(entries, states, strict=True))

    def processes(self) -> list[psutil.Process]:
        """Return the processes of this suite's jobs."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            if any(part.startswith(str(self.root)) for part in process.info["cmdline"] or ()):
                found.append(process)
        return found


def wait_for(what: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


@pytest.fixture
def until() -> Callable[..., None]:
    return wait_for


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("REPRO_"):
            monkeypatch.delenv(name)


@pytest.fixture
def suite(tmp_path: Path) -> Iterator[Suite]:
    """A fresh suite: nothing was run."""
    yield from _used(Suite(tmp_path / "suite"))


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a suite in which arm `plain` was run to its end; to be copied, not used."""
    made = Suite(tmp_path_factory.mktemp("finished") / "suite")
    assert made.run("eval")[0] == 0
    for stage in ("data", "pretrain", "finetune"):
        assert made.run(stage)[0] == 0
    return made.root


@pytest.fixture
def evaluated(finished_once: Path, tmp_path: Path) -> Iterator[Suite]:
    """A suite in which all stages of arm `plain` are finished and linked."""
    shutil.copytree(finished_once, tmp_path / "suite")
    yield from _used(Suite(tmp_path / "suite"))


def _used(made: Suite) -> Iterator[Suite]:
    yield made
    for process in made.processes():
        with suppress(psutil.NoSuchProcess):
            process.kill()


@pytest.fixture
def edit() -> Callable[[Path, str, str], None]:
    """Replace text in a file, read-only ones included."""

    def change(path: Path, old: str, new: str) -> None:
        text = path.read_text()
        assert old in text
        path.chmod(0o644)
        path.write_text(textwrap.dedent(text.replace(old, new)))

    return change
