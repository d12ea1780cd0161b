"""One task of a job of several, for test_distributed: runs every case, writes what it ended in.

    python world_task.py FOLDER CASE...      with RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT
"""

import hashlib
import os
import pickle
import signal
import sys
from functools import partial
from pathlib import Path
from unittest import mock

import torch
from torch import nn

from repro.context import RunContext
from repro.data.batches import TokenRows
from repro.errors import Interrupted, UserError
from repro.losses.masked_lm import MaskedLM
from repro.nn.encoders import electra
from repro.train import distributed
from repro.train.distributed import ALONE
from repro.train.ema import ExponentialMovingAverage
from repro.train.loop import Plan, fit
from repro.train.optimizers import adamw, named_state
from repro.train.pretraining import pretrain
from repro.train.rendezvous import Tasks
from repro.train.schedules import linear
from repro.train.streams import Streams

STREAMS = Streams(11)
PLAN = Plan(steps=50, accumulation=4, clip_norm=0.5, log_every=1, checkpoint_every=10)


class Network(nn.Module):
    """Two layers with dropout, and one parameter that only some batches use."""

    def __init__(self):
        super().__init__()
        STREAMS.seed_global("init")
        self.first, self.second = nn.Linear(4, 8), nn.Linear(8, 1)
        self.seldom, self.never = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2))
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x_BI):
        return self.second(nn.functional.dropout(self.first(x_BI).tanh(), 0.3))


def network_batch(index):
    x_BI = torch.randn(5, 4, generator=STREAMS.generator("order", index))
    return x_BI, x_BI.sum(dim=1, keepdim=True)


def train(world=ALONE, folder=None, *, plan=PLAN, bad_at=None, stop=None, spoil=False):
    """Return (history, digest of each batch by its index, every tensor left behind).

    bad_at: index of the batch whose loss is NaN. stop: (task, step) where one is told to stop.
    spoil: every task changes a buffer by its rank.
    """
    model = Network()
    optimizer = adamw(model, lr=0.05)
    average = ExponentialMovingAverage(model, 0.9)
    batches, done = {}, [0]

    def loss(data, index):
        batches[index] = hashlib.sha256(b"".join(t.numpy().tobytes() for t in data)).hexdigest()
        error = (model(data[0]) - data[1]).square().mean()
        if index % 4 == 2:
            error = error + 1e-3 * model.seldom.square().sum()
        if index == bad_at:
            error = error * torch.nan
        return {"loss": error, "root": error.detach().sqrt()}

    def after_step(step):
        done[0] = step
        model.seen += world.rank if spoil else step

    history = fit(
        model, network_batch, loss, optimizer, plan, streams=STREAMS, world=world,
        schedule=linear, ema=average, after_step=after_step, checkpoints=folder,
        stop_requested=lambda: stop is not None and stop == (world.rank, done[0]),
    )
    tensors = {**model.state_dict(), **named_state(optimizer, model)}
    tensors |= {f"ema/{name}": tensor for name, tensor in average.averages.items()}
    return history, batches, {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


def pretrained(data, folder, world=None, **settings):
    """Run the pretrain entry; return the files it leaves."""
    out = folder / (f"out.{world.rank}" if world else "out")
    out.mkdir(parents=True, exist_ok=True)
    ctx = RunContext("pretrain", "method", 3, out, folder / "checkpoints",
                     inputs={"data": [data]}, world=world)
    ctx.stop_requested = settings.pop("stop_requested", ctx.stop_requested)
    sizes = {"hidden": 16, "layers": 2, "heads": 2, "intermediate": 32, "embedding": 8}
    pretrain(
        ctx,
        batches=TokenRows(corpus="lm", batch_size=2, sequence_length=16),
        objective=MaskedLM(encoder=partial(electra, max_positions=16, **sizes)),
        optimizer=partial(adamw, lr=0.01),
        schedule=linear,
        ema_decay=0.5,
        **({"steps": 20, "accumulation": 4, "log_every": 1, "checkpoint_every": 6} | settings),
    )
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}


CASES = {
    "straight": lambda world, folder: train(world),
    "bucketed": lambda world, folder: _bucketed(world),
    "checkpointed": lambda world, folder: train(world, folder / "checkpointed"),
    "stopped": lambda world, folder: train(world, folder / "stopped", stop=(world.size - 1, 23)),
    "resumed": lambda world, folder: train(world, folder / "resumed"),
    "not_finite": lambda world, folder: train(world, bad_at=4 * 7 + 3),
    "spoilt": lambda world, folder: train(world, spoil=True),
    "raised": lambda world, folder: _raised(world),
    "raised_first": lambda world, folder: _raised(world, rank=0),
    "killed": lambda world, folder: _killed(world),
    "unshared": lambda world, folder: train(world, plan=Plan(steps=1, accumulation=3)),
    "pretrain": lambda world, folder: pretrained(folder / "data", folder / "pretrain", world),
    "fsdp2": lambda world, folder: pretrained(
        folder / "data", folder / "fsdp2", world, sharding="fsdp2", world_size=world.size),
    "fsdp2_stopped": lambda world, folder: _fsdp2_stopped(world, folder),
    "fsdp2_resumed": lambda world, folder: pretrained(
        folder / "data", folder / "fsdp2_resumed", world, sharding="fsdp2", world_size=world.size),
    "fsdp2_refused": lambda world, folder: pretrained(
        folder / "data", folder / "refused", world, sharding="fsdp2", world_size=world.size + 1),
}


def _bucketed(world):
    with mock.patch.object(distributed, "BUCKET", 9):  # most parameters are larger or do not fit
        return train(world)


def _raised(world, rank=-1):
    if world.rank == rank % world.size:
        raise ZeroDivisionError("of one task")
    return train(world)


def _killed(world):
    if world.rank == world.size - 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return train(world)


def _fsdp2_stopped(world, folder):
    answers = iter([False] * 7 + [True])
    return pretrained(folder / "data", folder / "fsdp2_stopped", world, sharding="fsdp2",
                      world_size=world.size, stop_requested=lambda: next(answers))


def main(folder, names):
    torch.set_num_threads(1)
    tasks = Tasks(os.environ)
    results = {}
    for name in names:
        try:
            with tasks.world(name) as world:
                results[name] = CASES[name](world, folder)
        except (UserError, Interrupted, ZeroDivisionError) as error:
            results[name] = f"{type(error).__name__}: {error}"
    tasks.leave()
    (folder / f"results.{tasks.rank}").write_bytes(pickle.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
