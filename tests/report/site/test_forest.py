import pytest

from repro.paper import Paper
from repro.report import results
from repro.report.site import forest
from repro.report.site.claims import claim_views
from repro.schema import Claim

SIDES = {"baseline": "plain", "method": "better"}


def claim(kind="difference", direction="greater", numbers=None, **fields):
    return Claim.model_validate({
        "id": "c", "text": "t", "kind": kind, "direction": direction, **fields,
        "paper": {"metric": "GLUE dev average, Small", "source": "s", **(numbers or {})}})


def judged(low, mean, high, unit="fraction", margin=None, direction="greater", **part):
    return {"unit": unit, "margin": margin, "direction": direction, "parts": [{
        "estimate": {"low": low, "mean": mean, "high": high},
        "per_seed": [{"seed": 0, "value": mean}], **part}]}


def test_the_papers_effect_is_method_minus_baseline_in_its_own_unit():
    numbers = {"baseline": 75.1, "method": 79.9}
    assert forest.paper_effect(claim(**SIDES, numbers=numbers)) == 4.8
    assert forest.paper_effect(claim(**SIDES, numbers={"method": 79.9})) is None


def test_the_papers_trend_is_the_statistic_over_its_levels():
    levels = {"levels": [["small", 1], ["plain", 2], ["huge", 4]]}
    known = claim("trend", numbers={"levels": [1.0, 3.0, 7.0]}, **levels)
    assert forest.paper_effect(known) == pytest.approx(2.0)
    gap = claim("trend", numbers={"levels": [1.0, None, 7.0]}, **levels)
    assert forest.paper_effect(gap) is None
    assert forest.paper_effect(claim("trend", **levels)) is None


def test_zero_stands_at_one_place_and_one_unit_has_one_scale():
    near, far = judged(0.01, 0.02, 0.03), judged(-0.3, -0.2, -0.1)
    other = judged(-9, 1, 11, unit="nats")
    scales = forest.Scales([(claim(**SIDES), report) for report in (near, far, other)])
    strips = [scales.ours(report, report["parts"][0]) for report in (near, far, other)]
    assert {strip.zero for strip in strips} == {(forest.START + forest.STOP) / 2}
    # 0.02 right of zero is a tenth of 0.2 left of it.
    right, left = strips[0].mean - strips[0].zero, strips[1].zero - strips[1].mean
    assert left == pytest.approx(10 * right, rel=1e-2)
    assert strips[0].ticks == strips[1].ticks != strips[2].ticks


def test_what_is_shaded_is_what_the_claim_says():
    up, down = judged(0.1, 0.2, 0.3), judged(0.1, 0.2, 0.3, direction="less")
    equal = judged(-0.01, 0.0, 0.01, margin=0.2, direction=None)
    not_worse = judged(-0.01, 0.0, 0.01, margin=0.2, direction="greater")
    scales = forest.Scales([(claim(**SIDES), r) for r in (up, down, equal, not_worse)])
    zero = (forest.START + forest.STOP) / 2
    strips = [scales.ours(r, r["parts"][0]) for r in (up, down, equal, not_worse)]
    assert strips[0].shaded == (zero, forest.STOP)
    assert strips[1].shaded == (forest.START, zero)
    low, high = strips[2].shaded
    assert zero - low == pytest.approx(high - zero) and forest.START < low < zero
    assert strips[3].shaded == (low, forest.STOP)


def test_the_papers_equivalence_is_not_shaded_by_our_margin():
    equal = claim("equivalence", None, {"baseline": 88.9, "method": 89.0}, margin=0.5, **SIDES)
    strip = forest.Scales([(equal, {"parts": []})]).paper(equal)
    assert strip.shaded is None and strip.mean > strip.zero


def test_every_claim_of_a_report_has_a_view_with_its_numbers(suite):
    suite.render()
    paper = Paper.load(suite.dir)
    views = claim_views(paper, results.load_verdict(paper, "mini"))
    assert [view["id"] for view in views] == [claim.id for claim in paper.claims]
    first = views[0]
    assert first["papers"]["numbers"] == "75.1 → 79.9" and first["papers"]["effect"] == 4.8
    assert first["comparisons"][0]["said"].startswith("Ours: difference +0.054 [")
    assert "reproduced" in first["comparisons"][0]["said"]
    assert views[2]["papers"]["strip"] is None
    assert views[3]["comparisons"] == [] and views[3]["verdict"] == "untestable"
