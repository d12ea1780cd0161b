"""FixMatch: a confident guess on an example is the target for a corrupted copy of it.

B unlabelled examples, C classes, T positions.
"""

import torch
from torch.nn import functional as F

from repro.data.masking import maskable, ordinary_ids
from repro.errors import UserError
from repro.text.tokenizer import VocabInfo


def fixmatch_loss(
    weak_BC: torch.Tensor, strong_BC: torch.Tensor, threshold: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (loss, share of examples whose guess is confident), scalars.

    loss = (1/B) sum_b 1[max_c p_b >= threshold] CE(strong_b, argmax_c p_b), p = softmax(weak), in
    nats; no gradient reaches weak_BC. Source: Sohn et al. 2020, equation 4.
    """
    with torch.no_grad():
        confidence_B, guess_B = weak_BC.softmax(dim=1).max(dim=1)
        sure_B = (confidence_B >= threshold).to(strong_BC.dtype)
    each_B = F.cross_entropy(strong_BC, guess_B, reduction="none")
    return (sure_B * each_B).mean(), sure_B.mean()


class FixMatch:
    """Settings of the consistency loss. threshold: of confidence; weight: of the loss; ratio:
    unlabelled examples for each labelled one; replaced: share of tokens that a random one replaces
    in the strong copy, where the text has no other augmentation at hand."""

    def __init__(
        self,
        *,
        threshold: float = 0.95,
        weight: float = 1.0,
        ratio: int = 1,
        replaced: float = 0.15,
    ) -> None:
        if not 0 < threshold <= 1 or weight <= 0 or ratio < 1 or not 0 < replaced < 1:
            raise UserError(f"FixMatch: threshold = {threshold}, weight = {weight}, "
                            f"ratio = {ratio}, replaced = {replaced}: out of range")
        self.threshold, self.weight, self.ratio, self.replaced = threshold, weight, ratio, replaced

    def corrupt(
        self, ids_BT: torch.Tensor, keep_BT: torch.Tensor, vocab: VocabInfo,
        generator: torch.Generator,
    ) -> torch.Tensor:
        """Return ids_BT with each ordinary token replaced by a random one with that probability;
        special tokens, the [MASK] of a question among them, stay."""
        chosen_BT = torch.rand(ids_BT.shape, generator=generator) < self.replaced
        random_BT = ordinary_ids(ids_BT.shape, vocab, generator)
        return torch.where(chosen_BT & maskable(ids_BT, keep_BT, vocab), random_BT, ids_BT)
