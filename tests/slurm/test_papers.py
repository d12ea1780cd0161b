"""The papers themselves: a run on Slurm, in one task or in four on two nodes, has the bytes of a
run on this machine."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from repro import yaml
from repro.paper import Paper
from repro.pipeline import drill
from repro.pipeline.spec import closure, expand_all
from repro.pipeline.stage import load_tree
from repro.pipeline.store import Store
from repro.settings import Suite

ROOT = Path(__file__).parents[2]
CLUSTER = str(ROOT / "slurm" / "clusters" / "devcluster.yaml")
ARMS = {"electra": "electra", "tiny_lm": "scratch_shallow"}
STEPS = 50
SETTINGS = {"pretraining.pretrain.steps": STEPS, "pretraining.pretrain.accumulation": 4,
            "pretraining.pretrain.log_every": 1, "batches.TokenRows.batch_size": 2}


class Papers:
    """A workspace with both papers and a store for each way of running them. tiny_lm pre-trains in
    updates of four batches, which up to four tasks can share."""

    def __init__(self, root):
        self.root = root
        for slug in ARMS:
            shutil.copytree(ROOT / "papers" / slug, root / "papers" / slug,
                            ignore=shutil.ignore_patterns("out"))
        yaml.dump({"suite": {"profiles": ["smoke"], "seeds": [0]}}, root / "params.yaml")
        lines = (ROOT / "papers" / "smoke.gin").read_text().splitlines()
        kept = [line for line in lines if line.partition(" =")[0] not in SETTINGS]
        text = "\n".join([*kept, *(f"{name} = {value}" for name, value in SETTINGS.items())])
        (root / "papers" / "smoke.gin").write_text(f"{text}\n")
        self.in_tasks(1)
        for slug in ARMS:
            self.finish(self.repro("local", "resolve", slug, "--profile", "smoke"))

    def in_tasks(self, tasks, nodes=1):
        """Say in how many tasks tiny_lm pre-trains."""
        path = self.root / "papers" / "tiny_lm" / "paper.yaml"
        card = yaml.load(path)
        card["resources"]["smoke"] = {"pretrain": {"minutes": 5, "tasks": tasks, "nodes": nodes}}
        yaml.dump(card, path)

    def repro(self, store, *words):
        return subprocess.Popen(
            [sys.executable, "-c", "from repro.cli import main; main()", *words], cwd=self.root,
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            env=os.environ | {"REPRO_STORE": str(self.root / store)},
        )

    def submit(self, store, *where):
        """Make all runs of one arm of each paper, by two drivers at once."""
        drivers = [self.repro(store, "submit", slug, "--arm", arm, "--wait", *where)
                   for slug, arm in ARMS.items()]
        for driver in drivers:
            self.finish(driver)

    def pretrain(self, store, *where):
        return self.repro(store, "run", "pretrain", "--paper", "tiny_lm", "--profile", "smoke",
                          "--arm", ARMS["tiny_lm"], *where)

    def finish(self, driver):
        said, _ = driver.communicate(timeout=1200)
        assert driver.returncode == 0, said

    def specs(self, slug, stage=None):
        paper = Paper.find(slug, self.root)
        cells = expand_all(paper, load_tree(paper, "smoke", Suite(seeds=[0])), "smoke", [0])
        return [spec for (name, arm), specs in cells.items() for spec in specs
                if arm == ARMS[slug] and stage in (None, name)]

    def entry(self, store, spec):
        return Store(self.root / store).entry(spec.key)

    def digests(self, store, spec):
        """Return file -> sha256 of a finished run."""
        return {name: facts["sha256"]
                for name, facts in self.entry(store, spec).read("done")["files"].items()}


@pytest.fixture(scope="module")
def papers(tmp_path_factory):
    """Both papers, their runs made on this machine."""
    made = Papers(tmp_path_factory.mktemp("papers"))
    made.submit("local", "--local")
    return made


@pytest.fixture
def on_slurm(papers, cluster, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    yield papers
    papers.in_tasks(1)


def test_runs_on_slurm_have_the_bytes_of_local_ones(on_slurm, cluster):
    on_slurm.in_tasks(4, nodes=2)
    on_slurm.submit("slurm", "--cluster", CLUSTER)
    specs = closure([spec for slug in ARMS for spec in on_slurm.specs(slug)])
    assert len(specs) == 8  # data, pretrain, finetune, eval
    for spec, *_ in specs.values():
        assert on_slurm.digests("slurm", spec) == on_slurm.digests("local", spec), spec.label
    rows = cluster.ask("sacct", "--allocations", "--noheader", "--parsable2",
                       "--format=JobName,NNodes,NCPUS")
    (row,) = [row for row in rows if row.startswith("tiny_lm.pretrain")]
    assert row.split("|")[1:] == ["2", "4"]
    (spec,) = on_slurm.specs("tiny_lm", "pretrain")
    history = on_slurm.entry("slurm", spec).out / "history.jsonl"
    assert len(history.read_text().splitlines()) == STEPS


def test_a_checkpoint_of_four_tasks_goes_on_in_two_and_in_one(on_slurm, cluster, until):
    (spec,) = on_slurm.specs("tiny_lm", "pretrain")
    shutil.copytree(on_slurm.root / "local", on_slurm.root / "moved", copy_function=os.link)
    entry = on_slurm.entry("moved", spec)
    shutil.rmtree(entry.dir)
    for tasks, share in ((4, 0.3), (2, 0.7)):
        on_slurm.in_tasks(tasks, nodes=2)
        drill.plan(entry, share, "SIGTERM")
        on_slurm.finish(on_slurm.repro("moved", "submit", "tiny_lm", "--arm", ARMS["tiny_lm"],
                                       "--stage", "pretrain", "--cluster", CLUSTER))
        until(lambda: not cluster.jobs(), 600)  # nobody waits for it, so nobody starts it again
        assert entry.read("interrupted")["step"] == share * STEPS
    on_slurm.in_tasks(1)
    on_slurm.finish(on_slurm.pretrain("moved"))
    assert on_slurm.digests("moved", spec) == on_slurm.digests("local", spec)
    assert entry.read("run")["starts"] == 3
