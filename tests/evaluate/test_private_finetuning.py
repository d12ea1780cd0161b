"""Private fine-tuning from artefact to rows, on a toy task."""

import json
from functools import partial

import numpy as np
import pytest

from repro.data.documents import Example, TaskData
from repro.errors import Interrupted, UserError
from repro.privacy import accountants, finetuning, scoring
from repro.train import optimizers, schedules

SETTINGS = {
    "optimizer": partial(optimizers.adamw, lr=5e-3, weight_decay=0.0),
    "schedule": schedules.constant, "epochs": 4, "batch_size": 20, "epsilon": 8.0,
    "task_length": 12, "log_every": 4, "checkpoint_every": 3,
}
PRIVATE = {"clip_norm": 1.0, "trained": "linear", "accountant": accountants.gdp}


def separable(train: int = 100) -> TaskData:
    """The label is told by the first word."""
    rng = np.random.default_rng(0)

    def draw(total: int) -> list[Example]:
        labels = np.arange(total) % 2
        return [Example(label=int(label), words=(f"w{label}", *(f"w{i}" for i in
                        rng.integers(5, 50, 6)))) for label in labels]

    return TaskData("classification", ("no", "yes"), ("accuracy", "macro_f1"),
                    train=draw(train), dev=draw(40), test=draw(80))


@pytest.fixture
def artefacts(tmp_path, make_data, make_pretrain):
    return make_data(tmp_path / "data", []), make_pretrain(tmp_path / "pretrain")


@pytest.fixture
def tune(artefacts, make_context):
    def run(name: str, **settings):
        stop = settings.pop("stop_requested", None)
        ctx = make_context(*artefacts, name=name, **({"stop_requested": stop} if stop else {}))
        finetuning.finetune(ctx, tasks={"easy": separable}, **(SETTINGS | settings))
        return ctx

    return run


def predictions(ctx) -> np.ndarray:
    return np.load(ctx.out / "predictions" / "easy.npy")


def rows(ctx, make_context, artefacts, name: str, **settings) -> dict:
    scored = make_context(*artefacts, name=name, inputs={"finetune": [ctx.out]})
    scoring.score(scored, **settings)
    lines = (scored.out / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    return {(row["task"], row["metric"]): row["value"] for row in map(json.loads, lines)}


def test_a_private_run_from_data_to_rows(tune, make_context, artefacts) -> None:
    ctx = tune("one", **PRIVATE, rank=2, head_scale=0.1)
    note = json.loads((ctx.out / "privacy.json").read_text(encoding="utf-8"))["easy"]
    assert (note["steps"], note["rate"], note["delta"]) == (20, 0.2, 0.01)
    assert accountants.gdp(note["noise"], 0.2, 20, 0.01) <= 8.0
    assert len(np.load(ctx.out / "losses" / "easy.members.npy")) == 100
    regime = accountants.Regime(examples=1000, batch_size=100, epochs=2, epsilon=2.0)
    found = rows(ctx, make_context, artefacts, "eval", accountant=accountants.gdp,
                 reference=accountants.rdp, regimes={"other": regime})
    assert found["easy", "noise_multiplier"] == note["noise"]
    assert found["easy", "epsilon"] > 8.0  # Renyi says more than the limit theorem
    assert -1 <= found["easy", "attack_advantage"] <= 1 and ("easy", "accuracy") in found
    assert found["other", "noise_multiplier"] == pytest.approx(regime.noise(accountants.gdp))


def test_a_killed_private_run_ends_in_the_same_bytes(tune) -> None:
    whole = tune("whole", **PRIVATE, rank=2)
    calls = iter(range(100))
    with pytest.raises(Interrupted):
        tune("cut", **PRIVATE, rank=2, stop_requested=lambda: next(calls) == 6)
    again = tune("cut", **PRIVATE, rank=2)
    for name in ("predictions/easy.npy", "losses/easy.members.npy", "training.jsonl",
                 "privacy.json", "tasks.json"):
        assert (whole.out / name).read_bytes() == (again.out / name).read_bytes(), name


def test_without_privacy_the_task_is_learnt_and_noise_hurts(tune, make_context, artefacts) -> None:
    plain = tune("plain", epochs=8)
    clear = rows(plain, make_context, artefacts, "clear")
    assert clear["easy", "accuracy"] > 0.9 and ("easy", "noise_multiplier") not in clear
    noisy = tune("noisy", **(PRIVATE | {"epsilon": 0.05}))
    hidden = rows(noisy, make_context, artefacts, "hidden", reference=accountants.rdp)
    losses = [np.load(ctx.out / "losses" / "easy.members.npy").mean() for ctx in (plain, noisy)]
    assert losses[1] > 10 * losses[0] and hidden["easy", "noise_multiplier"] > 10


def test_accountants_that_give_the_same_noise_give_the_same_bytes(tune) -> None:
    # Only sigma tells the arms apart: sampling, noise draws and carriers are shared.
    one = tune("gdp", **PRIVATE, rank=2)
    other = tune("same", **(PRIVATE | {"accountant": lambda *a: accountants.gdp(*a)}), rank=2)
    assert np.array_equal(predictions(one), predictions(other))


def test_what_private_training_changes(tune) -> None:
    ctx = tune("linear", **PRIVATE)
    note = json.loads((ctx.out / "privacy.json").read_text(encoding="utf-8"))["easy"]
    # Two layers: four maps of 32 x 32, two of 32 x 64, no biases; and the head, 2 x 32 + 2.
    assert note["trained_parameters"] == 2 * (4 * 32 * 32 + 2 * 32 * 64) + 66


def test_settings_that_break_the_guarantee_are_refused(tune) -> None:
    for wrong, match in (
        ({"accountant": accountants.gdp}, "clip_norm = None"),
        ({"clip_norm": 1.0, "trained": "all"}, "trained = 'all'"),
        ({"rank": 2}, "rank = 2"),
        (PRIVATE | {"delta": 0.5}, "delta = 0.5"),
        (PRIVATE | {"batch_size": 101}, "batch_size = 101"),
    ):
        with pytest.raises(UserError, match=match):
            tune("wrong", **wrong)
