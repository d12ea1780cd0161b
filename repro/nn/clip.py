"""CLIP of transformers, from settings and a vocabulary, and its operations.

B images, C channels, S pixels a side, P patches; N texts, T positions; H hidden, D shared
dimensions.
"""

import torch
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPModel, PretrainedConfig
from transformers.models.clip.modeling_clip import CLIPEncoderLayer

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


def embed_images(model: CLIPModel, images_BCSS: torch.Tensor) -> torch.Tensor:
    """Return the images in the shared space, (B, D), of length 1. images_BCSS uint8.

    What no reader needs is not computed: of the last layer only what stands at [CLS].
    """
    tower = model.vision_model
    *earlier, last = tower.encoder.layers
    hidden_BTH = _embedded(model, images_BCSS)
    for layer in earlier:
        hidden_BTH = layer(hidden_BTH, None)
    found_BH = _read(last, hidden_BTH, torch.zeros(len(hidden_BTH), dtype=torch.int64))
    return F.normalize(model.visual_projection(tower.post_layernorm(found_BH)), dim=-1)


def embed_patches(
    model: CLIPModel, images_BCSS: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the images (B, D) and their patches (B, P, D) in the shared space, of length 1.

    images_BCSS uint8. A patch is taken where the image is: behind the last layer's LayerNorm and
    through the image's projection.
    """
    tower = model.vision_model
    found = tower.encoder(inputs_embeds=_embedded(model, images_BCSS)).last_hidden_state
    shared = F.normalize(model.visual_projection(tower.post_layernorm(found)), dim=-1)
    return shared[:, 0], shared[:, 1:]


def _embedded(model: CLIPModel, images_BCSS: torch.Tensor) -> torch.Tensor:
    """Return what goes into the first layer for images, (B, 1 + P, H)."""
    place = {"device": model.device, "dtype": torch.float32}
    mean, std = (torch.tensor(values, **place).view(3, 1, 1) for values in (MEAN, STD))
    pixels = (images_BCSS.to(model.device).float() / 255 - mean) / std
    return model.vision_model.pre_layrnorm(model.vision_model.embeddings(pixels))


def embed_texts(model: CLIPModel, tokens_NT: torch.Tensor) -> torch.Tensor:
    """Return texts in the shared space, (N, D), of length 1. tokens_NT int64 with [CLS] and [SEP];
    what follows [SEP] is not seen, as no position looks at a later one.

    Of the last layer only what stands at [SEP] is computed. Raises UserError if a text is longer
    than the model's positions.
    """
    limit = model.config.text_config.max_position_embeddings
    if tokens_NT.shape[1] > limit:
        raise UserError(
            f"texts of {tokens_NT.shape[1]} tokens: the model has max_positions = {limit}")
    tower = model.text_model
    *earlier, last = tower.encoder.layers
    tokens_NT = tokens_NT.to(model.device)
    hidden_NTH = tower.embeddings(input_ids=tokens_NT)
    for layer in earlier:
        hidden_NTH = layer(hidden_NTH, None, is_causal=True)
    ends_N = (tokens_NT == model.config.text_config.eos_token_id).int().argmax(dim=1)
    found_NH = _read(last, hidden_NTH, ends_N, causal=True)
    return F.normalize(model.text_projection(tower.final_layer_norm(found_NH)), dim=-1)


def _read(
    layer: CLIPEncoderLayer, hidden_NTH: torch.Tensor, places_N: torch.Tensor, causal: bool = False
) -> torch.Tensor:
    """Return what a layer makes of one place of each row, (N, H): keys and values of all places,
    all else of that one. causal: it looks at none that comes later."""
    attention, places_N = layer.self_attn, places_N.to(hidden_NTH.device)
    rows_N = torch.arange(len(places_N), device=hidden_NTH.device)
    normed_NTH = layer.layer_norm1(hidden_NTH)
    query, key, value = (
        states.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
        for states in (attention.q_proj(normed_NTH[rows_N, places_N])[:, None],
                       attention.k_proj(normed_NTH), attention.v_proj(normed_NTH)))
    seen = None
    if causal:
        seen_NT = torch.arange(normed_NTH.shape[1], device=places_N.device) <= places_N[:, None]
        seen = seen_NT[:, None, None]
    mixed = F.scaled_dot_product_attention(query, key, value, seen, scale=attention.scale)
    found_NH = hidden_NTH[rows_N, places_N] + attention.out_proj(mixed.flatten(1))
    return found_NH + layer.mlp(layer.layer_norm2(found_NH))


def forward_flops(
    model: CLIPModel, images: int, texts: int, length: int, patches: bool = False
) -> int:
    """Return the operations of embedding images and texts of T positions; multiply-add = 2.

    Matrix products only. patches: through `embed_patches`, else `embed_images`.
    """
    vision, text = model.config.vision_config, model.config.text_config
    count = (vision.image_size // vision.patch_size) ** 2
    pixels = vision.num_channels * vision.patch_size**2
    towers = (flops.encoder(vision, images, count + 1) + flops.encoder(text, texts, length)
              - _unread_flops(text, texts, length))
    if not patches:
        towers -= _unread_flops(vision, images, count + 1)
    shared = images * (count + 1) if patches else images
    return (towers + flops.linear(images * count, pixels, vision.hidden_size)
            + flops.linear(shared, vision.hidden_size, model.projection_dim)
            + flops.linear(texts, text.hidden_size, model.projection_dim))


def _unread_flops(config: PretrainedConfig, rows: int, length: int) -> int:
    """Return what the last layer saves where one place of T is read: queries, scores, sums, output
    and MLP of the others."""
    unread, hidden = rows * (length - 1), config.hidden_size
    return (2 * flops.linear(unread, hidden, hidden)
            + 2 * flops.linear(unread, hidden, config.intermediate_size)
            + 2 * flops.linear(unread, length, hidden))
