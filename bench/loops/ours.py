"""The loop of `repro.train`, as the stages of the suite call it."""

from functools import partial
from typing import Any

import torch

from loops.setting import CLS, MASK, PAD, SEP, SETTING, UNK, Clock, labels, lengths, rows
from repro.evaluate import classifier
from repro.evaluate.batching import TrainingOrder, gather
from repro.evaluate.classifier import Classifier
from repro.evaluate.examples import Examples
from repro.losses.causal_lm import CausalLM
from repro.losses.masked_lm import MaskedLM
from repro.losses.replaced_token import ReplacedTokenDetection
from repro.nn.decoders import llama
from repro.nn.encoders import bert, electra
from repro.text.tokenizer import VocabInfo
from repro.train import determinism
from repro.train.loop import Plan, fit
from repro.train.optimizers import adamw
from repro.train.schedules import linear
from repro.train.streams import Streams

VOCAB = VocabInfo(size=SETTING["vocabulary"], pad=PAD, unk=UNK, cls=CLS, sep=SEP, mask=MASK,
                  special=(PAD, UNK, CLS, SEP, MASK))


def run(task: str, steps: int, threads: int) -> Clock:
    """Train for some updates; return the clock."""
    determinism.configure("portable", threads)
    return _fine_tune(steps) if task == "finetune" else _pre_train(task, steps)


def _sizes(hidden: int) -> dict[str, Any]:
    return {
        "hidden": hidden,
        "layers": SETTING["layers"],
        "heads": max(1, hidden // 64),
        "intermediate": 4 * hidden,
        "max_positions": SETTING["sequence_length"],
        "dropout": SETTING["dropout"],
        "attention_dropout": SETTING["dropout"],
    }


def _objective(task: str) -> Any:
    embedding = {"embedding": SETTING["embedding"]}
    match task:
        case "mlm":
            return MaskedLM(encoder=partial(bert, **_sizes(SETTING["hidden"])))
        case "rtd":
            return ReplacedTokenDetection(
                encoder=partial(electra, **_sizes(SETTING["hidden"]), **embedding),
                generator=partial(electra, **_sizes(SETTING["generator_hidden"]), **embedding),
            )
        case "clm":
            return CausalLM(decoder=partial(
                llama, hidden=SETTING["hidden"], layers=SETTING["layers"], heads=SETTING["heads"],
                intermediate=344, max_positions=SETTING["sequence_length"], tied=True))


def _pre_train(task: str, steps: int) -> Clock:
    objective, streams, clock = _objective(task), Streams(0), Clock()
    model = objective.build(VOCAB, streams)
    size = SETTING["batch_size"]
    tokens_RT = torch.from_numpy(rows(steps * size))
    keep_BT = torch.ones(size, tokens_RT.shape[1], dtype=torch.bool)
    fit(
        model,
        lambda index: (tokens_RT[index * size : (index + 1) * size], keep_BT),
        lambda batch, index: objective.loss(model, *batch, streams, index),
        adamw(model, lr=1e-3),
        Plan(steps=steps, clip_norm=1.0, log_every=steps),
        streams=streams,
        schedule=linear,
        after_step=lambda _: clock.tick(keep_BT.numel()),
    )
    return clock


def _fine_tune(steps: int) -> Clock:
    streams, clock = Streams(0), Clock()
    data = _examples(steps * SETTING["batch_size"])
    streams.seed_global("head")
    encoder = bert(VOCAB, **_sizes(SETTING["hidden"]))
    head = classifier.build_head("linear", SETTING["hidden"], SETTING["classes"],
                                 SETTING["dropout"])
    model = Classifier(encoder, head, "cls")
    order = TrainingOrder(data.lengths_N, SETTING["batch_size"], streams)

    def loss(rows_B: torch.Tensor, _: int) -> dict[str, torch.Tensor]:
        batch = gather(data, rows_B)
        return {"loss": classifier.task_loss(model(batch), batch.targets_U, "classification")}

    done = iter(range(steps))
    fit(
        model, order, loss, adamw(model, lr=1e-3),
        Plan(steps=steps, clip_norm=1.0, log_every=steps),
        streams=streams, schedule=linear,
        after_step=lambda _: clock.tick(int(data.lengths_N[order(next(done))].sum())),
    )
    return clock


def _examples(count: int) -> Examples:
    tokens_NT, lengths_N = torch.from_numpy(rows(count)), torch.from_numpy(lengths(count))
    tokens_NT[torch.arange(tokens_NT.shape[1]) >= lengths_N[:, None]] = PAD
    return Examples(
        input_ids_NT=tokens_NT.int(), segments_NT=torch.zeros_like(tokens_NT, dtype=torch.int32),
        lengths_N=lengths_N, targets_U=torch.from_numpy(labels(count)),
        offsets=torch.arange(count + 1), positions_U=None, pad=PAD,
    )
