"""Decoders of the Llama 3 kind: fewer heads for keys than for queries, long rotary periods."""

from transformers import LlamaConfig

from repro.errors import UserError
from repro.nn.decoders import LlamaForCausalLM
from repro.text.tokenizer import VocabInfo


def llama3(
    vocab: VocabInfo,
    /,
    *,
    hidden: int,
    layers: int,
    heads: int,
    key_heads: int,
    intermediate: int,
    max_positions: int = 131072,
    tied: bool = True,
    rope_theta: float = 500000.0,
    rope_factor: float = 32.0,
) -> LlamaForCausalLM:
    """Return a decoder with grouped queries, freshly initialised from torch's global generator.

    key_heads: of keys and values; rope_factor: by how much the slow rotations are stretched beyond
    8,192 positions. Raises UserError where heads do not divide hidden, or key_heads heads.
    Source: Llama 3.2's published configuration.
    """
    if heads < 1 or hidden % heads or key_heads < 1 or heads % key_heads:
        raise UserError(f"heads = {heads}, key_heads = {key_heads}: must divide hidden = {hidden} "
                        "and heads")
    rotation = {"rope_type": "llama3", "rope_theta": rope_theta, "factor": rope_factor,
                "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192}
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=vocab.size, pad_token_id=vocab.pad, bos_token_id=vocab.cls,
        eos_token_id=vocab.sep, hidden_size=hidden, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=key_heads, intermediate_size=intermediate,
        max_position_embeddings=max_positions, tie_word_embeddings=tied, rms_norm_eps=1e-5,
        rope_parameters=rotation, attn_implementation="sdpa",
    ))
