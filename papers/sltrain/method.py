"""SLTrain: weights that are the sum of a low-rank and a sparse matrix, W = s B A + S.

S has a random support that never changes; only its values are kept and trained, as a vector.
N rows, I inputs, O outputs, R rank, K values of S; W is (O, I), A (R, I), B (O, R).
Source: Han et al. 2024, section 3, and the authors' code where the paper is silent.
"""

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from repro.context import RunContext
from repro.errors import UserError
from repro.nn import flops
from repro.nn.decoders import PARTS
from repro.nn.low_rank import check_rank, kaiming
from repro.nn.swap import Reparametrised, swap_linears
from repro.text.tokenizer import VocabInfo


def compose(
    up_OR: torch.Tensor, down_RI: torch.Tensor, values_K: torch.Tensor, support_K: torch.Tensor,
    scale: float,
) -> torch.Tensor:
    """Return W = s B A + S, (O, I); support_K: flat places of the values, each once."""
    weight_OI = scale * (up_OR @ down_RI)
    weight_OI.view(-1).index_add_(0, support_K, values_K.to(weight_OI.dtype))
    return weight_OI


class _SparseLowRank(torch.autograd.Function):
    """y = x W^T that keeps x, the factors and the values, and never a dense matrix.

    Backward builds W anew for the gradient of x; the gradient G of W lives while it is projected:
    dB = s G A^T, dA = s B^T G, dv = G at the support.
    """

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, up_OR: torch.Tensor, down_RI: torch.Tensor,
        values_K: torch.Tensor, support_K: torch.Tensor, scale: float,
    ) -> torch.Tensor:
        ctx.save_for_backward(x, up_OR, down_RI, values_K, support_K)
        ctx.scale = scale
        return x @ compose(up_OR, down_RI, values_K, support_K, scale).T

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        *saved, support_K = ctx.saved_tensors
        # Of one type already, except in a dry run: nothing is autocast on the meta device.
        x, up_OR, down_RI, values_K = (tensor.to(gradient.dtype) for tensor in saved)
        dx = None
        if ctx.needs_input_grad[0]:
            dx = gradient @ compose(up_OR, down_RI, values_K, support_K, ctx.scale)
        weight_OI = gradient.flatten(0, -2).T @ x.flatten(0, -2)
        d_up = ctx.scale * (weight_OI @ down_RI.T)
        d_down = ctx.scale * (up_OR.T @ weight_OI)
        return dx, d_up, d_down, weight_OI.view(-1)[support_K], None, None


class SparseLowRankLinear(Reparametrised):
    """Stands for a linear layer. A begins as linear layers do, B at zero, the values uniform in
    +-1/sqrt(I); the support is drawn by `draw_support`."""

    def __init__(self, linear: nn.Linear, rank: int, density: float, scale: float) -> None:
        super().__init__()
        check_rank(linear, rank)
        if not 0 < density <= 1:
            raise UserError(f"density = {density}: expected above 0 and at most 1")
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.scale = scale
        bound = 1 / math.sqrt(self.in_features)
        count = int(density * self.in_features * self.out_features)
        self.down = nn.Parameter(kaiming((rank, self.in_features)))
        self.up = nn.Parameter(torch.zeros(self.out_features, rank))
        self.values = nn.Parameter(torch.empty(count).uniform_(-bound, bound))
        self.register_buffer("support", torch.arange(count))

    def draw_support(self) -> None:
        """Draw the places of S, uniform without replacement, from torch's global generator."""
        places = torch.randperm(self.in_features * self.out_features)
        self.support.copy_(places[: len(self.values)].sort().values)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return y, (..., O); under autocast in its type, as a linear layer."""
        tensors = [x, self.up, self.down, self.values]
        kind = x.device.type
        if kind != "meta" and torch.is_autocast_enabled(kind):
            tensors = [tensor.to(torch.get_autocast_dtype(kind)) for tensor in tensors]
        return _SparseLowRank.apply(*tensors, self.support, self.scale)

    def dense(self) -> torch.Tensor:
        """Return W."""
        return compose(self.up, self.down, self.values, self.support, self.scale)

    def training_flops(self, rows: int) -> int:
        """Return the operations of a linear layer, of B A built twice, and of its two gradients."""
        linear = flops.linear(rows, self.in_features, self.out_features)
        product = flops.linear(self.out_features, len(self.down), self.in_features)
        return flops.training(linear) + 4 * product


def sparse_low_rank(
    vocab: VocabInfo, /, *, decoder: Callable[..., PreTrainedModel], rank: int, alpha: float,
    density: float, support: int = 0,
) -> PreTrainedModel:
    """Return decoder(vocab), every projection of attention and MLP as W = alpha/rank B A + S.

    density: share of W's places that S may use. support: which draw of the supports is taken; all
    else that is random stays the same.
    """
    model = decoder(vocab)
    layers: list[SparseLowRankLinear] = []

    def make(linear: nn.Linear) -> SparseLowRankLinear:
        layers.append(SparseLowRankLinear(linear, rank, density, alpha / rank))
        return layers[-1]

    swap_linears(model, make)
    for _ in range(support + 1):
        for layer in layers:
            layer.draw_support()
    return model


def low_rank_share(
    weight_OI: torch.Tensor, sparse_OI: torch.Tensor, rank: int, part: Literal["head", "tail"]
) -> float:
    """Return which share of W's first `rank` singular values (head), or of the rest, s B A makes.

    With W = U diag(sigma) V^T, sigma_i = u_i^T (s B A) v_i + u_i^T S v_i; the first terms' sum over
    that of the sigmas. Source: the paper's figures of the spectrum.
    """
    left, sigma, right = torch.linalg.svd(weight_OI.double(), full_matrices=False)
    sparse = torch.einsum("oi,ok,ki->k", sparse_OI.double(), left, right)
    chosen = slice(0, rank) if part == "head" else slice(rank, None)
    return 1 - (sparse[chosen].sum() / sigma[chosen].sum()).item()


def spectrum(ctx: RunContext, *, part: Literal["head", "tail"]) -> dict[str, float]:
    """Return {"spectral_share": mean of `low_rank_share` over the layers of the exported model}."""
    folder = ctx.input("pretrain") / "model"
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    parts = load_file(folder / PARTS)
    shares = []
    for key in (key for key in parts if key.endswith(".support")):
        name = key.removesuffix(".support")
        weight_OI = model.get_submodule(name).weight.detach()
        sparse_OI = torch.zeros_like(weight_OI)
        sparse_OI.view(-1)[parts[key]] = parts[f"{name}.values"]
        shares.append(low_rank_share(weight_OI, sparse_OI, len(parts[f"{name}.down"]), part))
    return {"spectral_share": sum(shares) / len(shares)}
