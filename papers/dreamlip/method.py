"""DreamLIP: sentences of a long caption as positives, and patches grouped by sentence.

B images, K texts an image, P patches, T positions, S pixels a side, D shared dimensions.
Source: Zheng et al. 2024, section 3, and the authors' code where the paper is silent.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import CLIPModel

from repro.errors import UserError
from repro.losses.contrastive import (
    ImageText,
    embed_groups,
    info_nce,
    multi_positive,
    similarity_flops,
)
from repro.nn import flops
from repro.nn.clip import embed_patches, forward_flops
from repro.text.tokenizer import VocabInfo
from repro.train.streams import Streams
from repro.vision.texts import RAW, SENTENCES

TEMPERATURE = 0.07
EPSILON = 1e-10


class SubCaptions:
    """Sentences drawn anew at each visit of an image: a `repro.vision.texts.Choice`.

    count: sentences, without repetition where the caption has as many. with_raw: the image's own
    caption is one more text. Source: section 3.2; code (num_text).
    """

    def __init__(self, *, count: int, with_raw: bool = True) -> None:
        if count < 1:
            raise UserError(f"SubCaptions.count = {count}: expected at least 1")
        self.count, self.with_raw = count, with_raw
        self.number = count + with_raw

    def __call__(self, available: int, rng: np.random.Generator, /) -> list[int]:
        """Return which of a picture's texts are read, as places. Raises UserError if it has no
        sentence."""
        sentences = available - SENTENCES
        if sentences < 1:
            raise UserError("SubCaptions: a picture has no sentence of a long caption")
        drawn = rng.choice(sentences, self.count, replace=sentences < self.count) + SENTENCES
        return [RAW, *drawn.tolist()] if self.with_raw else drawn.tolist()


def weights(
    patches_BPD: torch.Tensor, texts_BKD: torch.Tensor, threshold: float | None
) -> torch.Tensor:
    """Return what each patch weighs for each text of its image, (B, K, P), sums of 1.

    Similarities, stretched to [0, 1] over the patches, set to 0 below the threshold (None = 1/P),
    and divided by their sum. Vectors of length 1. Source: section 3.3; code (sgl_norm minmax).
    """
    likeness_BKP = texts_BKD @ patches_BPD.mT
    least, most = likeness_BKP.aminmax(dim=-1, keepdim=True)
    share_BKP = (likeness_BKP - least) / (most - least + EPSILON)
    bound = 1 / patches_BPD.shape[1] if threshold is None else threshold
    share_BKP = torch.where(share_BKP < bound, 0.0, share_BKP)
    return share_BKP / share_BKP.sum(dim=-1, keepdim=True).clamp(min=EPSILON)


def grouped(
    patches_BPD: torch.Tensor, texts_BKD: torch.Tensor, threshold: float | None
) -> torch.Tensor:
    """Return the patches of each image put together for each of its texts, (B, K, D), length 1."""
    weights_BKP = weights(patches_BPD, texts_BKD, threshold)
    return F.normalize(weights_BKP @ patches_BPD, dim=-1)


def grouping_loss(
    patches_BPD: torch.Tensor,
    texts_BKD: torch.Tensor,
    scale: torch.Tensor,
    threshold: float | None,
) -> torch.Tensor:
    """Return the symmetric InfoNCE of all B K groups of patches with their texts, in nats.

    Negatives are the other texts of the same image and all of the others. Source: section 3.3.
    """
    groups_BKD = grouped(patches_BPD, texts_BKD, threshold)
    return info_nce(groups_BKD.flatten(0, 1), texts_BKD.flatten(0, 1), scale)


class DreamLIPModel(nn.Module):
    """CLIP, and an inverse temperature of its own for groups of patches."""

    def __init__(self, clip: CLIPModel) -> None:
        super().__init__()
        self.clip = clip
        self.local_logit_scale = nn.Parameter(torch.tensor(math.log(1 / TEMPERATURE)))


class DreamLIP(ImageText):
    """`ImageText` and `local_weight` times the grouping loss.

    threshold: least stretched similarity at which a patch counts; None = 1/P.
    """

    def __init__(
        self,
        *,
        model: Callable[..., CLIPModel],
        global_weight: float = 1.0,
        local_weight: float = 1.0,
        threshold: float | None = 0.0,
    ) -> None:
        super().__init__(model=model)
        self.global_weight, self.local_weight = global_weight, local_weight
        self.threshold = threshold

    def build(self, vocab: VocabInfo, streams: Streams) -> DreamLIPModel:
        """Return the model of `ImageText.build` with the second temperature."""
        return DreamLIPModel(super().build(vocab, streams))

    def loss(
        self,
        model: DreamLIPModel,
        images_BCSS: torch.Tensor,
        tokens_BKT: torch.Tensor,
        streams: Streams,
        step: int,
    ) -> dict[str, torch.Tensor]:
        """Return {"loss", "global", "local"}, nats. images uint8, tokens int64, on the CPU."""
        images_BD, patches_BPD = embed_patches(model.clip, images_BCSS)
        texts_BKD = embed_groups(model.clip, tokens_BKT)
        whole = multi_positive(images_BD, texts_BKD, model.clip.logit_scale.exp())
        local = grouping_loss(
            patches_BPD, texts_BKD, model.local_logit_scale.exp(), self.threshold)
        return {"loss": self.global_weight * whole + self.local_weight * local,
                "global": whole.detach(), "local": local.detach()}

    def exported(self, model: DreamLIPModel) -> CLIPModel:
        """Return CLIP."""
        return model.clip

    def training_flops(
        self, model: DreamLIPModel, batch_size: int, texts: int, sequence_length: int
    ) -> int:
        """Return the operations of an update over texts of full length, multiply-add = 2."""
        clip, rows = model.clip, batch_size * texts
        vision = clip.config.vision_config
        patches = (vision.image_size // vision.patch_size) ** 2
        grouping = 2 * flops.linear(rows, clip.projection_dim, patches)  # likeness, weighted sum
        return flops.training(
            forward_flops(clip, batch_size, rows, sequence_length, patches=True)
            + similarity_flops(clip, batch_size, texts)
            + grouping + flops.linear(rows, clip.projection_dim, rows))
