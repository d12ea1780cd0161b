"""Decoders of transformers, from settings and a vocabulary. B sequences, T positions, D hidden."""

from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file
from transformers import LlamaConfig

from repro.errors import UserError
from repro.text.tokenizer import VocabInfo

PARTS = "parts.safetensors"


class LlamaForCausalLM(transformers.LlamaForCausalLM):
    """transformers' class under its own name: what it saves, AutoModelForCausalLM loads.

    parts: tensors that its weights were put together from (see `repro.nn.swap.merged`); saved
    beside the weights, for who wants to look into them.
    """

    parts: dict[str, torch.Tensor] | None = None

    def save_pretrained(self, folder: Path | str, **options: Any) -> None:
        """Write config.json, model.safetensors and, if there are any, the parts."""
        super().save_pretrained(folder, **options)
        if self.parts:
            save_file(self.parts, Path(folder) / PARTS)


def llama(
    vocab: VocabInfo,
    /,
    *,
    hidden: int,
    layers: int,
    heads: int,
    intermediate: int,
    max_positions: int = 1024,
    tied: bool = False,
    initializer_range: float = 0.02,
    rms_norm_eps: float = 1e-6,
) -> LlamaForCausalLM:
    """Return a LLaMA decoder with its head, freshly initialised from torch's global generator.

    RMSNorm, SwiGLU, rotary positions, no bias. tied: the head is the embedding matrix.
    Raises UserError if heads does not divide hidden. Source: Touvron et al. 2023.
    """
    if heads < 1 or hidden % heads:
        raise UserError(f"heads = {heads}: must divide hidden = {hidden}")
    if layers < 1:
        raise UserError(f"layers = {layers}: expected at least 1")
    config = LlamaConfig(
        vocab_size=vocab.size,
        pad_token_id=vocab.pad,
        bos_token_id=vocab.cls,
        eos_token_id=vocab.sep,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=intermediate,
        max_position_embeddings=max_positions,
        tie_word_embeddings=tied,
        initializer_range=initializer_range,
        rms_norm_eps=rms_norm_eps,
        attn_implementation="sdpa",
    )
    return LlamaForCausalLM(config)


def hidden_states(decoder: LlamaForCausalLM, tokens_BT: torch.Tensor) -> torch.Tensor:
    """Return the last hidden states, (B, T, D) float.

    Padding at the end of a row needs no mask: no position looks at a later one. The layers are
    called one by one because the model's own forward pass looks for several texts in a row, and
    waits for an accelerator to find none.
    Raises UserError if the sequence is longer than the decoder's positions.
    """
    limit = decoder.config.max_position_embeddings
    if tokens_BT.shape[1] > limit:
        raise UserError(
            f"sequence of {tokens_BT.shape[1]} tokens: the decoder has max_positions = {limit}"
        )
    model = decoder.model
    hidden_BTD = model.embed_tokens(tokens_BT)
    positions_1T = torch.arange(tokens_BT.shape[1], device=tokens_BT.device)[None]
    rotation = model.rotary_emb(hidden_BTD, position_ids=positions_1T)
    for layer in model.layers:
        hidden_BTD = layer(
            hidden_BTD, attention_mask=None, position_ids=positions_1T, position_embeddings=rotation
        )
    return model.norm(hidden_BTD)
