"""How close the encoder puts the two sides of a pair of sentences.

N pairs, S positions, D hidden size.
"""

from typing import Literal

import numpy as np
import torch
from transformers import PreTrainedModel

from repro.context import RunContext
from repro.data.seq2seq import closed, padded
from repro.data.shards import Corpus
from repro.errors import UserError
from repro.evaluate import seq2seq
from repro.text.languages import tag_ids


def closeness(
    ctx: RunContext,
    *,
    corpus: str,
    source: str,
    target: str,
    sentences: int | None = None,
    batch_size: int = 50,
    device: Literal["cpu", "cuda"] = "cpu",
) -> dict[str, float]:
    """Return pair_distance and recall_at_1 of the first pairs of a parallel set (test.it-en).

    A sentence is the mean of its encoder states, its end and tag left out; see `compare`.
    Raises UserError for a missing model or corpus.
    """
    model = seq2seq.load_model(seq2seq.model_folder(ctx), device)
    ids = tag_ids(ctx.input("data"), (source, target))
    states = []
    for language in (source, target):
        side, rows = seq2seq.sentences(ctx, corpus, language, sentences)
        states.append(embed(model, side, rows, ids[language], batch_size))
    return compare(*states)


def compare(first_ND: torch.Tensor, second_ND: torch.Tensor) -> dict[str, float]:
    """Return pair_distance, the mean Euclidean distance of pairs over that of all others (i, j), so
    that a model gains nothing by shrinking its states; and recall_at_1, the share whose nearest
    sentence of the other language is its partner, mean of both ways. Raises UserError for one pair.
    """
    if len(first_ND) < 2:
        raise UserError("compare: needs two pairs or more")
    distances_NN = torch.cdist(first_ND.double(), second_ND.double(),
                               compute_mode="donot_use_mm_for_euclid_dist")
    paired = distances_NN.diagonal().mean()
    size = len(distances_NN)
    others = (distances_NN.sum() - distances_NN.diagonal().sum()) / (size * (size - 1))
    own_N = torch.arange(size, device=distances_NN.device)
    hits = [(distances_NN.argmin(dim=way) == own_N).double().mean() for way in (0, 1)]
    return {"pair_distance": (paired / others).item(), "recall_at_1": (sum(hits) / 2).item()}


@torch.inference_mode()
def embed(
    model: PreTrainedModel, side: Corpus, rows: list[np.ndarray], tag: int, batch_size: int
) -> torch.Tensor:
    """Return (N, D): the mean encoder state of each sentence's own tokens. rows: without ends."""
    states: dict[int, torch.Tensor] = {}
    most = model.config.max_position_embeddings
    for batch in seq2seq.by_length(rows, batch_size):
        inputs_BS = padded([closed(rows[index], tag, side.vocab, most) for index in batch],
                           side.vocab)
        keep_BS = inputs_BS != side.vocab.pad
        own_BS = keep_BS & (inputs_BS != side.vocab.sep) & (inputs_BS != tag)
        hidden_BSD = model.get_encoder()(
            input_ids=inputs_BS.to(model.device), attention_mask=keep_BS.long().to(model.device)
        ).last_hidden_state
        weights_BS1 = own_BS.to(hidden_BSD)[..., None]
        means_BD = (hidden_BSD * weights_BS1).sum(1) / weights_BS1.sum(1).clamp(min=1)
        states |= dict(zip(batch, means_BD, strict=True))
    return torch.stack([states[index] for index in range(len(rows))])
