"""transformers' Trainer with collators and models of transformers."""

import tempfile

import torch
from transformers import Trainer, TrainerCallback, TrainingArguments

from loops import collating, models
from loops.setting import RAGGED, SETTING, Clock, How


def run(task: str, steps: int, size: int, how: How) -> Clock:
    """Train for some updates; return the clock."""
    torch.set_num_threads(how.threads)
    clock, seen = Clock(steps, how.device), []
    collate = collating.collator(task)

    def counted(features):
        batch = collate(features)
        seen.append(collating.units(task, batch))
        return batch

    class Ticking(TrainerCallback):
        def on_step_end(self, *_, **__) -> None:
            clock.tick(seen[len(clock.entries)])

    sort = how.grouped and task in RAGGED
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=steps,
            learning_rate=SETTING["lr"],
            optim="adamw_torch_fused",
            per_device_train_batch_size=size,
            train_sampling_strategy="group_by_length" if sort else "random",
            max_grad_norm=1.0,
            lr_scheduler_type="linear",
            bf16=how.precision == "bf16",
            torch_compile=how.compiled,
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            remove_unused_columns=False,
            use_cpu=how.device == "cpu",
            seed=0,
        )
        Trainer(
            model=models.build(task),
            args=arguments,
            train_dataset=collating.examples(task, steps * size),
            data_collator=counted,
            processing_class=collating.processor(task),
            callbacks=[Ticking()],
        ).train()
    return clock
