"""A loop as people write it by hand: a model of transformers, batches, AdamW, clipping."""

import torch

from loops import collating, models
from loops.setting import PAD, SETTING, Clock


def run(task: str, steps: int, threads: int) -> Clock:
    """Train for some updates; return the clock."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model, clock, size = models.build(task).train(), Clock(), SETTING["batch_size"]
    examples, collate = collating.examples(task, steps * size), collating.collator(task)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    order = torch.randperm(len(examples)).tolist()
    for step in range(steps):
        batch = collate([examples[i] for i in order[step * size : (step + 1) * size]])
        model(**batch)["loss"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        clock.tick(int((batch["input_ids"] != PAD).sum()))
    return clock
