"""Reading units from video by connectionist temporal classification.

B clips, T frames, C channels, S pixels a side, N outputs, U units of a transcript, V of all.
"""

from collections.abc import Callable
from typing import Any

import torch

from repro.errors import UserError
from repro.losses.ctc import ctc_loss
from repro.nn.video import VideoMAEForCTC, log_probabilities, training_flops
from repro.train.streams import Streams


class VideoCTC:
    """Recognise what is said in clips. encoder: factory `encoder(units)` of a recogniser. classes:
    how many units there must be, the blank included; None = as many as the labels have."""

    def __init__(
        self, *, encoder: Callable[..., VideoMAEForCTC], classes: int | None = None
    ) -> None:
        self.make_encoder, self.classes = encoder, classes

    def build(self, vocab: Any, streams: Streams) -> VideoMAEForCTC:
        """Return the recogniser, initialised from the stream init.encoder. vocab.size: its units.

        Raises UserError if the labels have more units than `classes`.
        """
        classes = self.classes or vocab.size
        if hasattr(vocab, "units") and vocab.size > classes:
            raise UserError(f"classes = {classes}: the labels have {vocab.size} units")
        streams.seed_global("init.encoder")
        return self.make_encoder(classes)

    def loss(
        self,
        model: VideoMAEForCTC,
        video_BTCSS: torch.Tensor,
        labels_BU: torch.Tensor,
        units_B: torch.Tensor,
        streams: Streams,
        step: int,
    ) -> dict[str, torch.Tensor]:
        """Return {"loss": nats a unit}. A batch of `repro.lips.batches`, on the CPU.

        Raises UserError for a transcript that no path of the outputs fits: CTC would pass it over.
        """
        log_probs_BNV = log_probabilities(model, video_BTCSS)
        outputs = log_probs_BNV.shape[1]
        needed = int(places_of(labels_BU, units_B).max())
        if needed > outputs:
            raise UserError(f"video CTC: a transcript needs {needed} outputs, the model has "
                            f"{outputs}: lower its strides, or leave out long clips")
        outputs_B = torch.full_like(units_B, outputs)
        return {"loss": ctc_loss(log_probs_BNV, outputs_B, labels_BU, units_B)}

    def exported(self, model: VideoMAEForCTC) -> VideoMAEForCTC:
        """Return the recogniser, output layer included."""
        return model

    def training_flops(
        self, model: VideoMAEForCTC, batch_size: int, sequence_length: int
    ) -> int:
        """Return the operations of an update, multiply-add = 2."""
        return training_flops(model, batch_size)


def places_of(labels_BU: torch.Tensor, units_B: torch.Tensor) -> torch.Tensor:
    """Return the outputs that CTC needs for each transcript: one a unit, and a blank between equal
    neighbours."""
    inside_BU = torch.arange(1, labels_BU.shape[1]) < units_B[:, None]
    return units_B + ((labels_BU[:, 1:] == labels_BU[:, :-1]) & inside_BU).sum(dim=1)
