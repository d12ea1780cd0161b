"""Decoders with published weights, for papers that start from them."""

from collections.abc import Callable

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from repro.nn import published
from repro.text.tokenizer import VocabInfo


def from_hub(
    vocab: VocabInfo, /, *, decoder: Callable[..., PreTrainedModel], model: str, revision: str
) -> PreTrainedModel:
    """Return decoder(vocab) with the weights of a model of the hub, in float32.

    On the meta device only the shape is made, so a dry run needs no weights. Raises UserError when
    the weights are neither in the cache nor reachable, or differ in name or shape.
    """
    made = decoder(vocab)
    if made.device.type == "meta":
        return made
    found = published.fetch(AutoModelForCausalLM, model, revision, dtype=torch.float32)
    published.fill(made, found.state_dict(), model)
    return made
