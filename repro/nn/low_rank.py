"""Linear layers whose weight has a low-rank factorisation: W = s B A, or W = W0 + s B A.

N rows, I inputs, O outputs, R rank; A is (R, I), B is (O, R), s a fixed scale.
"""

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from repro.errors import UserError
from repro.nn import flops
from repro.nn.swap import Reparametrised, swap_linears
from repro.text.tokenizer import VocabInfo


def kaiming(shape: tuple[int, int]) -> torch.Tensor:
    """Return U(-1/sqrt(columns), 1/sqrt(columns)) from torch's global generator: the usual
    initialisation of a linear layer (He et al. 2015 with a = sqrt(5))."""
    return nn.init.kaiming_uniform_(torch.empty(shape), a=math.sqrt(5))


class LowRankLinear(Reparametrised):
    """y = s (x A^T) B^T. Both factors begin as linear layers do: with B = 0 in every layer all
    gradients would be zero, since nothing else carries the signal."""

    def __init__(self, linear: nn.Linear, rank: int, scale: float) -> None:
        super().__init__()
        check_rank(linear, rank)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.scale = scale
        self.down = nn.Parameter(kaiming((rank, self.in_features)))
        self.up = nn.Parameter(kaiming((self.out_features, rank)))

    def forward(self, x_NI: torch.Tensor) -> torch.Tensor:
        """Return y, (..., O)."""
        return F.linear(F.linear(x_NI, self.down), self.up) * self.scale

    def dense(self) -> torch.Tensor:
        """Return s B A."""
        return self.scale * (self.up @ self.down)

    def training_flops(self, rows: int) -> int:
        """Return the operations of two products, forward and backward."""
        rank = len(self.down)
        forward = flops.linear(rows, self.in_features, rank)
        return flops.training(forward + flops.linear(rows, rank, self.out_features))


class FrozenPlusLowRank(Reparametrised):
    """y = x W0^T + s (x A^T) B^T with W0 frozen and B = 0 at first, as LoRA (Hu et al. 2022).

    W0 is the weight of the linear layer that is replaced.
    """

    def __init__(self, linear: nn.Linear, rank: int, scale: float) -> None:
        super().__init__()
        check_rank(linear, rank)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.scale = scale
        self.frozen = nn.Parameter(linear.weight.detach().clone(), requires_grad=False)
        self.down = nn.Parameter(kaiming((rank, self.in_features)))
        self.up = nn.Parameter(torch.zeros(self.out_features, rank))
        # Restarts draw from it, so that they depend on the run and the step only.
        self.register_buffer("seed", torch.randint(2**62, ()))

    def forward(self, x_NI: torch.Tensor) -> torch.Tensor:
        """Return y, (..., O)."""
        low_rank = F.linear(F.linear(x_NI, self.down), self.up) * self.scale
        return F.linear(x_NI, self.frozen) + low_rank

    def dense(self) -> torch.Tensor:
        """Return W0 + s B A."""
        return self.frozen + self.scale * (self.up @ self.down)

    @torch.no_grad()
    def restart(self, step: int) -> None:
        """Move B A into W0; B = 0 and A drawn anew: the function stays what it is.

        Source: Lialin et al. 2024 (ReLoRA), section 3.
        """
        self.frozen.copy_(self.dense())
        generator = torch.Generator().manual_seed(int(self.seed) + step)
        bound = 1 / math.sqrt(self.in_features)
        self.down.copy_(torch.empty(self.down.shape).uniform_(-bound, bound, generator=generator))
        self.up.zero_()

    def training_flops(self, rows: int) -> int:
        """Return the operations; the frozen weight needs no gradient."""
        rank = len(self.down)
        low_rank = flops.linear(rows, self.in_features, rank)
        low_rank += flops.linear(rows, rank, self.out_features)
        frozen = flops.linear(rows, self.in_features, self.out_features)
        return 2 * frozen + flops.training(low_rank)


def check_rank(linear: nn.Linear, rank: int) -> None:
    """Raise UserError unless 1 <= rank <= the smaller side of the weight."""
    most = min(linear.in_features, linear.out_features)
    if not 1 <= rank <= most:
        raise UserError(f"rank = {rank}: expected 1 to {most}, the smaller side of the weight")


def factorised(
    vocab: VocabInfo, /, *, decoder: Callable[..., PreTrainedModel], rank: int, alpha: float,
    frozen: bool = False,
) -> PreTrainedModel:
    """Return decoder(vocab) with its projections replaced; scale s = alpha / rank.

    frozen: W0 + s B A with W0 frozen (LoRA), otherwise s B A alone (Kamalakara et al. 2022).
    """
    model = decoder(vocab)
    kind = FrozenPlusLowRank if frozen else LowRankLinear
    swap_linears(model, lambda linear: kind(linear, rank, alpha / rank))
    return model
