"""Published weights: fetch a model of the hub, and put weights into a model that is made."""

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from repro.errors import UserError


def fetch(auto: Any, model: str, revision: str, **options: Any) -> PreTrainedModel:
    """Return a model of the hub. auto: the class of transformers that reads it; options: for its
    `from_pretrained`. Raises UserError when it is neither in the cache nor reachable."""
    try:
        return auto.from_pretrained(model, revision=revision, **options)
    except (OSError, ValueError) as error:
        raise UserError(
            f"model {model} at revision {revision} is neither in the hub cache nor reachable: "
            f"run `hf download {model} --revision {revision}` on a machine with network"
        ) from error


def fill(module: nn.Module, weights: dict[str, torch.Tensor], title: str) -> None:
    """Copy weights into a module, by name; those that it does not have are left aside.

    Raises UserError where one is missing or of another shape; then nothing is copied.
    """
    own = module.state_dict()
    for name, tensor in own.items():
        if name not in weights or weights[name].shape != tensor.shape:
            shape = tuple(weights[name].shape) if name in weights else "missing"
            raise UserError(f"model {title}: {name} is {shape}, expected {tuple(tensor.shape)}")
    module.load_state_dict({name: weights[name] for name in own})
