"""TODO: what the paper invented, nothing else. B sequences, T positions."""

import torch

from repro.losses.masked_lm import MaskedLM, MaskedLMModel
from repro.train.streams import Streams


class Invention(MaskedLM):
    """TODO: say what it is, and where in the paper. As it stands it is the baseline."""

    def loss(
        self,
        model: MaskedLMModel,
        tokens_BT: torch.Tensor,
        keep_BT: torch.Tensor,
        streams: Streams,
        step: int,
    ) -> dict[str, torch.Tensor]:
        """Return {"loss": nats per chosen token}. tokens_BT int64, keep_BT bool, on the CPU."""
        return super().loss(model, tokens_BT, keep_BT, streams, step)
