"""The gradient of each example on its own, for the linear layers of a network.

The gradient of a weight is a sum over positions of (gradient of the output) x (input), so two
tensors that every pass has anyway give it for each example, without a pass for each.
B examples, T positions, I inputs, O outputs of a layer, R rank of its carriers.
"""

from collections.abc import Callable, Iterable
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from repro.errors import UserError


@dataclass(frozen=True)
class Carriers:
    """Orthonormal factors through which the gradient of a weight passes: left_OR, right_RI."""

    left_OR: torch.Tensor
    right_RI: torch.Tensor

    def rebuild(self, left_OR: torch.Tensor, right_RI: torch.Tensor) -> torch.Tensor:
        """Return the gradient of the weight, (O, I), from those of the carriers:
        (dL) R + L (dR) - L L^T (dL) R. Source: Yu et al. 2021 (RGP), equation of Theorem 3.1.

        For carriers' gradients of one full gradient G this is its projection on all matrices
        whose columns lie in L or whose rows lie in R.
        """
        moved_OI = left_OR @ self.right_RI
        return moved_OI + self.left_OR @ right_RI - self.left_OR @ (self.left_OR.T @ moved_OI)


@contextmanager
def _recorded(layers: Iterable[nn.Linear]):
    """Give a list that fills with (layer, input, output) of every call of the layers."""
    calls: list[tuple[nn.Linear, torch.Tensor, torch.Tensor]] = []
    hooks = [
        layer.register_forward_hook(
            lambda module, inputs, output: calls.append((module, inputs[0].detach(), output)))
        for layer in layers
    ]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


def gradients(
    losses: Callable[[], torch.Tensor],
    layers: dict[str, nn.Linear],
    carriers: dict[str, Carriers],
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return (losses_B, name -> gradients with a leading dimension B).

    losses(): one forward pass that returns a loss for each example. layers: those that are trained.
    A layer with carriers gives `<name>.left` (B, O, R) and `<name>.right` (B, R, I), one without
    `<name>.weight` (B, O, I); one whose bias is trained also `<name>.bias` (B, O). No gradient is
    left on any parameter. Raises UserError for a layer that is not called exactly once.
    """
    with _recorded(layers.values()) as calls:
        losses_B = losses()
    outputs = {id(layer): (inputs, output) for layer, inputs, output in calls}
    for name, layer in layers.items():
        if sum(called is layer for called, _, _ in calls) != 1:
            raise UserError(f"layer {name!r}: must be called once in a forward pass")
    passes = [outputs[id(layer)] for layer in layers.values()]
    grads = torch.autograd.grad(losses_B.sum(), [output for _, output in passes])
    found: dict[str, torch.Tensor] = {}
    for (name, layer), (inputs, _), grad in zip(layers.items(), passes, grads, strict=True):
        x_BTI, g_BTO = (t.float() if t.ndim == 3 else t.float()[:, None] for t in (inputs, grad))
        g_BOT = g_BTO.transpose(1, 2)
        if name in carriers:
            basis = carriers[name]
            found[f"{name}.left"] = torch.bmm(g_BOT, x_BTI @ basis.right_RI.T)
            found[f"{name}.right"] = torch.bmm((g_BTO @ basis.left_OR).transpose(1, 2), x_BTI)
        else:
            found[f"{name}.weight"] = torch.bmm(g_BOT, x_BTI)
        if layer.bias is not None and layer.bias.requires_grad:
            found[f"{name}.bias"] = g_BTO.sum(dim=1)
    return losses_B.detach(), found


def clipped_sum(
    found: dict[str, torch.Tensor], clip_norm: float | None
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Return (sum over the examples of their gradients, norms_B before clipping).

    Each example's gradient, over all names together, is first scaled down to norm clip_norm at
    most; None = no clipping. So one example more or less moves the sum by clip_norm at most.
    """
    norms_B = torch.stack([t.flatten(1).square().sum(dim=1) for t in found.values()]).sum(0).sqrt()
    if clip_norm is None:
        return {name: t.sum(dim=0) for name, t in found.items()}, norms_B
    # Not clip / (norm + tiny): the bound must hold, and an example without gradient has none.
    scale_B = torch.where(norms_B > clip_norm, clip_norm / norms_B.clamp_min(1e-38), 1.0)
    return {name: torch.einsum("b,b...->...", scale_B, t) for name, t in found.items()}, norms_B
