import json

import pytest

from repro.config import resolved
from repro.errors import UserError
from repro.paper import Paper
from repro.report import forecasts

AMOUNTS = {"runs": 5, "flops": 5e18, "tokens": 5e9, "seconds_a_run": [36000.0, 360000.0],
           "core_hours": [400.0, 4000.0], "gpu_hours": [50.0, 500.0], "energy_kwh": [10.0, 250.0]}
SAID = {"arm": "better", "flops": 1.4e18, "hours": 96.0, "device": "V100", "devices": 1,
        "source": "Table 1", "our_flops": 1.05e18, "our_hours": [40.0, 160.0], "precision": "fp32",
        "within": True, "implied": {"fp32": 0.258}}
REPORT = {"paper": "toy", "profile": "paper", "kind": "forecast", "runs": 5, "done": 0,
          "stages": [{"stage": "pretrain", **AMOUNTS,
                      "arms": [{"arm": "better", **AMOUNTS, "from": "FLOPs / peak"}]}],
          "total": AMOUNTS, "wall_hours": {"at_once": None, "range": [10.0, 100.0]},
          "assumed": ["GPU: A100"], "too_short": [], "paper_says": [SAID]}


def tree(lr=1e-3, code="abc"):
    arm = {"pretrain": {"code": code, "config": {"_fn": "train", "lr": lr}}}
    return {"paper": "toy", "profile": "paper", "numerics": None, "epoch": 1, "seeds": [0],
            "versions": {}, "arms": {"better": arm}}


def test_a_kept_forecast_knows_whether_its_settings_still_stand(toy):
    paper = Paper.load(toy.dir)
    assert forecasts.load(paper) is None
    resolved.dump(tree(), toy.dir / "resolved" / "paper")
    forecasts.write(paper, REPORT, tree())
    assert forecasts.load(paper)["current"] is True
    # Other code takes as long as far as anybody knows; another setting is another run.
    resolved.dump(tree(code="def"), toy.dir / "resolved" / "paper")
    assert forecasts.load(paper)["current"] is True
    resolved.dump(tree(lr=2e-3), toy.dir / "resolved" / "paper")
    assert forecasts.load(paper)["current"] is False


def test_a_broken_forecast_is_named(toy):
    paper = Paper.load(toy.dir)
    forecasts.write(paper, REPORT, tree()).write_text("{")
    with pytest.raises(UserError, match=r"paper\.forecast\.json: not readable as JSON"):
        forecasts.load(paper)


def test_the_same_settings_make_the_same_bytes(toy):
    paper = Paper.load(toy.dir)
    first = forecasts.write(paper, REPORT, tree()).read_bytes()
    assert forecasts.write(paper, json.loads(json.dumps(REPORT)), tree()).read_bytes() == first


def test_ranges_and_the_papers_words_read_as_people_say_them():
    assert forecasts.between([0.0, 0.0]) == "0" and forecasts.between([3.21, 1234.5]) == (
        "3.2 to 1,234")
    assert forecasts.between([0.5, 2.0], forecasts.from_kwh) == "500 Wh to 2 kWh"
    assert forecasts.papers_line(SAID) == (
        "the paper, better: 96 h on 1 V100, 1.4 EFLOPs [Table 1]; ours are 1.05 EFLOPs (0.75 x); "
        "forecast on its device at fp32: 40 to 160 h (the paper's is within); its figures are 26% "
        "of fp32 peak")
