"""TODO: what the paper invented, nothing else. B images, K texts an image, T positions."""

import torch
from transformers import CLIPModel

from repro.losses.contrastive import ImageText
from repro.train.streams import Streams


class Invention(ImageText):
    """TODO: say what it is, and where in the paper. As it stands it is the baseline."""

    def loss(
        self,
        model: CLIPModel,
        images_BCSS: torch.Tensor,
        tokens_BKT: torch.Tensor,
        streams: Streams,
        step: int,
    ) -> dict[str, torch.Tensor]:
        """Return {"loss": nats}. images_BCSS uint8, tokens_BKT int64, both on the CPU."""
        return super().loss(model, images_BCSS, tokens_BKT, streams, step)
