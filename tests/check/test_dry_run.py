import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from repro.check import dry_run
from repro.check.footprint import Footprint
from repro.check.table import render
from repro.cli import main
from repro.config.resolve import resolve
from repro.errors import UserError
from repro.paper import Paper
from repro.schema import Parameters
from repro.verdict import stated

ROOT = Path(__file__).parents[2]
ABOUT_OTHERS = "no arm has this core setting"  # said of entries of arms that were left out
PAPERS = [path.parent.name for path in sorted(ROOT.glob("papers/*/paper.yaml"))]


def checked(slug, arms, profile="paper", overrides=(), **changes):
    whole = Paper.find(slug, ROOT)
    paper = whole.limited(arms, ())
    if changes:
        paper = paper.model_copy(update=changes)
        paper._dir = whole._dir
    tree = resolve(whole, profile, numerics="portable", overrides=list(overrides)).tree
    tree["arms"] = {arm: tree["arms"][arm] for arm in arms}
    return dry_run.check(paper, profile, tree)


def test_electra_small_is_as_large_as_the_paper_says_and_reads_as_much():
    report = checked("electra", ["bert", "electra"])
    assert report["right"] and report["problems"] == []
    row = {row["arm"]: row for row in report["arms"]}["electra"]
    # 30,522 words and 512 + 2 positions and segments of 128, their LayerNorm and projection;
    # 12 layers of 4 x 256 x 256 attention, 2 x 256 x 1,024 feed-forward, biases, two LayerNorms.
    embeddings = (30522 + 512 + 2) * 128 + 2 * 128 + 128 * 256 + 256
    layer = 4 * (256 * 256 + 256) + 2 * 256 * 1024 + 1024 + 256 + 4 * 256
    assert row["parameters"]["exported"] == embeddings + 12 * layer
    assert row["fits"] is True
    assert row["tokens"] == 1_000_000 * 128 * 128
    assert row["memory"]["optimizer"] == pytest.approx(2 * row["memory"]["weights"], rel=1e-3)
    assert row["memory"]["total"] == sum(
        row["memory"][part] for part in row["memory"] if part != "total")


@pytest.mark.parametrize("slug", PAPERS)
def test_every_papers_own_scale_is_right(slug):
    # One arm a role: the others differ in their losses, and the whole takes a while.
    paper = Paper.find(slug, ROOT)
    roles = {paper.arms[arm].role: arm for arm in reversed(list(paper.arms_of("paper")))
             if "data" in paper.stages_of(arm) or "pretrain" in paper.stages_of(arm)}
    data = [paper.provider(arm, "data") for arm in roles.values()]
    report = checked(slug, list(dict.fromkeys([*data, *roles.values()])))
    assert [line for line in report["problems"] if not line.endswith(ABOUT_OTHERS)] == []


@pytest.mark.parametrize("slug", PAPERS)
def test_every_setting_of_every_arm_is_the_papers_or_accounted_for(slug):
    paper = Paper.find(slug, ROOT)
    tree = resolve(paper, "paper", numerics="portable").tree
    assert stated.unexplained(paper, tree) + stated.silent(paper, tree) == []


def test_a_model_of_another_size_is_wrong():
    base = {"electra": Parameters(value=110e6, source="Table 1")}
    report = checked("electra", ["bert", "electra"], parameters=base)
    assert not report["right"]
    assert report["problems"] == [
        "electra: 13,483,008 parameters (exported), the paper has 110,000,000 ± 5% (Table 1)"]


@pytest.mark.parametrize(("binding", "problem"), [
    ("encoders.electra.layers = 6", "parameters (exported), the paper has 14,000,000"),
    ("batches.TokenRows.sequence_length = 1024",
     "cannot be built: sequence of 1024 tokens: the encoder has max_positions = 512"),
    ("encoders.electra.heads = 3", "cannot be built: heads = 3: must divide hidden = 256"),
    ("batches.TokenRows.batch_size = 64", "the paper says 128, ours is 64"),
])
def test_what_would_fail_or_differ_on_the_cluster_is_said_before(binding, problem):
    report = checked("electra", ["bert", "electra"], overrides=[binding])
    assert not report["right"]
    assert any(problem in line for line in report["problems"]), report["problems"]


def test_steps_and_tokens_are_those_of_an_update():
    rows = {"_fn": "repro.data.batches.TokenRows", "corpus": "text", "packed": True,
            "batch_size": 4, "sequence_length": 16}
    config = {"steps": 10, "accumulation": 8, "batches": rows}
    assert dry_run.amounts(config, ROOT) == {
        "steps": 10, "rows": 32, "accumulation": 8, "sequence_length": 16,
        "tokens": 10 * 4 * 8 * 16}


@pytest.mark.parametrize(("accumulation", "tasks", "sums"), [(1, 1, 0), (8, 1, 4), (8, 8, 0),
                                                            (8, 2, 3)])
def test_partial_sums_of_gradients_grow_with_the_batches_of_a_task(accumulation, tasks, sums):
    found = Footprint(exported=1, trained=1, weights=100, optimizer=200, working=1000)
    parts = dry_run.memory(found, {"accumulation": accumulation}, tasks)
    assert parts["gradient_sums"] == 100 * sums
    assert parts["total"] == 100 + 200 + 100 * sums + 1000 + dry_run.CONTEXT


def test_sharding_shares_out_the_state_and_unknown_stays_unknown():
    found = Footprint(exported=1, trained=1, weights=100, optimizer=200, working=None)
    parts = dry_run.memory(found, {"sharding": "fsdp2", "world_size": 4}, 4)
    assert (parts["weights"], parts["optimizer"], parts["total"]) == (25, 50, None)


def test_jobs_and_hours_follow_from_paper_yaml():
    paper = Paper.find("electra", ROOT)
    tree = resolve(paper, "paper", numerics="portable").tree
    rows = {row["stage"]: row for row in dry_run.stages(paper, "paper", tree, None)}
    arms = sum("pretrain" in paper.stages_of(arm) for arm in paper.arms_of("paper"))
    assert (rows["data"]["runs"], rows["pretrain"]["runs"]) == (1, 5 * arms)
    minutes = paper.resources_of("paper", "pretrain").minutes
    assert rows["pretrain"]["gpu_hours"] == pytest.approx(5 * arms * minutes / 60)
    assert "--gres=gpu:1" in rows["pretrain"]["sbatch"]
    mini = resolve(paper, "mini", numerics="portable").tree
    packed = {row["stage"]: row for row in dry_run.stages(paper, "mini", mini, None)}["pretrain"]
    assert packed["jobs"] == -(-packed["runs"] // paper.resources_of("mini", "pretrain").pack)
    site = dry_run.stages(paper, "paper", tree, ROOT / "slurm" / "clusters" / "a100.yaml")
    assert "--gres=gpu:a100:1" in site[1]["sbatch"]
    with pytest.raises(UserError, match="no such file"):
        dry_run.stages(paper, "paper", tree, ROOT / "slurm" / "clusters" / "b200.yaml")


def test_the_command_needs_no_data_and_says_what_is_wrong_in_its_status(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("REPRO_ASSETS", str(tmp_path / "none"))
    monkeypatch.setenv("REPRO_STORE", str(tmp_path / "store"))
    done = CliRunner().invoke(main, ["check", "tiny_lm", "--profile", "mini", "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.output)
    assert report["profile"] == "mini" and len(report["arms"]) >= 10
    text = render(report)
    assert all(row["arm"] in text for row in report["arms"])
    assert not (tmp_path / "store").exists()
