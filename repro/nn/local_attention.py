"""Attention heads that begin by looking at a neighbour.

Small BERT-type encoders spend their first thousands of updates at bag-of-words level, because heads
must discover relative position from absolute position embeddings. As d'Ascoli et al. 2021 (ConViT)
do for images, heads can instead begin as a convolution: positions are sinusoids in a few columns
of their own, and queries and keys match a position with the one at a given offset. Everything stays
trainable, and nothing else of the model changes.

P positions, E embedding size, D hidden size, H rows of one head, S columns kept for positions.
"""

import math

import torch
from torch import nn
from transformers import PreTrainedModel

from repro.errors import UserError

COLUMNS = 16  # S, or fewer in narrower heads
FASTEST, SLOWEST = 1.6, 0.1  # radians per position
POSITION_SCALE = 1.5  # standard deviation of position columns, in that of token columns
GAIN = 2.0
NOISE = 0.3  # what is left of the usual initialisation of queries and keys


def frequencies(columns: int) -> torch.Tensor:
    """Return columns // 2 angular frequencies, geometric from FASTEST towards SLOWEST, float64."""
    share = torch.arange(0, columns, 2, dtype=torch.float64) / columns
    return FASTEST * torch.exp(-math.log(FASTEST / SLOWEST) * share)


def sinusoids(positions: int, columns: int) -> torch.Tensor:
    """Return the table_PS of sines and cosines in pairs of columns, with mean square 1."""
    angles = torch.arange(positions, dtype=torch.float64)[:, None] * frequencies(columns)
    return math.sqrt(2) * torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1).float()


def matching(columns: int, rows: int, width: int, offset: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return query_HD and key_HD: their product at (i, j) is largest for j = i + offset.

    The query reads the position columns; the key turns them back by the offset.
    """
    query, key = torch.zeros(rows, width), torch.zeros(rows, width)
    angle = (frequencies(columns) * offset).float()
    even = torch.arange(0, columns, 2)
    query[even, even] = query[even + 1, even + 1] = 1.0
    key[even, even] = key[even + 1, even + 1] = angle.cos()
    key[even, even + 1], key[even + 1, even] = -angle.sin(), angle.sin()
    return query, key


@torch.no_grad()
def attend_locally(encoder: PreTrainedModel, offsets: tuple[int, ...]) -> None:
    """Make head h of every layer of a BERT or ELECTRA encoder begin at offsets[h % len(offsets)].

    Token embeddings leave the position columns to the positions. A map from embeddings to a
    narrower hidden size begins by passing those columns on. Raises UserError for an empty tuple,
    heads of fewer than two rows, or embeddings narrower than the hidden states.
    """
    config, embeddings = encoder.config, encoder.embeddings
    rows = config.hidden_size // config.num_attention_heads
    columns = min(COLUMNS, rows - rows % 2)
    words, places = embeddings.word_embeddings.weight, embeddings.position_embeddings.weight
    if not offsets or columns < 2 or config.hidden_size > words.shape[1]:
        raise UserError(f"local_heads = {offsets}: needs offsets, heads of two rows or more, and "
                        "embeddings no narrower than the hidden states")
    words[:, :columns] = 0.0
    places.zero_()
    table = sinusoids(config.max_position_embeddings, columns)
    places[:, :columns] = POSITION_SCALE * config.initializer_range * table
    narrow: nn.Linear | None = getattr(encoder, "embeddings_project", None)
    if narrow is not None:
        narrow.weight.div_(config.initializer_range * math.sqrt(words.shape[1]))
        narrow.weight[:columns] = torch.eye(columns, words.shape[1])
    for layer in encoder.encoder.layer:
        attention = layer.attention.self
        for head in range(config.num_attention_heads):
            part = slice(head * rows, (head + 1) * rows)
            offset = offsets[head % len(offsets)]
            patterns = matching(columns, rows, config.hidden_size, offset)
            for projection, pattern in zip((attention.query, attention.key), patterns, strict=True):
                projection.weight[part] = NOISE * projection.weight[part] + GAIN * pattern
