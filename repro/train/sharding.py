"""Models that do not fit into one device: parameters, gradients and moments shared out (FSDP2).

Gradients are added by the library, in an order that depends on the number of tasks, and so do the
last bits: `pretrain` therefore makes that number a setting. Checkpoints hold whole tensors, so
that any number of tasks can read them.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from repro.train.distributed import World, full

Loss = Callable[[Any, int], dict[str, torch.Tensor]]


class _Root(nn.Module):
    """The loss as the forward pass of a module: what FSDP2 hangs its hooks on."""

    def __init__(self, model: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.model = model
        self.loss = loss

    def forward(self, data: Any, index: int) -> dict[str, torch.Tensor]:
        return self.loss(data, index)


def shard(model: nn.Module, loss: Loss, world: World) -> Loss:
    """Shard a model in place over the tasks; return the loss to train it with.

    The entries of every ModuleList (the layers) are gathered one by one when they are computed,
    all else (embeddings, heads) at once: a layer must be used by calling it. The optimiser is to be
    made afterwards.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, fully_shard

    mesh = init_device_mesh(next(model.parameters()).device.type, (world.size,))
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    layers = dict.fromkeys(layer for layers in reversed(lists) for layer in layers)
    for layer in layers:  # inner lists first
        fully_shard(layer, mesh=mesh)
    root = fully_shard(_Root(model, loss), mesh=mesh)
    for module in root.modules():
        if isinstance(module, FSDPModule):  # sums, not means: the loop divides by the batches
            module.set_force_sum_reduction_for_comms(True)
            module.set_gradient_divide_factor(1.0)
    return root


@torch.no_grad()
def gather(model: nn.Module, whole: nn.Module) -> nn.Module:
    """Return whole, a model of the same kind, with the values of a sharded one; every task takes
    part."""
    values = dict(model.named_parameters()) | dict(model.named_buffers())
    for name, target in (*whole.named_parameters(), *whole.named_buffers()):
        target.copy_(full(values[name]))
    return whole
