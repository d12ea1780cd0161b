"""The loop of `repro.train`, as the stages of the suite call it, data artefact included."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from loops import artefacts, material
from loops.setting import PAD, SETTING, Clock, How
from repro.audio.batches import SpeechRows
from repro.data.batches import TokenRows
from repro.data.causal import CausalRows
from repro.data.seq2seq import Denoising
from repro.data.spans import Infilling
from repro.losses.causal_lm import CausalLM
from repro.losses.contrastive import ImageText
from repro.losses.ctc import CTC
from repro.losses.masked_lm import MaskedLM
from repro.losses.replaced_token import ReplacedTokenDetection
from repro.losses.seq2seq import Seq2Seq
from repro.nn.clip import clip
from repro.nn.conformer import conformer
from repro.nn.decoders import llama
from repro.nn.encoders import bert, electra
from repro.nn.seq2seq import mbart
from repro.pipeline import arithmetic
from repro.train import determinism
from repro.train.loop import Plan, fit
from repro.train.optimizers import adamw
from repro.train.schedules import linear
from repro.train.streams import Streams
from repro.vision.batches import ImageTexts
from repro.vision.texts import One

HIDDEN, LAYERS, HEADS = SETTING["hidden"], SETTING["layers"], SETTING["heads"]
SHAPE = {"hidden": HIDDEN, "layers": LAYERS, "heads": HEADS,
         "intermediate": SETTING["intermediate"]}
DROPOUT = {"dropout": SETTING["dropout"], "attention_dropout": SETTING["dropout"]}
FREE = "free"  # instead of numerics: nothing is pinned, nothing must be deterministic
FULL = ("mlm", "rtd", "clm")  # whose rows have no padding: operations a unit are known


def run(task: str, steps: int, size: int, how: How) -> Clock:
    """Train for some updates; return the clock."""
    if how.numerics == FREE:
        torch.set_num_threads(how.threads)
    else:
        arithmetic.configure(how.numerics, how.threads)
    if task == "finetune":
        from loops import tuning  # what it imports, no pre-training stage does

        return tuning.fine_tune(steps, size, how)
    clock = Clock(steps, how.device)
    with tempfile.TemporaryDirectory() as folder:
        artefacts.write(task, Path(folder), steps * size)
        _pre_train(task, Path(folder), steps, size, how, clock)
    return clock


def _pre_train(
    task: str, folder: Path, steps: int, size: int, how: How, clock: Clock
) -> None:
    streams, seen = Streams(0), [0]
    batches, objective, units = batches_of(task, size), objective_of(task), UNITS_OF[task]
    vocab, batch = batches.open(folder, streams)
    model = objective.build(vocab, streams).to(determinism.device(how.device))
    if task in FULL:
        clock.flops_per_unit = objective.training_flops(model, **batches.shape) / batches.tokens

    def loss(data: tuple[torch.Tensor, ...], index: int) -> dict[str, torch.Tensor]:
        seen[0] = units(*data)
        return objective.loss(model, *data, streams, index)

    fit(model, batch, loss, adamw(model, lr=SETTING["lr"]), plan(steps, how), streams=streams,
        schedule=linear, after_step=lambda _: clock.tick(seen[0]))


def plan(steps: int, how: How) -> Plan:
    """Return how long and how to train."""
    return Plan(steps=steps, clip_norm=1.0, log_every=steps, precision=how.precision)


def _text_units(*rows: torch.Tensor) -> int:
    return sum(int((tokens != PAD).sum()) for tokens in rows)


UNITS_OF: dict[str, Callable[..., int]] = {
    **dict.fromkeys(FULL, lambda tokens_BT, _: tokens_BT.numel()),
    "seq2seq": _text_units,
    "ctc": lambda features_BTM, frames_B, *_: int(frames_B.sum()),
    "contrastive": lambda images_BCSS, _: len(images_BCSS),
}


def batches_of(task: str, size: int) -> Any:
    """Return the batches of a task, of those that are pre-trained."""
    length = SETTING["sequence_length"]
    match task:
        case "mlm" | "rtd":
            return TokenRows(corpus=artefacts.TEXT, batch_size=size, sequence_length=length)
        case "clm":
            return CausalRows(corpus=artefacts.TEXT, batch_size=size, sequence_length=length)
        case "seq2seq":
            noise = Infilling(rate=material.RATE, mean_length=material.MEAN_LENGTH)
            return Denoising(corpora=(artefacts.TEXT,), noise=noise, batch_size=size,
                             source_length=length, target_length=length)
        case "ctc":
            return SpeechRows(group=artefacts.NAME, units="phones", batch_size=size,
                              max_frames=material.FRAMES[1], mels=SETTING["mels"])
        case "contrastive":
            return ImageTexts(pictures=artefacts.NAME, batch_size=size, texts=One(place=0),
                              image_size=SETTING["image_size"],
                              sequence_length=SETTING["text_length"])
    raise ValueError(task)


def objective_of(task: str) -> Any:
    """Return the objective of a task, of those that are pre-trained."""
    length, sizes = SETTING["sequence_length"], {"embedding": SETTING["embedding"]}
    match task:
        case "mlm":
            return MaskedLM(encoder=partial(bert, **encoder(HIDDEN)),
                            probability=SETTING["probability"])
        case "rtd":
            small = encoder(SETTING["generator_hidden"])
            return ReplacedTokenDetection(
                encoder=partial(electra, **encoder(HIDDEN), **sizes),
                generator=partial(electra, **small, **sizes))
        case "clm":
            return CausalLM(decoder=partial(
                llama, hidden=HIDDEN, layers=LAYERS, heads=HEADS, tied=True,
                intermediate=SETTING["gated"], max_positions=length))
        case "seq2seq":
            return Seq2Seq(model=partial(mbart, **SHAPE, **DROPOUT, max_positions=length))
        case "ctc":
            return CTC(encoder=partial(
                conformer, **SHAPE, mels=SETTING["mels"], stack=SETTING["stack"],
                kernel=SETTING["kernel"], dropout=SETTING["dropout"]))
        case "contrastive":
            text = {f"text_{name}": value for name, value in SHAPE.items()}
            return ImageText(model=partial(
                clip, **SHAPE, **text, image_size=SETTING["image_size"], patch=SETTING["patch"],
                projection=HIDDEN, max_positions=SETTING["text_length"]))
    raise ValueError(task)


def encoder(hidden: int) -> dict[str, Any]:
    """Return the settings of an encoder."""
    heads = {"heads": max(1, hidden // 64), "intermediate": 4 * hidden}
    return SHAPE | heads | DROPOUT | {
        "hidden": hidden, "max_positions": SETTING["sequence_length"]}
