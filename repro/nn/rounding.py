"""Weights rounded to few bits after training. O outputs, I inputs."""

import torch
from torch import nn

from repro.errors import UserError
from repro.nn.swap import PROJECTIONS, swap_linears


def round_to_nearest(weight_OI: torch.Tensor, bits: int) -> torch.Tensor:
    """Return the weight on a grid of 2^bits - 1 levels that is symmetric about zero, one scale a
    row.

    W' = s round(W / s), s = max |W_row| / (2^(bits - 1) - 1). Raises UserError for bits below 2.
    Source: the round-to-nearest baseline of Dettmers et al. 2022 and Frantar et al. 2023.
    """
    if bits < 2:
        raise UserError(f"bits = {bits}: expected at least 2")
    levels = 2 ** (bits - 1) - 1
    scale_O1 = weight_OI.abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / levels
    return (weight_OI / scale_O1).round() * scale_O1


@torch.no_grad()
def round_projections(model: nn.Module, bits: int) -> list[str]:
    """Round the projections of attention and MLP in place; embeddings, norms and head stay.
    Return their names."""
    def rounded(layer: nn.Linear) -> nn.Linear:
        layer.weight.copy_(round_to_nearest(layer.weight, bits))
        return layer

    return swap_linears(model, rounded, PROJECTIONS)
