"""CLIP of transformers, from settings and a vocabulary, and its operations.

B images, C channels, S pixels a side, P patches; N texts, T positions; D shared dimensions.
"""

import torch
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPModel

from repro.errors import UserError
from repro.nn import flops
from repro.text.tokenizer import VocabInfo
from repro.vision.colours import MEAN, STD


def clip(
    vocab: VocabInfo,
    /,
    *,
    image_size: int,
    patch: int,
    hidden: int,
    layers: int,
    heads: int,
    intermediate: int,
    text_hidden: int,
    text_layers: int,
    text_heads: int,
    text_intermediate: int,
    max_positions: int = 77,
    projection: int = 512,
    activation: str = "gelu",
    recompute: bool = False,
) -> CLIPModel:
    """Return a CLIPModel, freshly initialised from torch's global generator.

    A vision transformer (hidden, layers, heads, intermediate) on patches of `patch` pixels and a
    causal text transformer (text_*), read at [SEP]; both projected to `projection` dimensions.
    recompute: keep no activations inside layers. Its temperature starts at 0.07.
    Raises UserError if heads or patches do not divide. Source: Radford et al. 2021.
    """
    for name, width, count in (("heads", hidden, heads), ("text_heads", text_hidden, text_heads),
                               ("patch", image_size, patch)):
        if count < 1 or width % count:
            raise UserError(f"{name} = {count}: must divide {width}")
    if min(layers, text_layers) < 1:
        raise UserError(f"layers = {layers}, text_layers = {text_layers}: expected at least 1")
    vision = {"image_size": image_size, "patch_size": patch, "hidden_size": hidden,
              "num_hidden_layers": layers, "num_attention_heads": heads,
              "intermediate_size": intermediate}
    text = {"vocab_size": vocab.size, "hidden_size": text_hidden,
            "num_hidden_layers": text_layers, "num_attention_heads": text_heads,
            "intermediate_size": text_intermediate, "max_position_embeddings": max_positions,
            "pad_token_id": vocab.pad, "bos_token_id": vocab.cls, "eos_token_id": vocab.sep}
    common = {"hidden_act": activation, "projection_dim": projection}
    config = CLIPConfig(text_config=text | common, vision_config=vision | common,
                        projection_dim=projection)
    config._attn_implementation = "sdpa"
    model = CLIPModel(config)
    if recompute:
        model.activation_checkpointing_enable()
    return model


def embed_images(
    model: CLIPModel, images_BCSS: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the images (B, D) and their patches (B, P, D) in the shared space, of length 1.

    images_BCSS uint8. A patch is taken where the image is: behind the last layer's LayerNorm and
    through the image's projection.
    """
    place = {"device": model.device, "dtype": torch.float32}
    mean, std = (torch.tensor(values, **place).view(3, 1, 1) for values in (MEAN, STD))
    pixels = (images_BCSS.to(model.device).float() / 255 - mean) / std
    found = model.vision_model(pixel_values=pixels)
    patches = model.vision_model.post_layernorm(found.last_hidden_state[:, 1:])
    return (F.normalize(model.visual_projection(found.pooler_output), dim=-1),
            F.normalize(model.visual_projection(patches), dim=-1))


def embed_texts(model: CLIPModel, tokens_NT: torch.Tensor) -> torch.Tensor:
    """Return texts in the shared space, (N, D), of length 1. tokens_NT int64 with [CLS] and [SEP];
    what follows [SEP] is not seen, as no position looks at a later one.

    Raises UserError if a text is longer than the model's positions.
    """
    limit = model.config.text_config.max_position_embeddings
    if tokens_NT.shape[1] > limit:
        raise UserError(
            f"texts of {tokens_NT.shape[1]} tokens: the model has max_positions = {limit}")
    found = model.text_model(input_ids=tokens_NT.to(model.device))
    return F.normalize(model.text_projection(found.pooler_output), dim=-1)


def forward_flops(model: CLIPModel, images: int, texts: int, length: int) -> int:
    """Return the operations of embedding images and texts of T positions; multiply-add = 2.

    Matrix products only. Patches are not projected: see `patch_flops`.
    """
    vision, text = model.config.vision_config, model.config.text_config
    patches = (vision.image_size // vision.patch_size) ** 2
    pixels = vision.num_channels * vision.patch_size**2
    embedding = flops.linear(images * patches, pixels, vision.hidden_size)
    projections = (flops.linear(images, vision.hidden_size, model.projection_dim)
                   + flops.linear(texts, text.hidden_size, model.projection_dim))
    return (embedding + projections + flops.encoder(vision, images, patches + 1)
            + flops.encoder(text, texts, length))


def patch_flops(model: CLIPModel, images: int) -> int:
    """Return the operations of projecting every patch."""
    vision = model.config.vision_config
    patches = images * (vision.image_size // vision.patch_size) ** 2
    return flops.linear(patches, vision.hidden_size, model.projection_dim)
