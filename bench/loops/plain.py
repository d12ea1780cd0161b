"""A loop as people write it by hand: a model of transformers, batches, AdamW, clipping."""

import contextlib
from typing import Any

import torch

from loops import collating, models
from loops.setting import RAGGED, SETTING, Clock, How

POOL = 8  # batches whose rows are sorted by length together


def run(task: str, steps: int, size: int, how: How) -> Clock:
    """Train for some updates; return the clock."""
    torch.set_num_threads(how.threads)
    torch.manual_seed(0)
    model = models.build(task).train().to(how.device)
    trained = torch.compile(model) if how.compiled else model
    clock, collate = Clock(steps, how.device), collating.collator(task)
    examples = collating.examples(task, steps * size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=SETTING["lr"], fused=True)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    context = (torch.autocast(how.device, torch.bfloat16) if how.precision == "bf16"
               else contextlib.nullcontext())
    for chosen in ordered(examples, size, sort=how.grouped and task in RAGGED):
        batch = collate([examples[i] for i in chosen])
        units = collating.units(task, batch)
        with context:
            loss = trained(**moved(batch, how.device))["loss"]
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        clock.tick(units)
    return clock


def moved(batch: dict[str, Any], device: str) -> dict[str, Any]:
    """Return the batch on a device."""
    return {name: value.to(device, non_blocking=True) if torch.is_tensor(value) else value
            for name, value in batch.items()}


def ordered(examples: list[dict[str, Any]], size: int, sort: bool) -> list[list[int]]:
    """Return the examples of each batch, in random order; sort: of like lengths."""
    order = torch.randperm(len(examples)).tolist()
    batches = []
    for start in range(0, len(order), POOL * size):
        pool = order[start : start + POOL * size]
        if sort:
            pool.sort(key=lambda index: collating.length(examples[index]))
        batches += [pool[i : i + size] for i in range(0, len(pool), size)]
    return [batches[i] for i in torch.randperm(len(batches)).tolist()]
