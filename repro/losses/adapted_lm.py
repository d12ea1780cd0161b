"""Causal language modelling by a decoder of which only low-rank updates are trained.

B sequences, T positions.
"""

import torch
from peft import PeftModel
from torch import nn
from transformers import PreTrainedModel

from repro.losses.causal_lm import CausalLM, next_tokens
from repro.losses.cross_entropy import mean_cross_entropy
from repro.nn import flops, lora
from repro.train.streams import Streams


class AdaptedLM(CausalLM):
    """Predict the kept tokens. decoder: factory of a decoder with updates (`repro.nn.lora`)."""

    def loss(
        self,
        model: PeftModel,
        tokens_BT: torch.Tensor,
        keep_BT: torch.Tensor,
        streams: Streams,
        step: int,
    ) -> dict[str, torch.Tensor]:
        """Return {"loss": nats per kept token}. tokens_BT int64, keep_BT bool, on the CPU."""
        decoder = model.get_base_model()
        hidden_ND, targets_N = next_tokens(decoder, tokens_BT, keep_BT)
        return {"loss": mean_cross_entropy(decoder.lm_head(hidden_ND), targets_N)}

    def exported(self, model: PeftModel) -> PreTrainedModel:
        """Return a plain decoder, the updates added to its weights."""
        return lora.merged(model)

    def training_flops(self, model: PeftModel, batch_size: int, sequence_length: int) -> int:
        """Return the operations of an update over full rows, multiply-add = 2: a frozen weight
        needs no gradient of its own."""
        decoder = model.get_base_model()
        config, rows = decoder.config, batch_size * sequence_length
        total = config.num_hidden_layers * flops.training(
            2 * flops.linear(rows, sequence_length, config.hidden_size))
        for layer in decoder.model.modules():
            if isinstance(layer, nn.Linear):
                forward = flops.linear(rows, layer.in_features, layer.out_features)
                total += flops.training(forward) if layer.weight.requires_grad else 2 * forward
        head = flops.linear(batch_size * (sequence_length - 1), config.hidden_size,
                            config.vocab_size)
        return total + 2 * head
