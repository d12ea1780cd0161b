"""TODO: what the paper invented, nothing else. B utterances, T frames, M mels, U units."""

import torch
from transformers import Wav2Vec2BertForCTC

from repro.losses.ctc import CTC
from repro.train.streams import Streams


class Invention(CTC):
    """TODO: say what it is, and where in the paper. As it stands it is the baseline."""

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
        return super().loss(model, features_BTM, frames_B, labels_BU, units_B, streams, step)
