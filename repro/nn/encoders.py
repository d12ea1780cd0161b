"""Encoders of transformers, from settings and a vocabulary.

B sequences, T positions, D hidden size.
"""

import torch
from transformers import BertConfig, BertModel, ElectraConfig, ElectraModel, PreTrainedModel

from repro.errors import UserError
from repro.nn.dropout import make_cheap
from repro.nn.local_attention import attend_locally
from repro.text.tokenizer import VocabInfo


def bert(
    vocab: VocabInfo,
    /,
    *,
    hidden: int = 128,
    layers: int = 2,
    heads: int = 2,
    intermediate: int = 512,
    max_positions: int = 128,
    segments: int = 2,
    dropout: float = 0.1,
    attention_dropout: float = 0.1,
    activation: str = "gelu",
    initializer_range: float = 0.02,
    layer_norm_eps: float = 1e-12,
    local_heads: tuple[int, ...] = (),
) -> BertModel:
    """Return a BertModel without pooler, freshly initialised from torch's global generator.

    Embeddings are as wide as the hidden states. local_heads: offsets at which heads begin to look
    (`repro.nn.local_attention`); empty = the usual initialisation.
    Raises UserError if heads does not divide hidden. Source: Devlin et al. 2019.
    """
    _check(hidden, layers, heads)
    config = BertConfig(
        vocab_size=vocab.size,
        pad_token_id=vocab.pad,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=intermediate,
        max_position_embeddings=max_positions,
        type_vocab_size=segments,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=attention_dropout,
        hidden_act=activation,
        initializer_range=initializer_range,
        layer_norm_eps=layer_norm_eps,
        attn_implementation="sdpa",
    )
    return _finish(BertModel(config, add_pooling_layer=False), local_heads)


def electra(
    vocab: VocabInfo,
    /,
    *,
    hidden: int = 128,
    layers: int = 2,
    heads: int = 2,
    intermediate: int = 512,
    embedding: int = 128,
    max_positions: int = 128,
    segments: int = 2,
    dropout: float = 0.1,
    attention_dropout: float = 0.1,
    activation: str = "gelu",
    initializer_range: float = 0.02,
    layer_norm_eps: float = 1e-12,
    local_heads: tuple[int, ...] = (),
) -> ElectraModel:
    """Return an ElectraModel, freshly initialised from torch's global generator.

    A linear map takes embeddings to the hidden size where the two differ. local_heads: see `bert`.
    Raises UserError if heads does not divide hidden. Source: Clark et al. 2020.
    """
    _check(hidden, layers, heads)
    config = ElectraConfig(
        vocab_size=vocab.size,
        pad_token_id=vocab.pad,
        embedding_size=embedding,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=intermediate,
        max_position_embeddings=max_positions,
        type_vocab_size=segments,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=attention_dropout,
        hidden_act=activation,
        initializer_range=initializer_range,
        layer_norm_eps=layer_norm_eps,
        attn_implementation="sdpa",
    )
    return _finish(ElectraModel(config), local_heads)


def _finish(encoder: PreTrainedModel, local_heads: tuple[int, ...]) -> PreTrainedModel:
    if local_heads:
        attend_locally(encoder, tuple(local_heads))
    return make_cheap(encoder)


def _check(hidden: int, layers: int, heads: int) -> None:
    if heads < 1 or hidden % heads:
        raise UserError(f"heads = {heads}: must divide hidden = {hidden}")
    if layers < 1:
        raise UserError(f"layers = {layers}: expected at least 1")


def encode(
    encoder: PreTrainedModel, tokens_BT: torch.Tensor, keep_BT: torch.Tensor | None
) -> torch.Tensor:
    """Return the last hidden states, (B, T, D) float.

    keep_BT: bool, False = padding; None = nothing is padded, which lets attention run unmasked.
    Raises UserError if the sequence is longer than the encoder's positions.
    """
    limit = encoder.config.max_position_embeddings
    if tokens_BT.shape[1] > limit:
        raise UserError(
            f"sequence of {tokens_BT.shape[1]} tokens: the encoder has max_positions = {limit}"
        )
    return encoder(input_ids=tokens_BT, attention_mask=keep_BT).last_hidden_state


def padding_of(keep_BT: torch.Tensor) -> torch.Tensor | None:
    """Return keep_BT, or None where nothing is padded."""
    return None if bool(keep_BT.all()) else keep_BT


def share_embeddings(owner: PreTrainedModel, other: PreTrainedModel) -> None:
    """Make other use the embedding layer of owner: tokens, positions, segments and LayerNorm.

    Raises UserError when the two sizes differ. Source: Clark et al. 2020, section 3.2 and code.
    """
    wide = owner.embeddings.word_embeddings.weight.shape
    narrow = other.embeddings.word_embeddings.weight.shape
    if wide != narrow:
        raise UserError(
            f"tie_embeddings: embedding sizes differ, {tuple(wide)} and {tuple(narrow)}"
        )
    other.embeddings = owner.embeddings
