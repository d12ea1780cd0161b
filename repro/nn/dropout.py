"""Dropout that is cheap on a CPU, for transformers' encoders.

torch draws one Bernoulli variate per element through a scalar loop, a sixth of an encoder's
training step; here one 64-bit draw decides four elements. The numbers come from torch's global
generator. On an accelerator torch's own kernels are used.
"""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

ATTENTION = "sdpa_cheap_dropout"
_LEVELS = 2**16


def dropout(x: torch.Tensor, p: float) -> torch.Tensor:
    """Return x with each element zeroed with probability p, the others scaled to keep the mean.

    p is rounded to a multiple of 2^-16, and the scale follows it. x float, any shape.
    """
    dropped = round(p * _LEVELS)
    if x.device.type != "cpu" or not 0 < dropped < _LEVELS:
        return F.dropout(x, p)
    draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    levels = draws.view(torch.int16)[: x.numel()].view(x.shape)
    kept = (levels >= dropped - _LEVELS // 2).to(x.dtype)
    return x * kept.mul_(_LEVELS / (_LEVELS - dropped))


class Dropout(nn.Dropout):
    """nn.Dropout through `dropout`."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x unchanged outside training."""
        return dropout(x, self.p) if self.training and self.p > 0 else x


def attention(
    module: nn.Module,
    query_BHTE: torch.Tensor,
    key_BHTE: torch.Tensor,
    value_BHTE: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: object,
) -> tuple[torch.Tensor, None]:
    """Return (B, T, H, E) attention outputs, as transformers' sdpa does; for its registry.

    attention_mask: bool (B, 1, T, T), False = hidden, or None. The fused kernels of the CPU have
    no dropout, so with dropout the weights are formed here; without, the fused kernel runs.
    """
    if dropout == 0.0 or query_BHTE.device.type != "cpu":
        return sdpa_attention_forward(
            module,
            query_BHTE,
            key_BHTE,
            value_BHTE,
            attention_mask,
            dropout=dropout,
            scaling=scaling,
            **kwargs,
        )
    batch, heads, length, size = query_BHTE.shape
    query, key, value = (x.reshape(-1, *x.shape[2:]) for x in (query_BHTE, key_BHTE, value_BHTE))
    scale = size**-0.5 if scaling is None else scaling
    scores = torch.baddbmm(
        query.new_empty(1), query, key.transpose(1, 2), beta=0, alpha=scale
    ).view(batch, heads, length, -1)
    if attention_mask is not None:
        scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    weights = _dropout(scores.softmax(dim=-1), dropout).view(batch * heads, length, -1)
    mixed = torch.bmm(weights, value).view(batch, heads, length, size)
    return mixed.transpose(1, 2).contiguous(), None


_dropout = dropout
AttentionInterface.register(ATTENTION, attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)


def make_cheap(encoder: PreTrainedModel) -> PreTrainedModel:
    """Return the encoder with its dropout, of hidden states and attention, replaced in place.

    Weights, configuration file and results without dropout stay as they are.
    """
    for module in list(encoder.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, Dropout(child.p))
    encoder.set_attn_implementation(ATTENTION)
    return encoder
