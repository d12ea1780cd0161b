"""Forecasts of the papers in this repository, and what their papers say they took."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from repro import devices
from repro.check import dry_run
from repro.cli import main
from repro.config.resolve import resolve
from repro.errors import UserError
from repro.forecast import calibrate, observed, work
from repro.forecast.forecast import Forecast, check_budget
from repro.forecast.ranges import Range
from repro.forecast.rates import Assumptions
from repro.forecast.table import render
from repro.forecast.work import Work
from repro.paper import Paper
from repro.pipeline.store import Store
from repro.schema import Resources

ROOT = Path(__file__).parents[2]


def electra(arms=("electra", "bert_flops"), profile="paper"):
    """ELECTRA cut down to some arms, and its resolved settings."""
    whole = Paper.find("electra", ROOT)
    tree = resolve(whole, profile, numerics="portable").tree
    arms = [*arms, "bert"] if "bert" not in arms else list(arms)
    tree["arms"] = {arm: tree["arms"][arm] for arm in arms}
    return whole.limited(arms, ()), tree


def assumptions(**changes):
    return Assumptions(**{"cpu": "nowhere", "gpu": devices.find("V100"), "precision": "fp32",
                          **changes})


@pytest.fixture(scope="module")
def at_papers_scale():
    paper, tree = electra()
    left, done = work.missing(paper, "paper", tree, None)
    assert done == 0
    return Forecast(paper, "paper", left, done, [], assumptions())


def test_the_papers_own_four_days_lie_within_the_forecast(at_papers_scale):
    rows = {row["arm"]: row for row in at_papers_scale.report(None)["paper_says"]}
    assert set(rows) == {"electra", "bert_flops"}
    for row in rows.values():
        assert row["hours"] == 96 and row["within"]
        # The paper counts softmax, normalisation and dropout too, and rounds to two digits.
        assert 0.75 < row["our_flops"] / row["flops"] < 1.25
        assert row["implied"]["fp32"] == pytest.approx(0.258, abs=0.001)


def test_hours_and_energy_follow_from_the_time_of_the_runs(at_papers_scale):
    report = at_papers_scale.report(1)
    stage = next(row for row in report["stages"] if row["stage"] == "pretrain")
    row = next(row for row in stage["arms"] if row["arm"] == "electra")
    low, high = row["seconds_a_run"]
    flops = row["flops"] / row["runs"]
    assert low == pytest.approx(flops / 15.7e12 / 0.6, rel=1e-3)
    assert row["runs"] == 5
    assert row["gpu_hours"] == pytest.approx([5 * low / 3600, 5 * high / 3600], rel=1e-3)
    assert row["core_hours"] == pytest.approx([8 * hours for hours in row["gpu_hours"]], rel=1e-3)
    watts = 300 + 8 * devices.WATTS_PER_CORE
    assert row["energy_kwh"][1] == pytest.approx(row["gpu_hours"][1] * watts / 1000, rel=1e-3)
    assert row["energy_kwh"][0] == pytest.approx(row["gpu_hours"][0] * watts / 2000, rel=1e-3)
    assert report["wall_hours"]["range"][0] >= report["total"]["gpu_hours"][0]


def test_a_budget_that_may_be_exceeded_is_an_error(at_papers_scale):
    report = at_papers_scale.report(None)
    low, high = report["total"]["gpu_hours"]
    check_budget(report, None)
    check_budget(report, high)
    with pytest.raises(UserError, match="may be over it"):
        check_budget(report, (low + high) / 2)
    with pytest.raises(UserError, match="are over it"):
        check_budget(report, low / 2)


def test_a_request_that_is_too_short_is_named(at_papers_scale):
    lines = at_papers_scale.report(None)["too_short"]
    assert any(line.startswith("pretrain of electra: may not end within the 5760 minutes")
               for line in lines)


def test_finished_runs_are_not_paid_for_again(tmp_path):
    paper, tree = electra(("bert",), "mini")
    store = Store(tmp_path)
    left, done = work.missing(paper, "mini", tree, store)
    (data,) = [one for one in left if one.spec.stage == "data"]
    entry = store.prepare(data.spec, ROOT)
    (entry.dir / "done.json").write_text("{}")
    again, now_done = work.missing(paper, "mini", tree, store)
    assert (done, now_done) == (0, 1) and len(again) == len(left) - 1


def fake_run(key, seconds, upstream):
    spec = SimpleNamespace(key=key, stage="pretrain", arm=key, paper="toy", profile="mini",
                           upstream=upstream, resources=Resources(minutes=1))
    return Work(spec, seconds, 1.0, False, "fp32", "cpu", "s", "")


@given(st.lists(st.tuples(st.floats(1, 1e5), st.integers(0, 9)), min_size=1, max_size=12),
       st.integers(1, 5))
@settings(max_examples=50, deadline=None)
def test_wall_time_is_bounded_by_the_longest_chain_and_by_the_sum(runs, at_once):
    made = []
    for index, (seconds, parent) in enumerate(runs):
        upstream = (made[parent % index].spec,) if index else ()
        made.append(fake_run(str(index), seconds, upstream))
    paper = SimpleNamespace(slug="toy")
    exact = assumptions(peak=1.0, utilisation=Range(1, 1))
    found = Forecast(paper, "mini", made, 0, [], exact)
    chain, some = found.wall(None), found.wall(at_once)
    amount = sum(seconds for seconds, _ in runs) / 3600
    assert chain.low == pytest.approx(chain.high) and chain.high <= amount * (1 + 1e-9)
    assert max(chain.low, amount / at_once) == pytest.approx(some.low)
    assert some.low <= some.high * (1 + 1e-9) and some.high <= amount + 1e-9 or at_once > 1
    assert found.wall(1).low == pytest.approx(amount) == found.wall(1).high


def test_committed_costs_are_observations_with_the_shape_of_their_settings():
    found = list(observed.in_git([Paper.find("electra", ROOT)]))
    trained = [one for one in found if one.stage == "pretrain" and one.flops]
    assert len(trained) >= 5 and all(one.shape and one.profile == "mini" for one in trained)
    paper, tree = electra(("bert", "bert_flops"), "mini")
    left, _ = work.missing(paper, "mini", tree, None)
    shapes = {one.spec.arm: one.shape for one in left if one.spec.stage == "pretrain"}
    # More steps are the same shape: what one took tells of the other.
    assert shapes["bert"] == shapes["bert_flops"] in {one.shape for one in trained}


def test_a_calibration_times_every_shape_without_data():
    paper, tree = electra(("electra", "bert"), "smoke")
    left, _ = work.missing(paper, "smoke", tree, None)
    found = calibrate.calibrate(paper, left, tree, 0.1)
    assert set(found) == {one.shape for one in left if one.shape} and len(found) == 2
    for one in found.values():
        assert 0 < one.seconds_per_token.low <= one.seconds_per_token.high and one.startup > 0


def run(*args):
    return CliRunner().invoke(main, ["cost", *args])


@pytest.fixture
def here(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("REPRO_STORE", str(tmp_path / "store"))


def test_the_command_says_what_was_spent_and_forecasts_what_was_not(here, tmp_path):
    spent = json.loads(run("electra", "--json").output)
    assert spent["kind"] == "spent" and spent["from"] == "papers/electra/results/mini.cost.json"
    assert "electra_15" in render(spent)
    done = run("electra", "--profile", "paper", "--gpu", "A100", "--json")
    report = json.loads(done.output)
    assert done.exit_code == 0 and report["kind"] == "forecast"
    low, high = report["total"]["gpu_hours"]
    assert 0 < low < high
    text = render(report)
    assert "A100, 400 W" in text and "the paper, electra: 96 h on 1 V100" in text
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(("args", "message"), [
    (("--max-gpu-hours", "1"), "are over it"),
    (("--utilisation", "30"), "--utilisation '30': expected a share"),
    (("--gpu", "V1000"), "did you mean 'V100'?"),
    (("--gpu", "V100"), "device V100: has no bf16 rate")])
def test_what_is_wrong_is_one_line_and_a_status(here, args, message):
    done = run("tiny_lm", "--profile", "paper", *args)
    assert done.exit_code == 1
    assert message in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_the_models_are_those_of_the_dry_run():
    paper, tree = electra()
    rows = {row["arm"]: row for row in dry_run.check(paper, "paper", tree)["arms"]}
    left, _ = work.missing(paper, "paper", tree, None)
    for one in left:
        if one.spec.stage == "pretrain":
            assert (one.flops, one.tokens) == (rows[one.spec.arm]["flops"],
                                               rows[one.spec.arm]["tokens"])
