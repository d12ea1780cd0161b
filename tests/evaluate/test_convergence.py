"""How soon a loss was reached, from a history."""

import json

import pytest

from repro.context import RunContext
from repro.errors import UserError
from repro.evaluate.convergence import crossing, tokens_to_target


def context(folder, losses, every=10, tokens=100):
    steps = every * len(losses)
    rows = [{"step": every * (i + 1), "loss": loss} for i, loss in enumerate(losses)]
    (folder / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "summary.json").write_text(json.dumps({"steps": steps, "tokens": steps * tokens}))
    return RunContext(stage="eval", arm="arm", seed=0, out=folder, checkpoints=folder,
                      inputs={"pretrain": [folder]})


@pytest.mark.parametrize(("target", "place"), [
    (5.0, 1.0), (4.0, 1.0), (3.0, 2.0), (3.5, 1.5), (2.5, 3.5), (1.0, None)])
def test_the_first_crossing_by_hand(target, place):
    assert crossing([1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 3.5, 1.5], target) == place


def test_tokens_are_counted_to_the_middle_between_two_entries(tmp_path):
    # Means over updates 0-10, 10-20, 20-30 stand at 5, 15 and 25; 3.5 lies half way to the second.
    found = tokens_to_target(context(tmp_path, [4.0, 3.0, 2.0]), target=3.5)
    assert found == {"tokens_to_target": 10 * 100}


def test_a_run_that_never_gets_there_counts_with_all_its_tokens(tmp_path):
    assert tokens_to_target(context(tmp_path, [4.0, 3.0]), target=1.0) == {
        "tokens_to_target": 2000}


def test_a_run_without_updates_and_a_target_of_no_nats_are_errors(tmp_path):
    with pytest.raises(UserError, match="no update was made"):
        tokens_to_target(context(tmp_path, []), target=1.0)
    with pytest.raises(UserError, match="target = 0"):
        tokens_to_target(context(tmp_path, [1.0]), target=0)
    ctx = context(tmp_path, [1.0])
    (tmp_path / "history.jsonl").unlink()
    with pytest.raises(UserError, match="no readable history"):
        tokens_to_target(ctx, target=1.0)
