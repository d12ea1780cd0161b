"""Attention heads that begin by looking at a neighbour.

Small BERT-type encoders spend their first thousands of updates at bag-of-words level, because heads
must discover relative position from absolute position embeddings. As d'Ascoli et al. 2021 (ConViT)
do for images, heads can instead begin as a convolution: sinusoidal position embeddings, and
queries and keys that match a position with the one at a given offset. Everything stays trainable,
and nothing else of the model changes.

P positions, E embedding size, D hidden size, H rows of one head.
"""

import math

import torch
from torch import nn
from transformers import PreTrainedModel

from repro.errors import UserError

FASTEST, SLOWEST = 1.6, 0.1  # radians per position
POSITION_SCALE = 2.0  # standard deviation of positions, in those of tokens
GAIN = 1.5
NOISE = 0.3  # what is left of the usual initialisation of queries and keys


def frequencies(size: int) -> torch.Tensor:
    """Return size // 2 angular frequencies, geometric from FASTEST to SLOWEST, (size / 2,)."""
    share = torch.arange(0, size, 2, dtype=torch.float64) / size
    return FASTEST * torch.exp(-math.log(FASTEST / SLOWEST) * share)


def sinusoids(positions: int, size: int) -> torch.Tensor:
    """Return the table_PE of sin and cos in pairs of columns, with mean square 1."""
    angles = torch.arange(positions, dtype=torch.float64)[:, None] * frequencies(size)
    return math.sqrt(2) * torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1).float()


def matching(head_size: int, width: int, size: int, offset: int) -> tuple[torch.Tensor, ...]:
    """Return query_HD and key_HD: their product at (i, j) is largest for j = i + offset.

    Each head reads the fastest head_size // 2 sinusoids; the key turns them back by the offset.
    """
    query, key = torch.zeros(head_size, width), torch.zeros(head_size, width)
    angle = (frequencies(size)[: head_size // 2] * offset).float()
    even = torch.arange(0, 2 * len(angle), 2)
    query[even, even] = query[even + 1, even + 1] = 1.0
    key[even, even] = key[even + 1, even + 1] = angle.cos()
    key[even, even + 1], key[even + 1, even] = -angle.sin(), angle.sin()
    return query, key


@torch.no_grad()
def attend_locally(encoder: PreTrainedModel, offsets: tuple[int, ...]) -> None:
    """Make head h of every layer of a BERT or ELECTRA encoder begin at offsets[h % len(offsets)].

    A map from embeddings to a narrower hidden size begins as a selection, so that positions pass.
    Raises UserError for an empty tuple or heads of fewer than two rows.
    """
    config, embeddings = encoder.config, encoder.embeddings
    size = embeddings.word_embeddings.weight.shape[1]
    head_size = config.hidden_size // config.num_attention_heads
    if not offsets or head_size < 2 or config.hidden_size > size:
        raise UserError(f"local_heads = {offsets}: needs offsets, heads of two rows or more, and "
                        "embeddings no narrower than the hidden states")
    table = sinusoids(config.max_position_embeddings, size)
    embeddings.position_embeddings.weight.copy_(POSITION_SCALE * config.initializer_range * table)
    narrow: nn.Linear | None = getattr(encoder, "embeddings_project", None)
    if narrow is not None:
        narrow.weight.mul_(NOISE).add_(torch.eye(*narrow.weight.shape))
    for layer in encoder.encoder.layer:
        attention = layer.attention.self
        for head in range(config.num_attention_heads):
            rows = slice(head * head_size, (head + 1) * head_size)
            patterns = matching(
                head_size, config.hidden_size, size, offsets[head % len(offsets)]
            )
            for projection, pattern in zip(
                (attention.query, attention.key), patterns, strict=True
            ):
                projection.weight[rows] = NOISE * projection.weight[rows] + GAIN * pattern
