"""The loop on a two-layer network with dropout, whose data are functions of the batch's index."""

import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from repro.errors import Interrupted, UserError
from repro.train.ema import ExponentialMovingAverage
from repro.train.loop import Plan, clip, clip_groups, fit
from repro.train.optimizers import adamw, named_state
from repro.train.schedules import linear
from repro.train.streams import Streams

STREAMS = Streams(11)
PLAN = Plan(steps=9, log_every=4, checkpoint_every=2, clip_norm=0.5, accumulation=2)


class Killed(BaseException):
    """Stands for SIGKILL: nothing gets to run after it."""


def network(dropout=0.3):
    STREAMS.seed_global("init")
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 1))
    model.register_buffer("seen", torch.zeros(()))
    return model


def batch(index, rows=3):
    x = torch.rand(rows, 4, generator=STREAMS.generator("order", index))
    return x, x.sum(dim=1, keepdim=True)


def train(folder=None, plan=PLAN, *, kill_at=None, stop_at=None, ema=True):
    """Return every tensor and number that training leaves behind."""
    model = network()
    optimizer = adamw(model, lr=0.05)
    average = ExponentialMovingAverage(model, 0.9) if ema else None
    done = []

    def loss(data, index):
        if kill_at is not None and index == kill_at:
            raise Killed
        x, y = data
        error = (model(x) - y).square().mean()
        return {"loss": error, "error": error.detach().sqrt()}

    def after_step(step):
        done.append(step)
        model.seen += step

    history = fit(
        model,
        batch,
        loss,
        optimizer,
        plan,
        streams=STREAMS,
        schedule=linear,
        ema=average,
        after_step=after_step,
        checkpoints=folder,
        stop_requested=lambda: bool(done) and done[-1] == stop_at,
    )
    tensors = {**model.state_dict(), **named_state(optimizer, model)}
    if average is not None:
        tensors |= {f"ema/{name}": tensor for name, tensor in average.averages.items()}
    return history, {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


@pytest.mark.parametrize("index", range(1, 18))
def test_killed_at_any_batch_and_resumed_ends_in_the_same_bytes(tmp_path, index):
    expected = train()
    with pytest.raises(Killed):
        train(tmp_path, kill_at=index)
    assert train(tmp_path) == expected


def test_stopped_on_request_again_and_again_ends_in_the_same_bytes(tmp_path):
    expected = train(tmp_path / "straight")
    for step in (1, 3, 4, 8):
        with pytest.raises(Interrupted, match=f"after step {step} of 9"):
            train(tmp_path / "stopped", stop_at=step)
    assert train(tmp_path / "stopped") == expected


def test_a_finished_run_started_again_computes_nothing(tmp_path):
    expected = train(tmp_path)
    assert train(tmp_path, kill_at=0) == expected


def test_a_truncated_newest_checkpoint_costs_steps_and_no_bytes(tmp_path):
    expected = train()
    with pytest.raises(Interrupted):
        train(tmp_path, stop_at=5)
    os.truncate(tmp_path / "step-000000005" / "tensors.safetensors", 100)
    assert train(tmp_path) == expected


SCRIPT = """
import json, os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_loop
if sys.argv[3] != "-1":
    inner, calls = test_loop.batch, []
    def batch(index):
        if index == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
        return inner(index)
    test_loop.batch = batch
history, tensors = test_loop.train(Path(sys.argv[2]))
print(json.dumps([history, {name: value.hex() for name, value in tensors.items()}]))
"""


def test_a_process_killed_by_the_system_and_started_again_ends_in_the_same_bytes(tmp_path):
    def start(kill_at):
        command = [sys.executable, "-c", SCRIPT, os.path.dirname(__file__), tmp_path, kill_at]
        return subprocess.run([str(part) for part in command], capture_output=True, text=True)

    assert start(11).returncode == -signal.SIGKILL
    history, tensors = train()
    assert json.loads(start(-1).stdout) == [history, {n: v.hex() for n, v in tensors.items()}]


def test_history_holds_means_between_its_entries():
    losses = []
    model = nn.Linear(1, 1)

    def loss(_, index):
        losses.append(float(index))
        return {"loss": model.weight.sum() * 0 + index}

    plan = Plan(steps=5, log_every=2)
    history = fit(model, batch, loss, adamw(model, lr=0.1), plan, streams=STREAMS)
    assert [(entry["step"], entry["loss"]) for entry in history] == [(2, 0.5), (4, 2.5), (5, 4.0)]
    assert losses == [0, 1, 2, 3, 4] and history[0]["lr_factor"] == 1.0


def test_accumulated_batches_give_the_gradient_of_one_large_batch():
    def run(accumulation):
        model = network(dropout=0.0)

        def rows(index):
            per = 12 // accumulation
            x, y = batch(0, rows=12)
            part = slice(index % accumulation * per, (index % accumulation + 1) * per)
            return x[part], y[part]

        def loss(data, _):
            return {"loss": (model(data[0]) - data[1]).square().mean()}

        plan = Plan(steps=3, accumulation=accumulation)
        optimizer = torch.optim.SGD([{"params": model.parameters(), "initial_lr": 0.1}], lr=0.1)
        return fit(model, rows, loss, optimizer, plan, streams=STREAMS), model

    (history, whole), (split_history, split) = run(1), run(4)
    assert split_history[-1]["loss"] == pytest.approx(history[-1]["loss"], rel=1e-5)
    for left, right in zip(whole.parameters(), split.parameters(), strict=True):
        torch.testing.assert_close(left, right)


def with_gradients(**values):
    model = nn.ModuleDict({name: nn.Linear(2, 1, bias=False) for name in values})
    for name, value in values.items():
        model[name].weight.grad = torch.tensor([[value, 0.0]])
    return model


def test_one_group_clips_the_global_norm():
    model = with_gradients(generator=3.0, encoder=4.0)
    norm = clip(clip_groups(model, ()), 1.0)
    assert norm.item() == pytest.approx(5.0)
    assert model["generator"].weight.grad[0, 0].item() == pytest.approx(0.6, rel=1e-5)


def test_named_groups_are_clipped_on_their_own():
    model = with_gradients(generator=3.0, encoder=0.5)
    norm = clip(clip_groups(model, ("generator.",)), 1.0)
    assert norm.item() == pytest.approx(math.hypot(3.0, 0.5))
    assert model["generator"].weight.grad[0, 0].item() == pytest.approx(1.0, rel=1e-5)
    assert model["encoder"].weight.grad[0, 0].item() == 0.5
    with pytest.raises(UserError, match="clip_groups: no parameter starts with 'generater'"):
        clip_groups(model, ("generater",))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_naming_step_and_parts(tmp_path, bad):
    model = network()

    def loss(data, index):
        value = model(data[0]).mean()
        return {"loss": value * bad if index == 5 else value, "part": torch.tensor(2.5)}

    plan = Plan(steps=9, log_every=4, checkpoint_every=1)
    with pytest.raises(UserError, match=r"step 6: .* not finite \(loss = (nan|-?inf), part = 2.5"):
        fit(model, batch, loss, adamw(model, lr=0.1), plan, streams=STREAMS, checkpoints=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir())[-1] == "step-000000005"


def test_an_infinite_gradient_stops_before_it_is_saved(tmp_path):
    model = nn.Linear(1, 1, bias=False)

    def loss(_, index):
        return {"loss": (model.weight * 0).sqrt().sum()}  # derivative of the root at zero

    plan = Plan(steps=3, clip_norm=1.0, checkpoint_every=1)
    with pytest.raises(UserError, match="step 1: .*grad_norm = nan"):
        fit(model, batch, loss, adamw(model, lr=0.1), plan, streams=STREAMS, checkpoints=tmp_path)
    assert not list(tmp_path.iterdir())


def test_bf16_computes_in_bfloat16_and_keeps_fp32_parameters():
    model, kinds = network(), []

    def loss(data, _):
        out = model(data[0])
        kinds.append(out.dtype)
        return {"loss": out.float().square().mean()}

    fit(model, batch, loss, adamw(model, lr=0.1), Plan(steps=1, precision="bf16"), streams=STREAMS)
    assert kinds == [torch.bfloat16]
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_checkpoints_of_another_length_or_model_are_refused(tmp_path):
    train(tmp_path)
    with pytest.raises(UserError, match="of a run of 9 steps, this one has 12"):
        train(tmp_path, replace(PLAN, steps=12))
    model = nn.Linear(1, 1)
    with pytest.raises(UserError, match="checkpoint of another model"):
        fit(model, batch, batch, adamw(model, lr=1.0), PLAN, streams=STREAMS, checkpoints=tmp_path)


@pytest.mark.parametrize(
    "settings",
    [{"steps": 0}, {"accumulation": 0}, {"clip_norm": 0.0}, {"precision": "fp8"}, {"log_every": 0}],
)
def test_settings_out_of_range_are_errors(settings):
    with pytest.raises(UserError, match=next(iter(settings))):
        replace(PLAN, **settings)


def test_progress_reports_every_step_with_its_tokens():
    seen = []
    model = nn.Linear(4, 1)
    fit(
        model,
        batch,
        lambda data, _: {"loss": model(data[0]).mean()},
        adamw(model, lr=0.1),
        Plan(steps=2, tokens_per_step=30, phase="pretrain"),
        streams=STREAMS,
        report=lambda **values: seen.append(values),
    )
    assert [(v["step"], v["total"], v["tokens"]) for v in seen] == [(1, 2, 30), (2, 2, 60)]
    assert all(math.isfinite(v["loss"]) and v["phase"] == "pretrain" for v in seen)
