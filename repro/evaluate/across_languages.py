"""A classifier that is trained in one language and tested in others.

N examples, B rows, S positions.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from repro.context import RunContext
from repro.data.seq2seq import closed, padded
from repro.data.shards import Split, TaskArrays, open_task
from repro.errors import UserError
from repro.evaluate import seq2seq
from repro.text.languages import tag_ids
from repro.train import determinism
from repro.train.loop import Plan, fit
from repro.train.streams import Streams

CHECKPOINTS = "classifier"


def classification(
    ctx: RunContext,
    *,
    task: str,
    trained_in: str,
    tested_in: tuple[str, ...],
    optimizer: Callable[..., torch.optim.Optimizer],
    schedule: Callable[..., float],
    steps: int,
    batch_size: int,
    dropout: float = 0.1,
    clip_norm: float | None = 1.0,
    test_examples: int | None = None,
    device: Literal["cpu", "cuda"] = "cpu",
) -> dict[str, float]:
    """Return accuracy, the mean over the languages of tested_in; all weights are tuned.

    transformers' own head for this model: two layers on the decoder's state at the sentence's end,
    encoder and decoder reading the same row. task: its data are the tasks `<task>.<language>`.
    Raises UserError for a missing model or task, or a loss that is not finite.
    """
    data = {language: open_task(ctx.input("data"), f"{task}.{language}")
            for language in {trained_in, *tested_in}}
    streams = Streams(ctx.seed, ctx.member).fork(f"classify.{task}")
    model = _load(ctx, len(data[trained_in].info["labels"]), dropout, streams)
    model.to(determinism.device(device))
    ids = tag_ids(ctx.input("data"), tuple(sorted(data)))
    training = _rows(data[trained_in], data[trained_in].train, ids[trained_in])
    _train(ctx, model, training, data[trained_in], optimizer, schedule, streams,
           Plan(steps=steps, clip_norm=clip_norm, phase=task), batch_size)
    found = []
    for language in tested_in:
        one = data[language]
        rows = _rows(one, one.test, ids[language])[:test_examples]
        guesses = _predict(model, rows, one, batch_size)
        found.append(float((guesses == one.test.labels[: len(rows)]).mean()))
        ctx.count(tokens=sum(map(len, rows)))
    return {"accuracy": sum(found) / len(found)}


def _load(ctx: RunContext, classes: int, dropout: float, streams: Streams) -> PreTrainedModel:
    """Return the measured model with a fresh head drawn from the stream init.head."""
    folder = seq2seq.model_folder(ctx)
    streams.seed_global("init.head")
    try:
        return AutoModelForSequenceClassification.from_pretrained(
            folder, local_files_only=True, num_labels=classes, dropout=dropout,
            classifier_dropout=dropout)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: no readable model; run the stage before again") from error


def _rows(task: TaskArrays, split: Split, tag: int) -> list[np.ndarray]:
    """Return each example as the model reads it: its text, [SEP], the language's tag."""
    vocab = task.vocab
    rows = []
    for padded_T in split.input_ids:
        kept = padded_T[padded_T != vocab.pad].astype(np.int64)
        rows.append(closed(kept[1:-1], tag, vocab, len(kept) + 1))
    return rows


def _train(
    ctx: RunContext, model: PreTrainedModel, rows: list[np.ndarray], task: TaskArrays,
    optimizer: Callable[..., torch.optim.Optimizer], schedule: Callable[..., float],
    streams: Streams, plan: Plan, batch_size: int,
) -> None:
    labels = torch.from_numpy(np.array(task.train.labels))

    def batch(index: int) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = []
        for place in range(index * batch_size, (index + 1) * batch_size):
            epoch, inside = divmod(place, len(rows))
            chosen.append(int(streams.numpy("order", epoch).permutation(len(rows))[inside]))
        return padded([rows[one] for one in chosen], task.vocab), labels[chosen]

    def loss(data: tuple[torch.Tensor, torch.Tensor], _: int) -> dict[str, torch.Tensor]:
        inputs_BS, labels_B = data
        return {"loss": F.cross_entropy(_logits(model, inputs_BS), labels_B.to(model.device))}

    fit(model, batch, loss, optimizer(model), plan, streams=streams, schedule=schedule,
        checkpoints=ctx.checkpoints / CHECKPOINTS, report=ctx.report,
        stop_requested=ctx.stop_requested)
    ctx.count(tokens=plan.steps * batch_size * sum(map(len, rows)) // len(rows))


@torch.inference_mode()
def _predict(
    model: nn.Module, rows: list[np.ndarray], task: TaskArrays, batch_size: int
) -> np.ndarray:
    """Return the class of each row, (N,) int64."""
    model.eval()
    guesses = np.empty(len(rows), dtype=np.int64)
    for chosen in seq2seq.by_length(rows, batch_size):
        inputs_BS = padded([rows[index] for index in chosen], task.vocab)
        guesses[chosen] = _logits(model, inputs_BS).argmax(dim=1).cpu().numpy()
    return guesses


def _logits(model: PreTrainedModel, inputs_BS: torch.Tensor) -> torch.Tensor:
    return model(
        input_ids=inputs_BS.to(model.device),
        attention_mask=(inputs_BS != model.config.pad_token_id).long().to(model.device),
        use_cache=False,
    ).logits
