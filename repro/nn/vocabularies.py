"""Decoders in which the vocabulary stands apart: for phases of training that differ in theirs."""

from collections.abc import Callable
from dataclasses import replace

from torch import nn
from transformers import PreTrainedModel

from repro.errors import UserError
from repro.text.tokenizer import VocabInfo


def own_vocabulary(
    vocab: VocabInfo, /, *, decoder: Callable[..., PreTrainedModel], embedding_std: float = 1.0
) -> PreTrainedModel:
    """Return decoder(vocab) with its embedding and head drawn after, and apart from, its body.

    One seed gives bodies of equal first weights whatever the vocabulary, so that a phase of no
    updates before another one changes nothing. embedding_std: of the embedding, N(0, std^2); the
    head is a linear layer as torch begins it, uniform within 1 / sqrt(hidden). Both from torch's
    global generator. Raises UserError for a decoder whose head is its embedding.
    """
    if not embedding_std > 0:
        raise UserError(f"embedding_std = {embedding_std}: expected a positive number")
    model = decoder(replace(vocab, size=1, pad=0, unk=0, cls=0, sep=0, mask=0, special=(0,)))
    if model.config.tie_word_embeddings:
        raise UserError("own_vocabulary: the decoder is tied: its head is its embedding")
    width = model.config.hidden_size
    model.set_input_embeddings(nn.Embedding(vocab.size, width))
    nn.init.normal_(model.get_input_embeddings().weight, std=embedding_std)
    model.set_output_embeddings(nn.Linear(width, vocab.size, bias=False))
    model.config.vocab_size = model.vocab_size = vocab.size
    ids = {"pad_token_id": vocab.pad, "bos_token_id": vocab.cls, "eos_token_id": vocab.sep}
    for name, index in ids.items():
        setattr(model.config, name, index)
        setattr(model.generation_config, name, index)
    return model


def attention_dropout(
    vocab: VocabInfo, /, *, decoder: Callable[..., PreTrainedModel], rate: float
) -> PreTrainedModel:
    """Return decoder(vocab) that drops a share of the attention weights in training."""
    if not 0 <= rate < 1:
        raise UserError(f"attention_dropout.rate = {rate}: expected 0 or more, below 1")
    model = decoder(vocab)
    model.config.attention_dropout = rate
    for module in model.modules():
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = rate
    return model
