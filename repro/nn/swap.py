"""Replacing linear layers by name, and putting plain ones back for those who use the model."""

import copy
import re
from collections.abc import Callable

import torch
from torch import nn

from repro.errors import UserError

# The linear layers of attention and MLP in LLaMA and its kin; embeddings and head stay.
PROJECTIONS = r".*\.(q|k|v|o|gate|up|down)_proj"


class Reparametrised(nn.Module):
    """A layer that stands for a linear one without bias, y = x W^T, its W made of other tensors."""

    in_features: int
    out_features: int

    def dense(self) -> torch.Tensor:
        """Return W, (out, in)."""
        raise NotImplementedError

    def training_flops(self, rows: int) -> int:
        """Return the operations of forward and backward on so many rows, multiply-add = 2."""
        raise NotImplementedError


def swap_linears(
    model: nn.Module, make: Callable[[nn.Linear], nn.Module], pattern: str = PROJECTIONS
) -> list[str]:
    """Put make(layer) in the place of every linear layer whose whole name fits the pattern.

    Layers come in the order of the model. Returns the names.
    Raises UserError for a pattern that fits none, and for a layer with a bias.
    """
    fits = re.compile(pattern)
    found = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and fits.fullmatch(name)
    }
    if not found:
        raise UserError(f"swap_linears: no linear layer is called {pattern!r}")
    for name, layer in found.items():
        if layer.bias is not None:
            raise UserError(f"swap_linears: {name} has a bias")
        model.set_submodule(name, make(layer))
    return list(found)


def swapped(model: nn.Module) -> dict[str, Reparametrised]:
    """Return the replaced layers by name."""
    return {n: module for n, module in model.named_modules() if isinstance(module, Reparametrised)}


@torch.no_grad()
def merged(model: nn.Module) -> nn.Module:
    """Return the model with plain linear layers: the same function, loadable by anyone.

    A copy whose `parts` are the tensors that the replaced layers held (parameters and buffers, on
    the CPU); the model itself where no layer is replaced.
    """
    layers = swapped(model)
    if not layers:
        return model
    plain = copy.deepcopy(model)
    plain.parts = {}
    for name, layer in layers.items():
        weight = layer.dense()
        linear = nn.Linear(layer.in_features, layer.out_features, bias=False, device="meta")
        linear.weight = nn.Parameter(weight)
        plain.set_submodule(name, linear)
        if not weight.is_meta:
            states = layer.state_dict().items()
            plain.parts |= {f"{name}.{key}": t.cpu().contiguous() for key, t in states}
    return plain
