"""transformers' Trainer with its own collators and models."""

import tempfile

import torch
from transformers import Trainer, TrainerCallback, TrainingArguments

from loops import collating, models
from loops.setting import PAD, SETTING, Clock


def run(task: str, steps: int, threads: int) -> Clock:
    """Train for some updates; return the clock."""
    torch.set_num_threads(threads)
    clock, seen = Clock(), []
    collate = collating.collator(task)

    def counted(features):
        batch = collate(features)
        seen.append(int((batch["input_ids"] != PAD).sum()))
        return batch

    class Ticking(TrainerCallback):
        def on_step_end(self, *_, **__) -> None:
            clock.tick(seen[len(clock.entries)])

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=steps,
            learning_rate=1e-3,
            optim="adamw_torch_fused",
            per_device_train_batch_size=SETTING["batch_size"],
            max_grad_norm=1.0,
            lr_scheduler_type="linear",
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
            seed=0,
        )
        Trainer(
            model=models.build(task),
            args=arguments,
            train_dataset=collating.examples(task, steps * SETTING["batch_size"]),
            data_collator=counted,
            callbacks=[Ticking()],
        ).train()
    return clock
