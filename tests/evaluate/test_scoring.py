import json

import numpy as np
import pytest

from repro.context import RunContext
from repro.data.shards import write_json
from repro.errors import UserError
from repro.evaluate import scoring


@pytest.fixture
def member(tmp_path, make_pretrain):
    """Return write(name, logits, values=...) -> a finetune artefact with two tasks."""
    encoder = make_pretrain(tmp_path / "pretrain") / "model"

    def write(name: str, logits: list, values=(1.0, 2.0, 3.0), labels=(0, 1, 1)):
        folder = tmp_path / name
        for part in ("predictions", "labels", "model"):
            (folder / part).mkdir(parents=True)
        np.save(folder / "predictions" / "topic.npy", np.array(logits, dtype=np.float32))
        np.save(folder / "labels" / "topic.npy", np.array(labels))
        np.save(folder / "predictions" / "grade.npy", np.array(values, dtype=np.float32))
        np.save(folder / "labels" / "grade.npy", np.array([1, 2, 4], dtype=np.float32))
        cost = {"flops_per_example": 100.5, "parameters": 10, "mean_length": 8.0}
        topic = {"kind": "classification", "labels": ["a", "b"], "metrics": ["accuracy", "nll"],
                 "primary": "accuracy", **cost}
        grade = {"kind": "regression", "labels": [], "metrics": ["mse"], "primary": "mse", **cost}
        write_json(folder / "tasks.json", {"topic": topic, "grade": grade})
        write_json(folder / "summary.json", {"pretraining_flops": 7000})
        (folder / "model" / "config.json").write_bytes((encoder / "config.json").read_bytes())
        return folder

    return write


@pytest.fixture
def run(tmp_path):
    def score(*members, **settings) -> RunContext:
        ctx = RunContext("eval", "bert", 1, tmp_path / "out", tmp_path / "kept",
                         inputs={"finetune": list(members)})
        scoring.score(ctx, **settings)
        return ctx

    return score


def rows_of(ctx) -> list[dict]:
    return [json.loads(line) for line in (ctx.out / "rows.jsonl").open()]


def value(ctx, task: str, metric: str) -> float:
    (found,) = [r["value"] for r in rows_of(ctx) if (r["task"], r["metric"]) == (task, metric)]
    return found


def test_rows_are_exact_and_sorted(member, run):
    third = float(np.log(3))
    ctx = run(member("m0", [[third, 0.0], [third, 0.0], [0.0, third]]))
    text = (ctx.out / "rows.jsonl").read_text().splitlines()
    assert text[0] == '{"task": "grade", "metric": "flops_per_example", "value": 100.5}'
    names = [(row["task"], row["metric"]) for row in rows_of(ctx)]
    assert names == sorted(names)
    assert [metric for task, metric in names if task == "topic"] == [
        "accuracy", "flops_per_example", "nll", "parameters", "training_flops"
    ]
    assert value(ctx, "topic", "accuracy") == 2 / 3
    expected = -(2 * np.log(0.75) + np.log(0.25)) / 3
    assert value(ctx, "topic", "nll") == pytest.approx(expected, rel=1e-6)
    assert value(ctx, "grade", "mse") == pytest.approx(1 / 3)


def test_a_committee_votes_softly_and_pays_for_all_its_members(member, run):
    sure = member("m0", [[5.0, 0.0], [0.0, 5.0], [0.0, 5.0]], values=(1.0, 2.0, 3.0))
    doubting = [
        member(name, [[0.0, 0.2], [0.2, 0.0], [0.2, 0.0]], values=(1.0, 2.0, 5.0))
        for name in ("m1", "m2")
    ]
    ctx = run(sure, *doubting)
    assert value(ctx, "topic", "accuracy") == 1.0  # two of three members say otherwise
    assert value(ctx, "topic", "flops_per_example") == 301.5
    assert value(ctx, "topic", "parameters") == 30
    assert value(ctx, "topic", "training_flops") == 21000
    assert value(ctx, "grade", "mse") == pytest.approx((13 / 3 - 4) ** 2 / 3)


def test_a_smaller_committee_is_the_first_members_in_order(member, run):
    right = member("m0", [[5.0, 0.0], [0.0, 5.0], [0.0, 5.0]])
    wrong = member("m1", [[0.0, 9.0], [9.0, 0.0], [9.0, 0.0]])
    assert value(run(right, wrong, committee=1), "topic", "accuracy") == 1.0
    assert value(run(wrong, right, committee=1), "topic", "accuracy") == 0.0
    assert value(run(right, wrong), "topic", "accuracy") == 0.0


def test_members_that_disagree_or_are_missing_are_refused(member, run, tmp_path):
    logits = [[1.0, 0.0]] * 3
    one, other = member("m0", logits), member("m1", logits, labels=(1, 1, 0))
    with pytest.raises(UserError, match="'topic': member 1 was tested on other labels"):
        run(one, other)
    with pytest.raises(UserError, match="committee = 3: expected 1..2"):
        run(one, other, committee=3)
    with pytest.raises(UserError, match="tasks.json: missing or unreadable"):
        run(one, tmp_path / "nowhere")
    with pytest.raises(UserError, match="no finetune artefact"):
        run()
    (one / "predictions" / "topic.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(UserError, match="topic.npy: missing or unreadable"):
        run(one)


def test_members_with_other_tasks_or_metrics_are_refused(member, run):
    one, two, three = (member(f"m{i}", [[1.0, 0.0]] * 3) for i in range(3))
    tasks = json.loads((two / "tasks.json").read_text())
    write_json(two / "tasks.json", {"topic": tasks["topic"]})
    with pytest.raises(UserError, match="member 1 has other tasks"):
        run(one, two)
    tasks["topic"]["metrics"] = ["accuracy"]
    write_json(three / "tasks.json", tasks)
    with pytest.raises(UserError, match="'topic': member 1 describes it unlike member 0"):
        run(one, three)


def test_latency_is_measured_and_never_a_row(member, run):
    logits = [[1.0, 0.0]] * 3
    one, two = member("m0", logits), member("m1", logits)
    quiet = run(one, two)
    assert quiet.measurements == {}
    before = (quiet.out / "rows.jsonl").read_bytes()
    ctx = run(one, two, latency_repeats=3)
    assert (ctx.out / "rows.jsonl").read_bytes() == before
    assert ctx.measurements["latency_tokens"] == 8
    assert 0 < ctx.measurements["latency_ms_member"] < ctx.measurements["latency_ms_sequential"]
