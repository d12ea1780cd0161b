"""Decoders with published weights, for papers that start from them."""

from collections.abc import Callable

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from repro.errors import UserError
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
    try:
        found = AutoModelForCausalLM.from_pretrained(model, revision=revision, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise UserError(
            f"model {model} at revision {revision} is neither in the hub cache nor reachable: "
            f"run `hf download {model} --revision {revision}` on a machine with network"
        ) from error
    return filled(made, found.state_dict(), model)


def filled(
    made: PreTrainedModel, weights: dict[str, torch.Tensor], model: str
) -> PreTrainedModel:
    """Return the decoder with these weights. Raises UserError where a shape is another."""
    for name, tensor in made.state_dict().items():
        if name not in weights or weights[name].shape != tensor.shape:
            shape = tuple(weights[name].shape) if name in weights else "missing"
            raise UserError(f"model {model}: {name} is {shape}, expected {tuple(tensor.shape)}")
    made.load_state_dict({name: weights[name] for name in made.state_dict()})
    return made
