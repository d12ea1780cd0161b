"""Fine-tuning a classifier as `repro.evaluate.finetuning` does. N examples, T positions."""

import torch

from loops import material, ours
from loops.setting import CLS, MASK, PAD, SEP, SETTING, UNK, Clock, How
from repro.evaluate import classifier
from repro.evaluate.batching import TrainingOrder, gather
from repro.evaluate.classifier import Classifier
from repro.evaluate.examples import Examples
from repro.nn.encoders import bert
from repro.text.tokenizer import VocabInfo
from repro.train import determinism
from repro.train.loop import fit
from repro.train.optimizers import adamw
from repro.train.schedules import linear
from repro.train.streams import Streams

VOCAB = VocabInfo(size=SETTING["vocabulary"], pad=PAD, unk=UNK, cls=CLS, sep=SEP, mask=MASK,
                  special=(PAD, UNK, CLS, SEP, MASK))
HIDDEN = SETTING["hidden"]


def fine_tune(steps: int, size: int, how: How) -> Clock:
    """Train for some updates; return the clock."""
    clock = Clock(steps, how.device)
    streams, data = Streams(0), _examples(steps * size)
    streams.seed_global("head")
    head = classifier.build_head("dense_tanh", HIDDEN, SETTING["classes"], SETTING["dropout"])
    model = Classifier(bert(VOCAB, **ours.encoder(HIDDEN)), head, "cls")
    model.to(determinism.device(how.device))
    order = TrainingOrder(data.lengths_N, size, streams)

    def loss(rows_B: torch.Tensor, _: int) -> dict[str, torch.Tensor]:
        batch = gather(data, rows_B)
        return {"loss": classifier.task_loss(model(batch), batch.targets_U, "classification")}

    done = iter(range(steps))
    fit(model, order, loss, adamw(model, lr=SETTING["lr"]), ours.plan(steps, how), streams=streams,
        schedule=linear,
        after_step=lambda _: clock.tick(int(data.lengths_N[order(next(done))].sum())))
    return clock


def _examples(count: int) -> Examples:
    tokens_NT = torch.from_numpy(material.rows(count))
    lengths_N = torch.from_numpy(material.lengths(count))
    tokens_NT[torch.arange(tokens_NT.shape[1]) >= lengths_N[:, None]] = PAD
    return Examples(
        input_ids_NT=tokens_NT.int(), segments_NT=torch.zeros_like(tokens_NT, dtype=torch.int32),
        lengths_N=lengths_N, targets_U=torch.from_numpy(material.labels(count)),
        offsets=torch.arange(count + 1), positions_U=None, pad=PAD,
    )
