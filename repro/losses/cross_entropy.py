"""Mean cross-entropy over a large vocabulary. N rows, V classes."""

from typing import Any

import torch


class _MeanCrossEntropy(torch.autograd.Function):
    """Keeps exp(logits - max) only, and turns it into the gradient where it lies.

    torch's own keeps the log-probabilities and allocates the gradient beside them: another two
    passes over N x V in a step whose widest tensor this is.
    """

    @staticmethod
    def forward(ctx: Any, logits_NV: torch.Tensor, targets_N: torch.Tensor) -> torch.Tensor:
        top_N1 = logits_NV.amax(dim=1, keepdim=True)
        weights_NV = (logits_NV - top_N1).exp_()
        sums_N1 = weights_NV.sum(dim=1, keepdim=True)
        chosen_N1 = logits_NV.gather(1, targets_N[:, None])
        ctx.weights_NV = weights_NV
        ctx.save_for_backward(sums_N1, targets_N)
        return (sums_N1.log() + top_N1 - chosen_N1).mean()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        if ctx.weights_NV is None:
            raise RuntimeError("mean_cross_entropy: its gradient can be taken once only")
        sums_N1, targets_N = ctx.saved_tensors
        share = gradient / len(targets_N)
        result_NV, ctx.weights_NV = ctx.weights_NV.mul_(share / sums_N1), None
        result_NV.scatter_add_(1, targets_N[:, None], -share.expand(len(targets_N), 1))
        return result_NV, None


def mean_cross_entropy(logits_NV: torch.Tensor, targets_N: torch.Tensor) -> torch.Tensor:
    """Return the mean of -log softmax(logits)[target], a scalar in nats; backward runs once.

    logits_NV float (computed in fp32), targets_N int64, every one of them a class.
    """
    return _MeanCrossEntropy.apply(logits_NV.float(), targets_N)
