"""What an optimiser holds, counted without values."""

import torch


def state_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Return the bytes an optimiser holds after its first step, its parameters being on the meta
    device; those without a gradient are given one."""
    for group in optimizer.param_groups:
        # Fused kernels refuse the meta device; their state is the same.
        group["fused"] = False
        for parameter in group["params"]:
            if parameter.grad is None:
                parameter.grad = torch.empty_like(parameter)
    optimizer.step()
    return sum(value.nbytes for state in optimizer.state.values() for value in state.values()
               if isinstance(value, torch.Tensor))
