"""Choice of the positions a masked objective works on, and their 80/10/10 replacement.

Shapes: B rows, T positions, M chosen positions of the whole batch.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from repro.text.tokenizer import VocabInfo


@dataclass(frozen=True)
class Masked:
    """inputs_BT int64: tokens after replacement. positions (M,) int64: index into the
    flattened (B*T) batch, ascending. targets (M,) int64: the original ids there."""

    inputs_BT: Tensor
    positions: Tensor
    targets: Tensor


def maskable(tokens_BT: Tensor, keep_BT: Tensor, vocab: VocabInfo) -> Tensor:
    """Return (B, T) bool: True where there is an ordinary token (no padding, no special one)."""
    special = torch.zeros_like(keep_BT)
    for index in vocab.special:
        special |= tokens_BT == index
    return keep_BT & ~special


def choose_positions(
    maskable_BT: Tensor, generator: torch.Generator, *, probability: float
) -> Tensor:
    """Return (B, T) bool with exactly max(1, round(probability * n)) True in a row of n maskable
    positions (none where n = 0).

    Depends on nothing but the generator's state and maskable_BT, so that arms which share both
    share their positions; it draws B*T uniforms whatever the probability. generator: CPU.
    Raises ValueError unless 0 < probability <= 1.
    """
    if not 0 < probability <= 1:
        raise ValueError(f"probability = {probability}: must be in (0, 1]")
    draws_BT = torch.rand(maskable_BT.shape, generator=generator).to(maskable_BT.device)
    draws_BT = draws_BT.masked_fill(~maskable_BT, 2.0)
    counts_B = maskable_BT.sum(1)
    quota_B = (counts_B.double() * probability).round().long().clamp(min=1).minimum(counts_B)
    order_BT = draws_BT.argsort(dim=1, stable=True)
    ranks = torch.arange(maskable_BT.shape[1], device=maskable_BT.device).expand_as(order_BT)
    rank_BT = torch.empty_like(order_BT).scatter_(1, order_BT, ranks)
    return rank_BT < quota_B[:, None]


def mask_tokens(
    tokens_BT: Tensor,
    keep_BT: Tensor,
    vocab: VocabInfo,
    generator: torch.Generator,
    *,
    probability: float = 0.15,
    mask_share: float = 0.8,
    random_share: float = 0.1,
) -> Masked:
    """Return the batch with chosen positions replaced: [MASK] with probability mask_share, an
    ordinary id drawn uniformly with random_share, else left as it is.

    tokens_BT int64, keep_BT bool (False = padding). The positions come first from the generator:
    two calls that differ only in the shares mask the same places. mask_share = 1 is pure masking.
    Raises ValueError for shares outside [0, 1]. Source: Devlin et al. 2019, section 3.1.
    """
    if min(mask_share, random_share) < 0 or mask_share + random_share > 1:
        raise ValueError(f"mask_share = {mask_share}, random_share = {random_share}: sum above 1")
    allowed_BT = maskable(tokens_BT, keep_BT, vocab)
    chosen_BT = choose_positions(allowed_BT, generator, probability=probability)
    kind_BT = torch.rand(tokens_BT.shape, generator=generator).to(tokens_BT.device)
    random_BT = ordinary_ids(tokens_BT.shape, vocab, generator).to(tokens_BT.device)
    to_mask_BT = chosen_BT & (kind_BT < mask_share)
    to_random_BT = chosen_BT & (kind_BT >= mask_share) & (kind_BT < mask_share + random_share)
    inputs_BT = torch.where(to_random_BT, random_BT, tokens_BT).masked_fill(to_mask_BT, vocab.mask)
    positions = chosen_BT.flatten().nonzero().squeeze(1)
    return Masked(inputs_BT, positions, tokens_BT.flatten()[positions])


def ordinary_ids(shape: torch.Size, vocab: VocabInfo, generator: torch.Generator) -> Tensor:
    """Return int64 ids drawn uniformly from the vocabulary without its special tokens (CPU)."""
    ids = torch.randint(vocab.size - len(vocab.special), shape, generator=generator)
    for index in vocab.special:  # ascending: each one shifts the ids from itself on
        ids += ids >= index
    return ids
