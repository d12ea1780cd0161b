"""How long one run will take, from the best that is known of it."""

from types import SimpleNamespace

import pytest

from repro import devices
from repro.forecast import rates
from repro.forecast.observed import RECORDED, STORE, Observation, same_device
from repro.forecast.ranges import Range, total
from repro.forecast.rates import Assumptions, Calibration
from repro.forecast.work import Work, shape_of
from repro.schema import Resources

HOUR = 3600.0


def work(stage="pretrain", flops=1e12, tokens=1e6, on="cpu", precision="fp32", idle=False,
         shape="this", key="k", upstream=(), **need):
    spec = SimpleNamespace(key=key, stage=stage, arm="plain", paper="toy", profile="mini",
                           upstream=upstream, resources=Resources(**{"minutes": 10, **need}))
    return Work(spec, flops, tokens, idle, precision, on, "settings", shape)


def seen(seconds, stage="pretrain", shape="this", tokens=1e6, flops=1e12, device="here",
         profile="mini", source=STORE):
    return Observation("toy", profile, stage, "settings", shape, device, seconds, tokens, flops,
                       source)


def given(**changes):
    return Assumptions(**{"cpu": "here", "gpu": devices.find("V100"), **changes})


def test_sums_of_ranges_keep_both_sides():
    assert total([Range(1, 2), Range(10, 30)]) == Range(11, 32)
    assert Range(1, 2) * 3 == Range(3, 6) and Range.of([5, 1, 3]) == Range(1, 5)
    assert 2 in Range(1, 3) and 4 not in Range(1, 3)


def test_electra_small_at_the_utilisation_its_paper_reached_takes_the_papers_four_days():
    one = work(flops=1.4e18, on="cuda", gpus=1)
    share = 1.4e18 / (96 * HOUR * 15.7e12)
    found, known = rates.seconds(one, [], given(utilisation=Range(share, share)))
    assert found.low == pytest.approx(96 * HOUR) == found.high
    assert share == pytest.approx(0.258, abs=0.001)
    assert "15.7 TFLOP/s [V100 fp32, NVIDIA V100 data sheet" in known and "26%" in known


def test_without_any_run_the_range_is_that_of_the_utilisation():
    one = work(flops=1.25e18, on="cuda", precision="fp16", gpus=2)
    found, _ = rates.seconds(one, [], given())
    assert found.low == pytest.approx(1.25e18 / (125e12 * 0.56) / 2)
    assert found.high == pytest.approx(1.25e18 / (125e12 * 0.03) / 2)


def test_a_peak_that_is_named_wins_over_the_data_sheet_and_serves_processors_too():
    found, known = rates.seconds(work(cpus=2), [], given(peak=1e11, utilisation=Range(0.5, 0.5)))
    assert found == Range(10.0, 10.0) and "named by you" in known


def test_runs_of_the_same_shape_give_their_tokens_a_second():
    runs = [seen(10.0, tokens=1e5), seen(30.0, tokens=2e5), seen(1.0, device="elsewhere")]
    found, known = rates.seconds(work(tokens=1e6), runs, given())
    assert found == Range(100.0, 150.0)
    assert known == "tokens/s, same shape (2 runs in the store)"


def test_a_single_run_is_given_a_margin():
    found, _ = rates.seconds(work(), [seen(100.0, source=RECORDED)], given())
    assert (found.low, found.high) == (pytest.approx(80), pytest.approx(120))


def test_other_shapes_give_their_operations_a_second_if_they_were_long_enough():
    runs = [seen(20.0, shape="wide", flops=2e12), seen(60.0, shape="deep", flops=3e12),
            seen(2.0, shape="tiny", flops=1e9)]
    found, known = rates.seconds(work(flops=1e13), runs, given())
    assert (found.low, found.high) == (pytest.approx(100), pytest.approx(200))
    assert known.startswith("FLOP/s, other shapes on this device (2 runs")


def test_what_is_nearer_is_used_first():
    runs = [seen(100.0), seen(500.0, shape="wide")]
    now = given(calibrations={"this": Calibration(Range(1e-6, 2e-6), 3.0)})
    assert rates.seconds(work(), runs, now)[0] == Range(4.0, 5.0)
    assert rates.seconds(work(shape="other"), runs, now)[0].high == pytest.approx(500)
    assert rates.seconds(work(on="cuda"), runs, now)[1].startswith("calibration")


def test_what_trains_nothing_takes_what_such_runs_took_on_that_data():
    one = work(stage="eval", flops=0, tokens=0, shape="")
    runs = [seen(2.0, "eval", "", 0, 0), seen(4.0, "eval", "", 0, 0),
            seen(900.0, "eval", "", 0, 0, profile="paper"), seen(70.0, "data", "", 0, 0)]
    assert rates.seconds(one, runs, given())[0] == Range(2.0, 4.0)


def test_what_nobody_knows_is_bounded_by_the_request_and_says_so():
    found, known = rates.seconds(work(stage="finetune", flops=0, tokens=0, shape=""), [], given())
    assert found == Range(0.0, 600.0) and "upper bound" in known


def test_an_arm_without_training_takes_no_training_time():
    assert rates.seconds(work(flops=0, tokens=0, idle=True, shape=""), [], given())[0].high <= 60


def test_tasks_share_the_work_and_lose_at_most_half():
    found, _ = rates.seconds(work(tasks=4), [seen(100.0), seen(100.0)], given())
    assert found == Range(25.0, 50.0)


def test_devices_are_the_same_by_any_of_their_names():
    assert same_device("NVIDIA A100-SXM4-80GB", "A100") and same_device("AMD EPYC", "AMD EPYC")
    assert not same_device("A100", "V100") and not same_device("AMD EPYC", "Intel Xeon")


CONFIG = {"batches": {"_fn": "rows", "corpus": "a", "batch_size": 8}, "precision": "fp32",
          "objective": {"_fn": "mlm", "hidden": 64}, "optimizer": {"_ref": "adamw", "lr": 1e-3},
          "steps": 10, "schedule": {"_ref": "linear"}}


@pytest.mark.parametrize(("change", "same"), [
    ({"steps": 20}, True), ({"schedule": {"_ref": "cosine"}}, True),
    ({"batches": {"_fn": "rows", "corpus": "b", "batch_size": 8}}, True),
    ({"optimizer": {"_ref": "adamw", "lr": 1.0}}, True),
    ({"batches": {"_fn": "rows", "corpus": "a", "batch_size": 16}}, False),
    ({"objective": {"_fn": "mlm", "hidden": 128}}, False), ({"precision": "bf16"}, False),
    ({"optimizer": {"_ref": "lamb", "lr": 1e-3}}, False)])
def test_a_shape_is_what_decides_how_long_a_token_takes(change, same):
    one, two = (shape_of("train", config, 6e6, 10) for config in (CONFIG, CONFIG | change))
    assert (one == two) is same


def test_another_vocabulary_is_another_shape_and_no_training_has_none():
    assert shape_of("train", CONFIG, 6e6, 10) != shape_of("train", CONFIG, 7e6, 10)
    assert shape_of("train", CONFIG, 0, 0) == ""
