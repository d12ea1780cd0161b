"""GaLore: AdamW whose moments live in a low-rank subspace of each gradient (Zhao et al. 2024).

M rows and N columns of a weight, R rank.
"""

import re
from typing import Any

import torch
from torch import nn

from repro.errors import UserError
from repro.nn.swap import PROJECTIONS


class ProjectedAdamW(torch.optim.Optimizer):
    """AdamW; in groups with a rank, on the gradient projected onto its leading singular vectors.

    The shorter side of a weight is projected: G P^T with the R right singular vectors P (R, N) if
    M >= N, otherwise P^T G with the left ones. The step found there goes back through P, times
    scale. P is taken from the gradient at the first update and then every refresh_every.
    """

    def __init__(
        self, groups: list[dict[str, Any]], betas: tuple[float, float], eps: float
    ) -> None:
        super().__init__(groups, {"betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Make one update. State by parameter: step, exp_avg, exp_avg_sq, and projection."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, self.state[parameter], group)

    def _update(
        self, parameter: nn.Parameter, state: dict[str, torch.Tensor], group: dict[str, Any]
    ) -> None:
        gradient, rank = parameter.grad, group.get("rank")
        if "step" not in state:
            state["step"] = torch.zeros(())
        if rank is not None:
            if int(state["step"]) % group["refresh_every"] == 0:
                state["projection"] = projection(gradient, rank)
            gradient = project(gradient, state["projection"])
        if "exp_avg" not in state:
            state["exp_avg"] = torch.zeros_like(gradient)
            state["exp_avg_sq"] = torch.zeros_like(gradient)
        state["step"] += 1
        count, (beta1, beta2) = int(state["step"]), group["betas"]
        state["exp_avg"].lerp_(gradient, 1 - beta1)
        state["exp_avg_sq"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        root = (state["exp_avg_sq"] / (1 - beta2**count)).sqrt_().add_(group["eps"])
        change = state["exp_avg"] / (1 - beta1**count) / root
        if rank is not None:
            change = project_back(change, state["projection"], parameter.shape) * group["scale"]
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(change, alpha=-group["lr"])


def projection(gradient_MN: torch.Tensor, rank: int) -> torch.Tensor:
    """Return the leading singular vectors of the shorter side: (R, N) if M >= N, else (M, R)."""
    left, _, right = torch.linalg.svd(gradient_MN.float(), full_matrices=False)
    rows, columns = gradient_MN.shape
    chosen = right[:rank] if rows >= columns else left[:, :rank]
    # In the order that a checkpoint brings back: products of other strides round otherwise.
    return chosen.clone(memory_format=torch.contiguous_format)


def project(gradient_MN: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
    """Return the gradient in the subspace: (M, R) if M >= N, else (R, N)."""
    rows, columns = gradient_MN.shape
    return gradient_MN @ basis.T if rows >= columns else basis.T @ gradient_MN


def project_back(change: torch.Tensor, basis: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """Return a step of the subspace in the weight's own shape (M, N)."""
    return change @ basis if shape[0] >= shape[1] else basis @ change


def adamw(
    model: nn.Module,
    /,
    *,
    lr: float,
    rank: int,
    scale: float = 0.25,
    refresh_every: int = 200,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    projected: str = PROJECTIONS,
) -> ProjectedAdamW:
    """Return GaLore's AdamW over the model's trainable parameters.

    projected: pattern of the whole names of layers whose weight is projected; all else is updated
    as AdamW does. Raises UserError for settings out of range or a pattern that fits no weight.
    """
    for name, value in {"lr": lr, "rank": rank, "refresh_every": refresh_every}.items():
        if not value > 0:
            raise UserError(f"galore.adamw.{name} = {value}: expected a positive number")
    fits = re.compile(rf"(?:{projected})\.weight")
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    chosen = [p for n, p in trained.items() if fits.fullmatch(n)]
    if not chosen:
        raise UserError(f"galore.adamw.projected = {projected!r}: fits no weight of the model")
    others = [p for n, p in trained.items() if not fits.fullmatch(n)]
    common = {"lr": lr, "initial_lr": lr}
    decayed = {"rank": None, **common, "weight_decay": weight_decay}
    groups = [
        {"params": chosen, **decayed, "rank": rank, "scale": scale, "refresh_every": refresh_every},
        {"params": [p for p in others if p.ndim > 1], **decayed},
        {"params": [p for p in others if p.ndim < 2], **decayed, "weight_decay": 0.0},
    ]
    return ProjectedAdamW([g for g in groups if g["params"]], tuple(betas), eps)
