"""Floating-point operations of decoders, from their layers; multiply-add = 2.

Matrix products only, as torch's FlopCounterMode counts them. B sequences, T positions.
"""

from torch import nn
from transformers import PreTrainedModel

from repro.nn import flops
from repro.nn.swap import Reparametrised


def training(decoder: PreTrainedModel, batch_size: int, length: int) -> int:
    """Return the operations of an update on (B, T) tokens: the head predicts B (T - 1) of them.

    Every linear layer by its own count (replaced ones know theirs), scores and weighted sum over
    T x T of each layer, and the head.
    """
    rows, config = batch_size * length, decoder.config
    total = config.num_hidden_layers * flops.training(
        2 * flops.linear(rows, length, config.hidden_size)
    )
    for layer in decoder.model.modules():
        if isinstance(layer, Reparametrised):
            total += layer.training_flops(rows)
        elif isinstance(layer, nn.Linear):
            forward = flops.linear(rows, layer.in_features, layer.out_features)
            total += flops.training(forward)
    head = flops.linear(batch_size * (length - 1), config.hidden_size, config.vocab_size)
    return total + flops.training(head)
