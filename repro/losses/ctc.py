"""Connectionist temporal classification. B utterances, T frames, N outputs, M mels, U units.

V is the size of the inventory; id 0 is the blank.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F
from transformers import PreTrainedModel, Wav2Vec2BertForCTC

from repro.audio.augment import spec_augment
from repro.errors import UserError
from repro.nn.conformer import log_probabilities, training_flops
from repro.train.streams import Streams


def ctc_loss(
    log_probs_BNV: torch.Tensor,
    outputs_B: torch.Tensor,
    labels_BU: torch.Tensor,
    units_B: torch.Tensor,
) -> torch.Tensor:
    """Return -log p(labels) summed over the utterances, divided by their units: nats a unit.

    p sums over all paths that become the labels when repeats, then blanks, are taken out. An
    utterance that no path fits counts as 0. Calculated on the CPU, where it is deterministic.
    Raises ValueError if there is no unit. Source: Graves et al. 2006.
    """
    if int(units_B.sum()) == 0:
        raise ValueError("ctc_loss: no unit in the batch")
    total = F.ctc_loss(
        log_probs_BNV.cpu().transpose(0, 1), labels_BU, outputs_B, units_B,
        blank=0, reduction="sum", zero_infinity=True,
    )
    return total / units_B.sum()


class CTC:
    """Recognise speech: spectra masked by SpecAugment, an encoder, CTC over its units.

    encoder: factory `encoder(units)` of a model with a linear layer over the units. classes: how
    many units there must be, None = as many as the labels have. The widths of the masks are shares.
    """

    def __init__(
        self,
        *,
        encoder: Callable[..., PreTrainedModel],
        classes: int | None = None,
        frequency_masks: int = 2,
        frequency_width: float = 0.35,
        time_masks: int = 10,
        time_width: float = 0.05,
    ) -> None:
        self.make_encoder, self.classes = encoder, classes
        self.masks = {
            "frequency_masks": frequency_masks, "frequency_width": frequency_width,
            "time_masks": time_masks, "time_width": time_width,
        }

    def build(self, vocab: Any, streams: Streams) -> Wav2Vec2BertForCTC:
        """Return the recogniser, initialised from the stream init.encoder. vocab.size: its units.

        Raises UserError if the labels have more units than `classes`.
        """
        classes = self.classes or vocab.size
        if hasattr(vocab, "units") and vocab.size > classes:
            raise UserError(f"classes = {classes}: the labels have {vocab.size} units")
        streams.seed_global("init.encoder")
        model = self.make_encoder(classes)
        model.base_model.masked_spec_embed.requires_grad_(False)
        return model

    def loss(
        self,
        model: Wav2Vec2BertForCTC,
        features_BTM: torch.Tensor,
        frames_B: torch.Tensor,
        labels_BU: torch.Tensor,
        units_B: torch.Tensor,
        streams: Streams,
        step: int,
    ) -> dict[str, torch.Tensor]:
        """Return {"loss": nats a unit}. A batch of `repro.audio.batches`, on the CPU."""
        generator = streams.generator("mask", step)
        masked_BTM = spec_augment(features_BTM, frames_B, generator, **self.masks)
        log_probs_BNV, outputs_B = log_probabilities(model, masked_BTM, frames_B)
        return {"loss": ctc_loss(log_probs_BNV, outputs_B, labels_BU, units_B)}

    def exported(self, model: Wav2Vec2BertForCTC) -> PreTrainedModel:
        """Return the recogniser, output layer included."""
        return model

    def training_flops(
        self, model: Wav2Vec2BertForCTC, batch_size: int, sequence_length: int
    ) -> int:
        """Return the operations of an update over full rows of frames, multiply-add = 2."""
        return training_flops(model, batch_size, sequence_length)
