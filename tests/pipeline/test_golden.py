"""Golden trajectories on the toy paper: what is recorded, and which changes are found out."""

import io
import json

import pytest

from repro.errors import UserError
from repro.pipeline import golden
from repro.pipeline.progress import Lines

LOSS = "loss=1 / step"


def follow(suite):
    return golden.follow(suite.paper, "mini", suite.settings(), Lines(io.StringIO()))


def record(*losses, state="s", **facts):
    """Return a record of one trajectory."""
    return {"profile": "mini", "seed": 0, "numerics": "portable", "versions": {"torch": "2.13.0"},
            "cpu": "A", "features": [], "libc": "glibc 2.36", "arithmetic": {"linear": "1"},
            "trajectories": {"bert/pretrain": {"loss": list(losses), "state": state}}} | facts


def test_a_run_is_followed_for_twenty_updates_of_its_true_length(suite):
    suite.resolve(pretrain={"steps": 1000})
    found = follow(suite)
    assert found["seed"] == 0 and found["profile"] == "mini" and found["arithmetic"] is None
    assert set(found["trajectories"]) == {f"{arm}/pretrain" for arm in
                                          ("plain", "twin", "fast", "small")}
    assert found["trajectories"]["plain/pretrain"]["loss"] == [1 / step for step in range(1, 21)]
    assert suite.store.entry(suite.specs("pretrain")[0].key).read("run") is None


def test_a_change_of_the_arithmetic_is_found_at_its_first_update(suite, edit):
    suite.resolve(pretrain={"steps": 30})
    then = follow(suite)
    assert golden.differences(follow(suite), then) == []
    edit(suite.folder / "method.py", LOSS, "loss=1 / step if step < 7 else 2 / step")
    suite.resolve(pretrain={"steps": 30})
    lines = golden.differences(follow(suite), then)
    assert len(lines) == 4
    assert lines[1] == (f"plain/pretrain: update 7: loss {1 / 7!r} -> {2 / 7!r} (+0.14); "
                        "14 of 20 updates differ")


def test_a_run_that_is_over_before_is_followed_to_its_end(suite):
    suite.resolve(pretrain={"steps": 3})
    assert follow(suite)["trajectories"]["plain/pretrain"]["loss"] == [1.0, 1 / 2, 1 / 3]


def test_a_run_that_fails_is_an_error_with_its_reason(suite):
    suite.resolve(pretrain={"fail_at": 1, "fail_seed": 0})
    with pytest.raises(UserError, match="golden: toy/pretrain.*loss is not finite at step 1"):
        follow(suite)


@pytest.mark.parametrize("now, said", [
    (record(1.0, 2.0), []),
    (record(1.0, 2.0000000000000004),
     ["bert/pretrain: update 2: loss 2.0 -> 2.0000000000000004 (+4.4e-16); 1 of 2 updates differ"]),
    (record(1.0), ["bert/pretrain: 2 updates -> 1"]),
    (record(1.0, 2.0, state="t"), ["bert/pretrain: equal losses, but other weights or optimiser "
                                   "state after 2 updates"]),
    (record(1.0, 2.0, seed=3), ["seed: was 0, is 3"]),
    (record(trajectories={}), ["bert/pretrain: no such arm now"]),
])
def test_what_differs_is_said_in_a_line(now, said):
    assert golden.differences(now, record(1.0, 2.0)) == said


def test_an_arm_that_was_not_recorded_is_a_difference():
    now = record(1.0)
    assert golden.differences(now, record(trajectories={})) == ["bert/pretrain: not committed"]


def test_where_the_machine_calculates_otherwise_rounding_is_forgiven_and_no_more():
    then = record(1.0, 2.0)
    elsewhere = {"arithmetic": {"linear": "2"}, "cpu": "B", "state": "t"}
    assert golden.differences(record(1.00005, 2.0, **elsewhere), then) == []
    assert len(golden.differences(record(1.0005, 2.0, **elsewhere), then)) == 1
    assert golden.remarks(record(**elsewhere), then) == [
        "B, no vectors, glibc 2.36 calculates otherwise than A, no vectors, glibc 2.36, where "
        "these were made (linear): losses are compared to 0.0001 only"]


def test_an_operation_that_one_of_the_two_did_not_measure_says_nothing():
    now = record(1.0, arithmetic={"linear": "1", "gelu": "7"})
    assert golden.remarks(now, record(1.0)) == []
    assert len(golden.differences(record(1.0, state="t", arithmetic={"linear": "1"}), now)) == 1


def test_a_new_record_says_how_it_differs_from_the_one_before():
    first = golden.report("toy", record(1.0), None, updated=True)
    assert golden.render(first) == "toy (mini): 1 trajectories, recorded"
    again = golden.report("toy", record(2.0), record(1.0), updated=True)
    assert golden.render(again).splitlines() == [
        "toy (mini): 1 trajectories, recorded; 1 differences from the record before",
        "  bert/pretrain: update 1: loss 1.0 -> 2.0 (+1); 1 of 1 updates differ"]
    compared = golden.report("toy", record(2.0), record(1.0), updated=False)
    assert golden.render(compared).startswith("toy (mini): 1 trajectories, 1 DIFFER\n")


def test_other_libraries_are_named():
    now = record(versions={"torch": "2.14.0"})
    assert golden.remarks(now, record()) == ["torch 2.13.0 -> 2.14.0"]


def test_what_is_written_is_read_to_the_last_digit(suite):
    with pytest.raises(UserError, match="no golden trajectories; run `repro golden toy --update`"):
        golden.load(suite.paper)
    written = record(0.1 + 0.2, 1e-17)
    golden.write(written, suite.paper)
    assert golden.load(suite.paper) == written
    assert json.loads(golden.path_of(suite.paper).read_text()) == written


@pytest.mark.parametrize("old, new, said", [
    ('"seed": 0', '"seed": "0"', "seed: must be an integer"),
    ('"trajectories"', '"trajectory"', "trajectories is missing"),
    ("2.5", '"2.5"', "bert/pretrain: loss: must be numbers only"),
    ("2.5", "2.5,", "golden.json"),
])
def test_a_damaged_record_is_one_line(suite, edit, old, new, said):
    edit(golden.write(record(1.5, 2.5), suite.paper), old, new)
    with pytest.raises(UserError, match=said):
        golden.load(suite.paper)
