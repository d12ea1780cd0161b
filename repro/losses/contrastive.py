"""Contrastive learning of images and texts. B images, K texts an image, T positions, D dimensions.

Source: Radford et al. 2021 (CLIP); several positives as in Zheng et al. 2024 (DreamLIP), code.
"""

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F
from transformers import CLIPModel

from repro.errors import UserError
from repro.nn import flops
from repro.nn.clip import embed_images, embed_texts, forward_flops
from repro.text.tokenizer import VocabInfo
from repro.train.streams import Streams

SCALE = "logit_scale"  # how the names of parameters that hold a log inverse temperature end


def info_nce(left_ND: torch.Tensor, right_ND: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Return the symmetric InfoNCE loss of N pairs, a scalar in nats.

    Half the cross-entropy of finding right n among all for left n, and half the other way, over
    scale * <left, right>; vectors of length 1.
    """
    logits_NN = scale * left_ND @ right_ND.T
    targets_N = torch.arange(len(logits_NN), device=logits_NN.device)
    return (F.cross_entropy(logits_NN, targets_N) + F.cross_entropy(logits_NN.T, targets_N)) / 2


def multi_positive(
    images_BD: torch.Tensor, texts_BKD: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """Return the mean over k of the symmetric InfoNCE of images and their k-th texts.

    Each text is a positive of its own; negatives are the k-th texts of the other images. K = 1 is
    CLIP's loss. Source: Zheng et al. 2024, section 3.2, and code.
    """
    terms = [info_nce(images_BD, texts_BD, scale) for texts_BD in texts_BKD.unbind(dim=1)]
    return torch.stack(terms).mean()


class ImageText:
    """CLIP's objective: each image and each of its texts find each other in the batch.

    model: factory `model(vocab)` of a CLIPModel. Loss: `multi_positive`.
    """

    def __init__(self, *, model: Callable[..., CLIPModel]) -> None:
        self.make_model = model

    def build(self, vocab: VocabInfo, streams: Streams) -> CLIPModel:
        """Return the model, initialised from the stream init.model."""
        streams.seed_global("init.model")
        return self.make_model(vocab)

    def loss(
        self,
        model: CLIPModel,
        images_BCSS: torch.Tensor,
        tokens_BKT: torch.Tensor,
        streams: Streams,
        step: int,
    ) -> dict[str, torch.Tensor]:
        """Return {"loss": nats}. images_BCSS uint8, tokens_BKT int64, both on the CPU."""
        images_BD = embed_images(model, images_BCSS)
        texts_BKD = embed_groups(model, tokens_BKT)
        return {"loss": multi_positive(images_BD, texts_BKD, model.logit_scale.exp())}

    def exported(self, model: CLIPModel) -> CLIPModel:
        """Return the model itself."""
        return model

    def training_flops(
        self, model: CLIPModel, batch_size: int, texts: int, sequence_length: int
    ) -> int:
        """Return the operations of an update over texts of full length, multiply-add = 2."""
        return flops.training(
            forward_flops(model, batch_size, batch_size * texts, sequence_length)
            + similarity_flops(model, batch_size, texts))


def embed_groups(model: CLIPModel, tokens_BKT: torch.Tensor) -> torch.Tensor:
    """Return the texts of each image in the shared space, (B, K, D)."""
    return embed_texts(model, tokens_BKT.flatten(0, 1)).unflatten(0, tokens_BKT.shape[:2])


def similarity_flops(model: CLIPModel, batch_size: int, texts: int) -> int:
    """Return the operations of comparing each image with every text of the batch."""
    return flops.linear(batch_size, model.projection_dim, batch_size * texts)


@torch.no_grad()
def clamp_scales(
    model: nn.Module, optimizer: torch.optim.Optimizer, step: int, /, *, most: float = 100.0
) -> None:
    """Keep each inverse temperature between 1 and `most`, after an update.

    Source: Radford et al. 2021, section 2.5; the lower end as in open_clip.
    """
    if not most > 1:
        raise UserError(f"clamp_scales.most = {most}: expected above 1")
    for name, parameter in model.named_parameters():
        if name.endswith(SCALE):
            parameter.clamp_(0.0, math.log(most))
