import copy
import json

import pytest

from repro import yaml
from repro.errors import UserError
from repro.paper import Paper
from repro.verdict import collect
from repro.verdict.judge import NO_VERDICT, exit_code, judge, overall


def judged(toy, edit=None, values=None, profile="mini"):
    """The report on the toy paper after an edit of paper.yaml's content or of the values."""
    content = yaml.load(toy.dir / "paper.yaml")
    if edit:
        edit(content)
    yaml.dump(content, toy.dir / "paper.yaml")
    toy.evaluate(profile, values or toy.values)
    paper = Paper.load(toy.dir)
    return judge(paper, profile, collect.collect(paper, profile))


def claim(report, name):
    return next(c for c in report["claims"] if c["id"] == name)


def test_the_toy_paper_is_judged_claim_by_claim(toy):
    report = judged(toy)
    assert [c["verdict"] for c in report["claims"]] == [
        "reproduced", "reproduced", "reproduced", "untestable"]
    assert report["verdict"] == "reproduced" and exit_code(report) == 0
    assert report["counts"] == {"reproduced": 3, "contradicted": 0, "inconclusive": 0,
                                "untestable": 1}
    assert claim(report, "at_scale")["reason"] == "needs 64 accelerators"


def test_means_over_tasks_are_taken_per_seed_first(toy):
    (part,) = claim(judged(toy), "better_wins")["parts"]
    # Seed 0: (0.60 + 0.41) / 2 - (0.50 + 0.40) / 2 = 0.055.
    assert [d["value"] for d in part["per_seed"]] == [0.055, 0.055, 0.05, 0.05, 0.06]
    assert part["estimate"]["mean"] == 0.054 and part["estimate"]["n"] == 5
    assert part["gate"]["open"] and part["gate"]["estimate"]["low"] > 0
    assert claim(judged(toy), "better_wins")["paper"]["baseline"] == 75.1


def test_the_other_side_is_contradicted_and_neither_is_inconclusive(toy):
    worse = copy.deepcopy(toy.values)
    worse["better"] = {task: [v - 0.2 for v in column] for task, column in worse["plain"].items()}
    report = judged(toy, values=worse)
    assert claim(report, "better_wins")["verdict"] == "contradicted"
    assert claim(report, "same_shape")["verdict"] == "contradicted"
    assert report["verdict"] == "contradicted" and exit_code(report) == 3
    mixed = copy.deepcopy(toy.values)
    mixed["better"]["colour"] = [0.4, 0.6, 0.4, 0.6, 0.5]
    report = judged(toy, values=mixed)
    assert claim(report, "better_wins")["verdict"] == "inconclusive" and exit_code(report) == 2


def test_less_is_better_where_the_claim_says_so(toy):
    def edit(content):
        content["claims"][0]["direction"] = "less"

    assert claim(judged(toy, edit), "better_wins")["verdict"] == "contradicted"


@pytest.mark.parametrize("better", [0.9, 0.1])
def test_a_closed_gate_makes_the_claim_untestable_whatever_it_says(toy, better):
    values = copy.deepcopy(toy.values)
    values["scratch"] = copy.deepcopy(values["plain"])
    values["better"]["colour"] = [better + i / 100 for i in range(5)]
    found = claim(judged(toy, values=values), "better_wins")
    assert found["verdict"] == "untestable" and "gate closed" in found["reason"]
    assert not found["parts"][0]["gate"]["open"]


def test_a_gate_for_a_metric_that_falls_opens_when_it_falls(toy):
    def edit(content):
        content["tasks"]["colour"]["metric"] = "perplexity"
        content["gates"]["pretraining"]["tasks"] = ["colour"]

    toy.evaluate()
    for path in toy.dir.glob("out/mini/*/eval/seed*/rows.jsonl"):
        path.write_text(path.read_text().replace("accuracy", "perplexity"))
    content = yaml.load(toy.dir / "paper.yaml")
    edit(content)
    yaml.dump(content, toy.dir / "paper.yaml")
    paper = Paper.load(toy.dir)
    report = judge(paper, "mini", collect.collect(paper, "mini"))
    # plain has the higher value on colour, which for a perplexity is the worse one.
    assert not claim(report, "better_wins")["parts"][0]["gate"]["open"]


def test_a_claim_waits_for_the_claims_it_requires(toy):
    def edit(content):
        content["claims"][0]["direction"] = "less"
        content["claims"][1]["requires"] = ["better_wins"]

    found = claim(judged(toy, edit), "same_shape")
    assert found["verdict"] == "untestable"
    assert found["reason"] == "needs better_wins (contradicted)"


def test_a_paper_limited_to_some_arms_and_claims_is_judged_on_those(toy):
    report = judged(toy, lambda content: content["claims"][1].update(requires=["better_wins"]))
    assert claim(report, "same_shape")["verdict"] == "reproduced"
    part = Paper.load(toy.dir).limited(("plain", "better"), ("same_shape",))
    report = judge(part, "mini", collect.collect(part, "mini"))
    assert [c["reason"] for c in report["claims"]] == ["needs better_wins (not judged)"]
    part = Paper.load(toy.dir).limited(("plain", "better"), ("better_wins",))
    report = judge(part, "mini", collect.collect(part, "mini"))
    assert report["claims"][0]["reason"] == "arm 'scratch' is not part of profile 'mini'"


def test_on_every_task_needs_every_task(toy):
    def edit(content):
        content["claims"][0]["over"] = "each"

    found = claim(judged(toy, edit), "better_wins")
    assert [p["tasks"] for p in found["parts"]] == [["colour"], ["shape"]]
    assert [p["verdict"] for p in found["parts"]] == ["reproduced", "inconclusive"]
    assert found["verdict"] == "inconclusive"
    assert found["reason"] == "reproduced on colour; inconclusive on shape"


def test_a_trend_is_the_slope_over_levels_per_seed(toy):
    (part,) = claim(judged(toy), "width_helps")["parts"]
    # Seed 0: plain (0.50 + 0.40) / 2 - small (0.45 + 0.35) / 2 = 0.05 for one level.
    assert part["per_seed"][0] == {"seed": 0, "value": 0.05}
    assert [level["arm"] for level in part["levels"]] == ["small", "plain"]


def test_a_trend_of_the_gap_subtracts_the_baseline_of_each_level(toy):
    def edit(content):
        content["claims"][2]["baseline_levels"] = [["scratch", 1], ["better", 2]]

    (part,) = claim(judged(toy, edit), "width_helps")["parts"]
    # Level 1: 0.40 - 0.25 = 0.15; level 2: 0.45 - 0.505 = -0.055; slope -0.205.
    assert part["per_seed"][0]["value"] == pytest.approx(-0.205)
    assert part["gap"] is True


def test_fewer_than_five_seeds_decide_nothing(toy):
    values = {arm: {t: column[:4] for t, column in tasks.items()}
              for arm, tasks in toy.values.items()}
    report = judged(toy, values=values)
    assert {c["verdict"] for c in report["claims"]} == {"untestable"}
    assert "4 paired seeds, at least 5" in report["claims"][0]["reason"]
    assert report["verdict"] == "untestable" and exit_code(report) == 2


def test_smoke_never_yields_a_verdict(toy):
    report = judged(toy, profile="smoke")
    assert report["verdict"] == NO_VERDICT and report["claims"] == [] and exit_code(report) == 2


def test_an_untestable_claim_is_judged_at_the_papers_own_scale(toy):
    def edit(content):
        content["claims"][3] |= {"baseline": "plain", "method": "better"}

    values = {**toy.values, "huge": toy.values["plain"]}
    report = judged(toy, edit, values=values, profile="paper")
    assert claim(report, "at_scale")["verdict"] == "reproduced"


def test_an_arm_of_another_profile_makes_a_claim_untestable(toy):
    def edit(content):
        content["claims"][0]["method"] = "huge"

    found = claim(judged(toy, edit), "better_wins")
    assert found["reason"] == "arm 'huge' is not part of profile 'mini'"


def test_a_missing_row_is_named(toy):
    values = copy.deepcopy(toy.values)
    values["better"] = {t: column[:4] for t, column in values["better"].items()}
    with pytest.raises(UserError, match="arm 'better', seed 4, task 'colour', metric 'accuracy'"):
        judged(toy, values=values)


def test_overall_lets_the_worst_tested_claim_decide():
    assert overall(["reproduced", "inconclusive", "contradicted"]) == "contradicted"
    assert overall(["reproduced", "inconclusive", "untestable"]) == "inconclusive"
    assert overall(["reproduced", "untestable"]) == "reproduced"
    assert overall(["untestable", "untestable"]) == "untestable"


def test_rows_survive_saving_and_come_back_sorted(toy):
    toy.evaluate()
    paper = Paper.load(toy.dir)
    rows = collect.collect(paper, "mini")
    path = collect.save(paper, "mini", reversed(rows))
    assert collect.load(paper, "mini") == rows
    assert list(json.loads(path.read_text().splitlines()[0])) == list(collect.FIELDS)
    assert len(rows) == 5 * 5 * 2


@pytest.mark.parametrize("spoil, message", [
    (lambda row: row | {"value": float("nan")}, "rows.jsonl:1: value must be a finite number"),
    (lambda row: row | {"task": "colours"}, r"unknown task 'colours' \(did you mean 'colour'\?\)"),
    (lambda row: row | {"metric": "acuracy"}, "unknown metric 'acuracy' .did you mean"),
    (lambda row: row | {"note": 1}, "a row has task, metric, value"),
    (lambda row: [row], "a row has task, metric, value"),
])
def test_a_bad_row_is_named_with_file_and_line(toy, spoil, message):
    toy.evaluate()
    path = toy.dir / "out/mini/plain/eval/seed2/rows.jsonl"
    path.write_text(json.dumps(spoil(toy.row("colour", 0.5))) + "\n")
    with pytest.raises(UserError, match=message) as error:
        collect.collect(Paper.load(toy.dir), "mini")
    assert "papers/toy/out/mini/plain/eval/seed2/rows.jsonl:1" in str(error.value)


@pytest.mark.parametrize(("field", "value"), [("unit", "points"), ("higher_is_better", False)])
def test_committed_rows_of_another_meaning_are_refused(toy, field, value):
    toy.evaluate()
    paper = Paper.load(toy.dir)
    path = collect.save(paper, "mini", collect.collect(paper, "mini"))
    lines = path.read_text().splitlines()
    lines[2] = json.dumps(json.loads(lines[2]) | {field: value})
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match="mini.rows.jsonl:3: .* means .* says otherwise"):
        collect.load(paper, "mini")


def test_unreadable_repeated_and_absent_rows_are_errors(toy):
    paper = Paper.load(toy.dir)
    with pytest.raises(UserError, match="no evaluated seed of arm 'scratch'; run `dvc repro"):
        collect.collect(paper, "mini")
    toy.evaluate()
    path = toy.dir / "out/mini/plain/eval/seed2/rows.jsonl"
    path.write_text(path.read_text() * 2)
    with pytest.raises(UserError, match="there twice for arm 'plain', seed 2"):
        collect.collect(paper, "mini")
    path.write_text("{")
    with pytest.raises(UserError, match="rows.jsonl:1: not a JSON object"):
        collect.collect(paper, "mini")
    path.unlink()
    with pytest.raises(UserError, match="seed2/rows.jsonl: rows cannot be read"):
        collect.collect(paper, "mini")
