"""What ELECTRA compares replaced-token detection with, on the same corrupted input (Table 5).

The generator, its sampling and the joint training are those of
`repro.losses.replaced_token.ReplacedTokenDetection`; only the encoder's task differs.
B sequences, T positions, M chosen positions, N kept tokens, D hidden, V words.
Source: Clark et al. 2020, section 3.4 and appendix.
"""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from repro.losses.masked_lm import masked_lm_loss
from repro.losses.replaced_token import (
    Corruption,
    GeneratorModel,
    ReplacedTokenDetection,
    detection_report,
    replaced_token_loss,
)
from repro.nn import flops
from repro.nn.heads import MaskedLMHead, gather, masked_lm_head

Loss = tuple[torch.Tensor, dict[str, torch.Tensor]]


class DetectionAtMasked(ReplacedTokenDetection):
    """ELECTRA 15 %: replaced-token detection, its loss only at the chosen positions."""

    def encoder_loss(
        self, model: GeneratorModel, hidden_BTD: torch.Tensor, corruption: Corruption
    ) -> Loss:
        """Return the detection loss over the M chosen positions."""
        logits_M = model.head(hidden_BTD).flatten()[corruption.positions_M]
        labels_M = corruption.is_replaced_BT.flatten()[corruption.positions_M]
        return replaced_token_loss(logits_M, labels_M), detection_report(logits_M, labels_M)


class ReplaceMLM(ReplacedTokenDetection):
    """Replace MLM: predict identities at the chosen positions; samples stand where [MASK] stood."""

    def make_head(self, encoder: PreTrainedModel) -> nn.Module:
        """Return a tied MLM head."""
        return masked_lm_head(encoder)

    def encoder_loss(
        self, model: GeneratorModel, hidden_BTD: torch.Tensor, corruption: Corruption
    ) -> Loss:
        """Return the cross-entropy of the originals at the M chosen positions."""
        logits_MV = model.head(gather(hidden_BTD, corruption.positions_M))
        return masked_lm_loss(logits_MV, corruption.targets_M), {}

    def head_flops(self, model: GeneratorModel, tokens: int, chosen: int) -> int:
        """Return the forward operations of the MLM head at the chosen positions."""
        return flops.masked_lm_head(model.encoder.config, chosen)


class CopyHead(nn.Module):
    """A tied MLM head and, beside it, the probability of copying the input token."""

    def __init__(self, encoder: PreTrainedModel) -> None:
        super().__init__()
        self.words: MaskedLMHead = masked_lm_head(encoder)
        self.copy = nn.Linear(encoder.config.hidden_size, 1)
        encoder._init_weights(self.copy)


def copy_mixture_loss(
    logits_NV: torch.Tensor,
    copy_logits_N: torch.Tensor,
    inputs_N: torch.Tensor,
    originals_N: torch.Tensor,
) -> torch.Tensor:
    """Return -mean log(c [x_in = x] + (1 - c) softmax(logits)[x]), nats per token.

    logits_NV, copy_logits_N float (c = sigmoid); inputs_N, originals_N int64. In log space, so a
    gate near 0 or 1 stays finite. Raises ValueError if there is no token.
    """
    if not len(originals_N):
        raise ValueError("copy_mixture_loss: no token is kept")
    word_N = -F.cross_entropy(logits_NV, originals_N, reduction="none")
    predicted_N = F.logsigmoid(-copy_logits_N) + word_N
    copied_N = torch.logaddexp(F.logsigmoid(copy_logits_N), predicted_N)
    return -torch.where(inputs_N == originals_N, copied_N, predicted_N).mean()


class AllTokensMLM(ReplacedTokenDetection):
    """All-Tokens MLM: predict identities everywhere, through a gate that may copy the input."""

    def make_head(self, encoder: PreTrainedModel) -> nn.Module:
        """Return the gated head."""
        return CopyHead(encoder)

    def encoder_loss(
        self, model: GeneratorModel, hidden_BTD: torch.Tensor, corruption: Corruption
    ) -> Loss:
        """Return the mixture loss over all kept tokens."""
        hidden_ND, inputs_N = hidden_BTD.flatten(0, 1), corruption.inputs_BT.flatten()
        originals_N = corruption.original_BT.flatten()
        if corruption.padding_BT is not None:
            keep_N = corruption.padding_BT.flatten()
            hidden_ND, inputs_N = hidden_ND[keep_N], inputs_N[keep_N]
            originals_N = originals_N[keep_N]
        gate_N = model.head.copy(hidden_ND)[:, 0]
        logits_NV = model.head.words(hidden_ND)
        loss = copy_mixture_loss(logits_NV, gate_N, inputs_N, originals_N)
        return loss, {"copy_rate": gate_N.detach().sigmoid().mean()}

    def head_flops(self, model: GeneratorModel, tokens: int, chosen: int) -> int:
        """Return the forward operations of the MLM head at every token, and of the gate."""
        return flops.masked_lm_head(model.encoder.config, tokens) + flops.linear(
            tokens, model.encoder.config.hidden_size, 1
        )
