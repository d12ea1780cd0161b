"""GPT-2 of transformers, from settings and a vocabulary, or with published weights.

B sequences, T positions, D hidden size.
"""

import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from repro.errors import UserError
from repro.nn import flops
from repro.nn import published as weights
from repro.text.tokenizer import VocabInfo


def decoder(
    vocab: VocabInfo,
    /,
    *,
    hidden: int = 768,
    layers: int = 12,
    heads: int = 12,
    max_positions: int = 1024,
    dropout: float = 0.1,
) -> GPT2LMHeadModel:
    """Return a GPT-2 with its tied head, freshly initialised from torch's global generator.

    Learned positions, LayerNorm before each part, GELU, MLP of 4 D. Raises UserError if heads does
    not divide hidden. Source: Radford et al. 2019.
    """
    if heads < 1 or hidden % heads:
        raise UserError(f"heads = {heads}: must divide hidden = {hidden}")
    if layers < 1:
        raise UserError(f"layers = {layers}: expected at least 1")
    config = GPT2Config(
        vocab_size=vocab.size,
        pad_token_id=vocab.pad,
        bos_token_id=vocab.sep,
        eos_token_id=vocab.sep,
        n_embd=hidden,
        n_layer=layers,
        n_head=heads,
        n_positions=max_positions,
        resid_pdrop=dropout,
        embd_pdrop=dropout,
        attn_pdrop=dropout,
        use_cache=False,
        attn_implementation="sdpa",
    )
    return GPT2LMHeadModel(config)


def published(
    vocab: VocabInfo,
    /,
    *,
    model: str,
    revision: str,
    hidden: int = 768,
    layers: int = 12,
    heads: int = 12,
    max_positions: int = 1024,
    dropout: float = 0.1,
) -> GPT2LMHeadModel:
    """Return a GPT-2 with the weights of a model of the hub.

    hidden, layers, heads, max_positions: its shape, as the paper gives it; a model of another shape
    is refused. On the meta device only the shape is made, so a dry run needs no weights.
    Raises UserError when the weights are neither in the cache nor reachable, or of another shape.
    """
    made = decoder(vocab, hidden=hidden, layers=layers, heads=heads, max_positions=max_positions,
                   dropout=dropout)
    if made.device.type == "meta":
        return made
    found = weights.fetch(AutoModelForCausalLM, model, revision)
    weights.fill(made, found.state_dict(), model)
    return made


def hidden_states(decoder: GPT2LMHeadModel, inputs_BTD: torch.Tensor) -> torch.Tensor:
    """Return the last hidden states of embedded inputs, (B, T, D) float.

    Padding at the end of a row needs no mask: no position looks at a later one. The layers are
    called one by one because the model's own forward pass looks for several texts in a row, and
    waits for an accelerator to find none.
    Raises UserError if the sequence is longer than the decoder's positions.
    """
    limit = decoder.config.n_positions
    if inputs_BTD.shape[1] > limit:
        raise UserError(f"sequence of {inputs_BTD.shape[1]} positions: the decoder has "
                        f"max_positions = {limit}")
    model = decoder.transformer
    places_T = torch.arange(inputs_BTD.shape[1], device=inputs_BTD.device)
    hidden_BTD = model.drop(inputs_BTD + model.wpe(places_T))
    for block in model.h:
        hidden_BTD = block(hidden_BTD, attention_mask=None)
    return model.ln_f(hidden_BTD)


def trunk_flops(config: GPT2Config, rows: int, length: int) -> int:
    """Return the forward operations of the layers on (rows, length) positions, head apart.

    Per layer: maps of D x 3 D, D x D, and D x 4 D twice; scores and weighted sum over T x T.
    """
    positions, hidden = rows * length, config.n_embd
    layer = 12 * flops.linear(positions, hidden, hidden)
    layer += 2 * flops.linear(positions, length, hidden)
    return config.n_layer * layer
