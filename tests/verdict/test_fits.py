"""Claims on fits: a law per seed over arms and tasks, then the interval over seeds."""

import json

import pytest

from repro import yaml
from repro.errors import UserError
from repro.paper import Paper
from repro.report import card
from repro.verdict import collect
from repro.verdict.judge import judge

SIZES = {"scratch": 1e4, "plain": 2e4, "better": 4e4, "small": 8e4, "committee": 16e4}
# By seed: the exponent of the law that the losses are drawn from.
EXPONENTS = [0.10, 0.11, 0.09, 0.10, 0.10]
FIT = {"about": "every arm", "law": "power", "variables": ["parameters"], "metric": "nll",
       "points": {arm: ["colour"] for arm in SIZES}}
CLAIM = {"id": "falls", "text": "The loss falls as a power of the size", "kind": "fit",
         "fit": "by_size", "quantity": "exponent", "direction": "greater",
         "paper": {"metric": "exponent", "baseline": 0, "method": 0.076, "source": "section 3"}}


def loaded(toy, claims, fits=None):
    content = yaml.load(toy.dir / "paper.yaml")
    content["fits"] = fits or {"by_size": FIT}
    content["claims"] = claims
    yaml.dump(content, toy.dir / "paper.yaml")
    return Paper.load(toy.dir)


def judged(toy, *claims, fits=None, exponents=EXPONENTS, twist=lambda loss, arm: loss):
    paper = loaded(toy, list(claims), fits)
    toy.evaluate("mini", toy.values)
    for arm, size in SIZES.items():
        for seed, exponent in enumerate(exponents):
            rows = {"parameters": size, "nll": twist(3 * (1e4 / size) ** exponent, arm)}
            path = toy.dir / "out" / "mini" / arm / "eval" / f"seed{seed}" / "rows.jsonl"
            with path.open("a") as file:
                for metric, value in rows.items():
                    row = {"task": "colour", "metric": metric, "value": value}
                    file.write(json.dumps(row) + "\n")
    return judge(paper, "mini", collect.collect(paper, "mini"))


def test_the_exponent_is_fitted_per_seed_and_its_interval_is_over_seeds(toy):
    (claim,) = judged(toy, CLAIM)["claims"]
    (part,) = claim["parts"]
    assert [one["value"] for one in part["per_seed"]] == pytest.approx(EXPONENTS)
    assert claim["verdict"] == "reproduced" and claim["unit"] == "1"
    assert part["estimate"]["mean"] == pytest.approx(0.1) and part["estimate"]["n"] == 5
    # sd 0.00707, t(4) 2.776: 0.1 +- 0.00878.
    assert part["estimate"]["high"] == pytest.approx(0.10878, abs=1e-5)
    # The seeds' mean losses are a little convex in the logarithm; their runs hardly scatter.
    assert part["over_runs"]["low"] == pytest.approx(0.1, abs=1e-3)
    assert part["method"]["mean"] == pytest.approx(0.1) and part["baseline"]["mean"] == 0
    assert claim["tasks"] == ["colour"]


def test_a_reference_moves_the_decision(toy):
    above = {**CLAIM, "id": "above", "reference": 0.12}
    near = {**CLAIM, "id": "near", "reference": 0.102, "margin": 0.02}
    far = {**CLAIM, "id": "far", "reference": 0.2, "margin": 0.02}
    for claim in (near, far):
        del claim["direction"]
    found = {c["id"]: c for c in judged(toy, above, near, far)["claims"]}
    assert {name: c["verdict"] for name, c in found.items()} == {
        "above": "contradicted", "near": "reproduced", "far": "contradicted"}
    assert found["above"]["parts"][0]["estimate"]["mean"] == pytest.approx(-0.02)


def test_two_fits_are_compared_seed_by_seed(toy):
    fits = {"by_size": FIT, "without_the_last": {
        **FIT, "points": {arm: ["colour"] for arm in SIZES if arm != "committee"}}}
    claim = {**CLAIM, "baseline_fit": "without_the_last", "direction": "less"}

    def twist(loss, arm):
        return loss * (1.05 if arm == "committee" else 1)

    (found,) = judged(toy, claim, fits=fits, twist=twist)["claims"]
    assert found["verdict"] == "reproduced"  # the last run lies above the line
    values = [one["value"] for one in found["parts"][0]["per_seed"]]
    assert max(values) - min(values) < 1e-6 and values[0] < -0.005


def test_runs_that_do_not_determine_the_law_make_the_claim_untestable(toy):
    (claim,) = judged(toy, CLAIM, twist=lambda loss, arm: 3.0)["claims"]
    assert claim["verdict"] == "untestable" and claim["parts"] == []
    assert claim["reason"] == "no fit: by_size, seed 0: a power law needs values that differ"


def test_fewer_seeds_than_five_decide_nothing(toy):
    paper = loaded(toy, [CLAIM])
    four = {arm: {task: values[:4] for task, values in tasks.items()}
            for arm, tasks in toy.values.items()}
    toy.evaluate("mini", four)
    (claim,) = judge(paper, "mini", collect.collect(paper, "mini"))["claims"]
    assert claim["verdict"] == "untestable" and "4 paired seeds" in claim["reason"]


def test_a_missing_row_is_named(toy):
    paper = loaded(toy, [CLAIM])
    toy.evaluate("mini", toy.values)
    with pytest.raises(UserError, match="no row for arm 'scratch', seed 0, task 'colour', metric "
                                        "'parameters'"):
        judge(paper, "mini", collect.collect(paper, "mini"))


def test_the_card_shows_the_quantity_beside_the_papers(toy):
    (claim,) = judged(toy, {**CLAIM, "reference": 0.05})["claims"]
    (line,) = card.claim_cells(claim)["numbers"]
    assert line.startswith("reference 0.05") and "by_size: exponent 0.1" in line
    assert card.papers_numbers(claim["paper"]).startswith("0 → 0.076")


MISTAKES = [
    ({"fit": "by_sise"}, {}, r"claims\[0\].fit: unknown fit 'by_sise'"),
    ({"quantity": "exponents"}, {}, r"claims\[0\].quantity: unknown quantity 'exponents'"),
    ({"margin": 0.1}, {}, r"give a direction, or a margin"),
    ({"baseline": "plain", "method": "better"}, {}, r"a claim on a fit has none"),
    ({"kind": "trend", "levels": [["plain", 1], ["better", 2]]}, {}, "only a claim of kind `fit`"),
    ({"baseline_fit": "by_size", "reference": 0.1}, {}, "leave one out"),
    ({}, {"law": "powr"}, r"fits.by_size.law: unknown law 'powr'"),
    ({}, {"variables": ["parameters", "nll"]}, "the law power has 1"),
    ({}, {"variables": ["parametres"]}, r"fits.by_size.variables\[0\]: unknown metric"),
    ({}, {"metric": "nnl"}, "unknown metric 'nnl'"),
    ({}, {"points": {"plane": ["colour"]}}, r"fits.by_size.points.plane: unknown arm"),
    ({}, {"points": {"plain": ["color"]}}, r"fits.by_size.points.plain\[0\]: unknown task"),
    ({}, {"held_out": {"plain": ["colour"]}}, "the law power has no held-out runs"),
]


@pytest.mark.parametrize(("claim", "fit", "message"), MISTAKES)
def test_a_mistake_is_named(toy, claim, fit, message):
    with pytest.raises(UserError, match=message):
        loaded(toy, [CLAIM | claim], {"by_size": FIT | fit})
