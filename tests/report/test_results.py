import csv
import json
import os
import subprocess
import sys

import pytest

from repro import yaml
from repro.config import resolved
from repro.errors import UserError
from repro.paper import Paper
from repro.report import card, cost, results
from repro.report.board import gather, render
from repro.verdict import collect
from repro.verdict.judge import NO_VERDICT, judge


def written(toy, profile="mini"):
    toy.evaluate(profile)
    paper = Paper.load(toy.dir)
    results.write(paper, profile)
    return paper


def snapshot(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes()
            for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_result_files_agree_with_each_other(toy):
    paper = written(toy)
    report = results.load_verdict(paper, "mini")
    assert report == judge(paper, "mini", collect.load(paper, "mini"))
    folder = toy.dir / "results"
    metrics = json.loads((folder / "mini.metrics.json").read_text())
    assert metrics["verdicts"]["reproduced"] == 3
    assert metrics["claims"]["better_wins"]["difference"] == 0.054
    assert metrics["arms"]["plain"] == pytest.approx(0.452)
    lines = list(csv.DictReader((folder / "mini.claims.csv").open()))
    assert [line["claim"] for line in lines] == ["better_wins", "same_shape", "width_helps"]
    curve = list(csv.DictReader((folder / "mini.curves/plain.csv").open()))
    # Mean over seeds of 9 / 100 + seed / 100 is 0.11.
    assert curve[1] == {"step": "100", "loss": "0.11"}


def test_everything_written_is_the_same_bytes_again_in_another_process(toy):
    paper = written(toy)
    card.write(paper)
    first = snapshot(toy.dir / "results") | {"README": (toy.dir / "README.md").read_bytes()}
    code = ("import sys; from repro.paper import Paper; from repro.report import card, results;"
            "p = Paper.load(sys.argv[1]); results.write(p, 'mini'); card.write(p)")
    env = {**os.environ, "PYTHONHASHSEED": "12345", "TZ": "Asia/Tokyo"}
    subprocess.run([sys.executable, "-c", code, str(toy.dir)], check=True, env=env)
    second = snapshot(toy.dir / "results") | {"README": (toy.dir / "README.md").read_bytes()}
    assert first == second
    assert any(name.endswith(".svg") for name in first)


def test_plots_show_every_decided_claim_and_carry_no_date(toy):
    written(toy)
    svg = (toy.dir / "results/mini.claims.svg").read_text()
    assert "better_wins" in svg and "width_helps" in svg and "at_scale" not in svg
    assert "<dc:date>" not in svg
    curves = (toy.dir / "results/mini.curves.svg").read_text()
    assert "plain" in curves and "scratch" not in curves


def test_smoke_writes_its_files_but_no_verdict(toy):
    paper = written(toy, "smoke")
    report = results.load_verdict(paper, "smoke")
    assert report["verdict"] == NO_VERDICT and report["claims"] == []
    assert (toy.dir / "results/smoke.claims.csv").read_text().count("\n") == 1
    assert "Not run yet" in card.render(paper)


def test_nothing_is_written_when_a_row_is_missing(toy):
    toy.evaluate()
    (toy.dir / "out/mini/better/eval/seed3/rows.jsonl").write_text(
        json.dumps(toy.row("colour", 0.5)) + "\n")
    with pytest.raises(UserError, match="arm 'better', seed 3, task 'shape'"):
        results.write(Paper.load(toy.dir), "mini")
    assert not (toy.dir / "results").exists()


def test_long_curves_are_thinned_and_keep_both_ends(toy):
    path = toy.dir / "out/mini/plain/pretrain/seed0/history.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps({"step": s, "loss": 1.0}) + "\n" for s in range(1, 1001)))
    (curve,) = results.read_curves(Paper.load(toy.dir), "mini")["plain"].values()
    assert len(curve) == results.CURVE_POINTS and curve[0][0] == 1 and curve[-1][0] == 1000


def test_the_card_shows_the_papers_numbers_beside_ours(toy):
    text = card.render(written(toy))
    row = next(line for line in text.splitlines() if "`better_wins` The new" in line)
    assert "75.1 → 79.9 (mean accuracy; Table 1)" in row
    assert "+0.054 [+0.049, +0.059]" in row and "**reproduced**" in row
    assert "untestable**: needs 64 accelerators" in text
    assert "| colour | accuracy (fraction) | 0.304 ± 0.011 |" in text
    assert "Gate of `better_wins`" in text and "open." in text
    assert "| mini | vaderSentiment | pypi 3.3.2 | MIT |" in text
    assert "\n\n\n" not in text.replace("\n\n\n## ", "\n\n## ")


def test_the_card_shows_resolved_settings_beside_stated_ones(toy):
    arm = {"pretrain": {"code": "", "config": {"batch_size": 64, "optimizer": {"lr": 0.001}}}}
    tree = {"paper": "toy", "profile": "mini", "numerics": None, "versions": {}, "epoch": 1,
            "seeds": [0],
            "arms": {name: arm for name in ("plain", "better", "small")}}
    resolved.dump(tree, toy.dir / "resolved" / "mini")
    text = card.render(Paper.load(toy.dir))
    assert "| `*.pretrain.batch_size` | 128 | 64 | Table 6 |" in text
    assert "| `better.pretrain.optimizer.lr` | 0.0005 | 0.001 | Table 6 |" in text


def test_a_contradicted_claim_is_shown_as_prominently(toy):
    content = yaml.load(toy.dir / "paper.yaml")
    content["claims"][0]["direction"] = "less"
    yaml.dump(content, toy.dir / "paper.yaml")
    text = card.render(written(toy))
    assert "## Verdict (mini): contradicted" in text and "**contradicted**" in text


def test_text_cannot_break_a_table(toy):
    content = yaml.load(toy.dir / "paper.yaml")
    content["claims"][0]["text"] = "A | B\nand C"
    yaml.dump(content, toy.dir / "paper.yaml")
    assert "`better_wins` A \\| B and C |" in card.render(written(toy))


RUNS = [
    {"key": "a", "stage": "eval", "arm": "plain", "seconds": 1.0, "peak_memory_mb": 100,
     "core_seconds": 0.5, "gpu_seconds": 0.0, "energy": {"joules": 6.0, "cpu": {"joules": 6.0,
     "method": "estimate"}}, "tokens": 10, "flops": 1000, "cpu": "X", "gpu": None,
     "measurements": {"colour": {"latency_ms": 2.0}}},
    {"key": "b", "stage": "eval", "arm": "plain", "seconds": 3.0, "peak_memory_mb": 300,
     "core_seconds": 1.5, "gpu_seconds": 2.0, "energy": {"joules": 594.0, "cpu": {"joules": 18.0,
     "method": "estimate"}, "gpu": {"joules": 576.0, "method": "counter"}},
     "tokens": 10, "flops": 1000, "cpu": "X", "gpu": "G",
     "measurements": {"colour": {"latency_ms": 4.0}}},
]
RUNS.append({**RUNS[0], "arm": "better", "measurements": {}})


def test_cost_is_per_stage_and_arm_and_counts_a_shared_run_once():
    found = cost.gather(RUNS)
    assert found["runs"] == 2 and found["total_seconds"] == 4.0 and found["peak_mb"] == 300
    cell = found["stages"]["eval"]["plain"]
    assert (cell["runs"], cell["seconds"], cell["flops"]) == (2, 2.0, 1000)
    assert cell["measured"] == {"colour.latency_ms": 3.0}
    assert (found["core_seconds"], found["gpu_seconds"]) == (2.0, 2.0)
    assert (cell["core_seconds"], cell["joules"]) == (1.0, 300.0)
    assert found["energy"] == {"joules": 600.0, "methods": ["cpu: estimate", "gpu: counter"]}
    assert found["machines"] == ["G", "X"]


def test_a_cost_that_one_run_did_not_record_is_not_half_a_sum():
    old = {name: value for name, value in RUNS[1].items() if name != "energy"}
    found = cost.gather([RUNS[0], old])
    assert found["energy"] == {"joules": None, "methods": ["cpu: estimate"]}
    assert found["stages"]["eval"]["plain"]["joules"] is None and found["core_seconds"] == 2.0


def test_cost_comes_from_the_store_and_reaches_the_card(toy, tmp_path):
    paper = written(toy)
    key = "ab" * 32
    (tmp_path / "store" / "ab" / key[:16]).mkdir(parents=True)
    run = {**RUNS[0], "key": key}
    (tmp_path / "store" / "ab" / key[:16] / "run.json").write_text(json.dumps(run))
    folder = toy.dir / "out/mini/plain/eval/seed0"
    (folder / "MANIFEST.json").write_text(json.dumps({"key": key, "files": {}}))
    runs = cost.runs_of(paper, "mini", tmp_path / "store")
    assert [(r["stage"], r["arm"], r["seconds"]) for r in runs] == [("eval", "plain", 1.0)]
    cost.write(paper, "mini", runs)
    line = "| eval | plain | 1 s | 0.00167 Wh | 100 | 10 | 1 k | colour.latency_ms 2.0 |"
    assert line in card.render(paper)
    assert cost.write(paper, "mini", []) is None and cost.load(paper, "mini")["runs"] == 1


def test_the_board_counts_verdicts_and_shows_what_has_not_run(toy):
    paper = Paper.load(toy.dir)
    assert "| not run |" in render(gather([paper], "mini"), "mini")
    text = render(gather([written(toy)], "mini"), "mini")
    assert "| [toy](../papers/toy/README.md) | 4 | 3 | 0 | 0 | 1 | 5 | n/a | reproduced |" in text
