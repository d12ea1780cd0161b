"""Causal language modelling. B sequences, T positions, N predicted tokens, D hidden, V words."""

from collections.abc import Callable

import torch
from torch import nn
from transformers import PreTrainedModel

from repro.losses.cross_entropy import mean_cross_entropy
from repro.nn import decoder_flops, swap
from repro.nn.decoders import hidden_states
from repro.text.tokenizer import VocabInfo
from repro.train.streams import Streams


def next_tokens(
    decoder: PreTrainedModel, tokens_BT: torch.Tensor, keep_BT: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (hidden_ND, targets_N): each kept token and the state at the position before it.

    tokens_BT int64, keep_BT bool (False = padding, at the ends of rows), both on the CPU; the
    results are on the decoder's device. Raises ValueError if no token is kept.
    """
    kept_N = keep_BT[:, 1:].flatten().nonzero()[:, 0] if not bool(keep_BT.all()) else None
    if kept_N is not None and not len(kept_N):
        raise ValueError("causal language modelling: no token to predict")
    device = decoder.device
    hidden_ND = hidden_states(decoder, tokens_BT.to(device))[:, :-1].flatten(0, 1)
    targets_N = tokens_BT[:, 1:].flatten().to(device)
    if kept_N is not None:
        hidden_ND, targets_N = hidden_ND[kept_N.to(device)], targets_N[kept_N.to(device)]
    return hidden_ND, targets_N


class CausalLM:
    """Predict the next token, at every position but the last.

    decoder: factory `decoder(vocab)`; its layers may be replaced (`repro.nn.swap`).
    """

    def __init__(self, *, decoder: Callable[..., PreTrainedModel]) -> None:
        self.make_decoder = decoder

    def build(self, vocab: VocabInfo, streams: Streams) -> PreTrainedModel:
        """Return the decoder, initialised from the stream init.decoder."""
        streams.seed_global("init.decoder")
        return self.make_decoder(vocab)

    def loss(
        self,
        model: PreTrainedModel,
        tokens_BT: torch.Tensor,
        keep_BT: torch.Tensor,
        streams: Streams,
        step: int,
    ) -> dict[str, torch.Tensor]:
        """Return {"loss": nats per token}. tokens_BT int64, keep_BT bool, on the CPU."""
        hidden_ND, targets_N = next_tokens(model, tokens_BT, keep_BT)
        return {"loss": mean_cross_entropy(model.lm_head(hidden_ND), targets_N)}

    def exported(self, model: PreTrainedModel) -> nn.Module:
        """Return the decoder with plain linear layers: itself, or a merged copy."""
        return swap.merged(model)

    def training_flops(
        self, model: PreTrainedModel, batch_size: int, sequence_length: int
    ) -> int:
        """Return the operations of an update over full rows, multiply-add = 2."""
        return decoder_flops.training(model, batch_size, sequence_length)
