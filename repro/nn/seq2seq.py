"""Encoder-decoders of transformers, and what an update of one costs.

B rows, S positions read, T positions written, D hidden size.
"""

from pathlib import Path

import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import MBartConfig

from repro.errors import UserError
from repro.nn import flops, published
from repro.text.tokenizer import VocabInfo


class MBartForConditionalGeneration(transformers.MBartForConditionalGeneration):
    """transformers' class under its own name: what it saves, AutoModelForSeq2SeqLM loads."""


def mbart(
    vocab: VocabInfo,
    /,
    *,
    hidden: int,
    layers: int,
    heads: int,
    intermediate: int,
    max_positions: int = 1024,
    dropout: float = 0.1,
    attention_dropout: float = 0.1,
    initializer_range: float = 0.02,
    weights: str | None = None,
    revision: str = "main",
) -> MBartForConditionalGeneration:
    """Return an mBART: `layers` layers on each side, one embedding matrix for both and the head.

    weights: a model of the hub of this shape to begin from; None = fresh, from torch's global
    generator. On the meta device only the shape is made, so a dry run needs no weights.
    Raises UserError if heads does not divide hidden, and for weights that are neither cached nor
    reachable, or of another shape. Source: Liu et al. 2020, section 2.2.
    """
    if heads < 1 or hidden % heads:
        raise UserError(f"heads = {heads}: must divide hidden = {hidden}")
    if layers < 1:
        raise UserError(f"layers = {layers}: expected at least 1")
    config = MBartConfig(
        vocab_size=vocab.size,
        pad_token_id=vocab.pad,
        bos_token_id=vocab.cls,
        eos_token_id=vocab.sep,
        forced_eos_token_id=None,  # what was learnt decides where a sentence ends
        max_position_embeddings=max_positions,
        d_model=hidden,
        encoder_layers=layers,
        decoder_layers=layers,
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=intermediate,
        decoder_ffn_dim=intermediate,
        dropout=dropout,
        attention_dropout=attention_dropout,
        init_std=initializer_range,
        scale_embedding=True,
        tie_word_embeddings=True,
        attn_implementation="sdpa",
    )
    model = MBartForConditionalGeneration(config)
    if weights is None or model.device.type == "meta":
        return model
    found = published.fetch(transformers.MBartForConditionalGeneration, weights, revision)
    fill(model, found.state_dict(), weights)
    return model


def from_stage(model: MBartForConditionalGeneration, folder: Path, /) -> None:
    """Give the model the weights that a stage before left in a folder; its own settings (dropout)
    stay. Raises UserError where there are none, or of another shape."""
    path = Path(folder) / "model.safetensors"
    try:
        fill(model, load_file(path), str(path))
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: no readable weights; run the stage before again") from error


def fill(
    model: MBartForConditionalGeneration, weights: dict[str, torch.Tensor], source: str
) -> None:
    """Load weights by name; tied ones may be given once. Raises UserError naming a wrong shape."""
    wanted = dict(model.named_parameters()) | dict(model.named_buffers())
    for name, tensor in wanted.items():
        if name in weights and weights[name].shape != tensor.shape:
            raise UserError(f"{source}: {name} is {tuple(weights[name].shape)}, expected "
                            f"{tuple(tensor.shape)}")
    # Parameters without the tied copies: all of them must be there.
    if missing := sorted(set(dict(model.named_parameters())) - set(weights)):
        raise UserError(f"{source}: {missing[0]} is missing")
    model.load_state_dict(weights, strict=False)
    model.tie_weights()


def training_flops(config: MBartConfig, rows: int, source: int, target: int) -> int:
    """Return the operations of an update on (B, S) and (B, T) tokens; multiply-add = 2.

    Matrix products only. Encoder layer: four D x D maps, two D x F maps, S x S attention. Decoder
    layer: the same over T, and attention from T to S, of whose four maps two run over S. Head: B T.
    """
    hidden, inner = config.d_model, config.encoder_ffn_dim
    read, written = rows * source, rows * target
    encoder = _layer(read, source, hidden, inner)
    cross = 2 * flops.linear(written, hidden, hidden) + 2 * flops.linear(read, hidden, hidden)
    cross += 2 * flops.linear(written, source, hidden)
    decoder = _layer(written, target, hidden, inner) + cross
    head = flops.linear(written, hidden, config.vocab_size)
    return flops.training(config.encoder_layers * encoder + config.decoder_layers * decoder + head)


def _layer(tokens: int, length: int, hidden: int, inner: int) -> int:
    """Return the forward operations of self-attention and the two maps behind it."""
    maps = 4 * flops.linear(tokens, hidden, hidden) + 2 * flops.linear(tokens, hidden, inner)
    return maps + 2 * flops.linear(tokens, length, hidden)
