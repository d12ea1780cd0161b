"""Forward floating-point operations of a fine-tuned model per example; multiply-add = 2."""

from collections.abc import Iterable

import numpy as np
from torch import nn

from repro.nn import flops


def per_example(encoder: nn.Module, head: nn.Module, lengths: Iterable[int], rows: int) -> float:
    """Return the mean over examples of the forward operations of encoder and head.

    lengths: tokens of each example, without padding. rows: how often the head is applied in all
    (once an example, or once a labelled token). An encoder that is no BERT or ELECTRA stack says
    its own cost in a method `forward_flops(batch_size, length) -> int`.
    """
    values, counts = np.unique(np.asarray(list(lengths)), return_counts=True)
    total = sum(
        int(count) * encoder_forward(encoder, 1, int(length))
        for length, count in zip(values, counts, strict=True)
    )
    return (total + head_forward(head, rows)) / int(counts.sum())


def encoder_forward(encoder: nn.Module, batch_size: int, length: int) -> int:
    """Return the forward operations on (batch_size, length) tokens, without a pooler."""
    own = getattr(encoder, "forward_flops", None)
    if own is not None:
        return own(batch_size, length)
    return flops.encoder(encoder.config, batch_size, length)


def head_forward(head: nn.Module, rows: int) -> int:
    """Return the operations of the dense layers of a head on so many rows."""
    return sum(
        flops.linear(rows, layer.in_features, layer.out_features)
        for layer in head.modules()
        if isinstance(layer, nn.Linear)
    )
