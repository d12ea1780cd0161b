"""The gradient of DP-SGD as a loss that the training loop can minimise.

B examples of a batch, expected or drawn.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from repro.errors import UserError
from repro.privacy import carriers as rgp
from repro.privacy.per_example import Carriers, clipped_sum, gradients
from repro.train.streams import Streams

Losses = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Mechanism:
    """clip_norm: of each example's gradient, None = none. noise: standard deviation in units of
    clip_norm, 0 = none. batch_size: expected number of examples, by which the noisy sum is
    divided. rank: of the carriers, None = weights are perturbed themselves. head_scale: factor on
    the head's gradients before clipping. microbatch: examples in one pass, for memory only.
    """

    clip_norm: float | None
    noise: float
    batch_size: int
    rank: int | None = None
    head_scale: float = 1.0
    microbatch: int = 64

    def __post_init__(self) -> None:
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise UserError(f"clip_norm = {self.clip_norm}: expected a positive number or None")
        if self.noise < 0 or (self.noise > 0 and self.clip_norm is None):
            raise UserError(f"noise = {self.noise}, clip_norm = {self.clip_norm}: noise is in "
                            "units of clip_norm, and no noise hides a gradient that is not clipped")
        for name in ("rank", "microbatch", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name} = {value}: expected at least 1")


class PrivateGradient:
    """Called as the loss of `repro.train.loop.fit`: what its backward leaves on the weights is the
    privatised gradient.

    layers: the trained linear layers by name; those under `head` are not reparametrised. Gaussian
    noise is drawn from the stream "noise" of the update, in the order of the layers: two
    mechanisms that differ in `noise` alone share the draws.
    """

    def __init__(
        self,
        layers: dict[str, nn.Linear],
        losses: Losses,
        mechanism: Mechanism,
        streams: Streams,
        lengths_N: torch.Tensor,
    ) -> None:
        self.layers, self.losses = layers, losses
        self.mechanism, self.streams, self.lengths_N = mechanism, streams, lengths_N
        self.inner = {n: m for n, m in layers.items() if not n.startswith("head")}
        self.start = {n: m.weight.detach().clone() for n, m in self.inner.items()}

    def __call__(self, rows_B: torch.Tensor, step: int) -> dict[str, torch.Tensor]:
        """Return {"loss", "signal", "noise", "clipped"}; loss carries the private gradient.

        loss: mean over the batch. signal, noise: norms of the clipped sum and of what is added to
        it. clipped: share of the examples that were. These read private data: they are for the
        experimenter, and what the guarantee covers is the weights.
        """
        basis = self._basis(step)
        total, losses_B, norms_B = self._sum(rows_B, basis)
        noisy, signal, noise = self._perturbed(total, step)
        pairs = self._on_weights(noisy, basis)
        # Its value is 0, its gradient the private one.
        carrier = sum((p * g).sum() for p, g in pairs)
        loss = losses_B.mean() if len(losses_B) else losses_B.new_zeros(())
        limit = self.mechanism.clip_norm
        clipped = (norms_B > limit).float().mean() if limit and len(norms_B) else loss * 0
        return {"loss": loss + (carrier - carrier.detach()), "signal": signal, "noise": noise,
                "clipped": clipped}

    def _basis(self, step: int) -> dict[str, Carriers]:
        rank = self.mechanism.rank
        if rank is None:
            return {}
        now = {name: layer.weight.detach() for name, layer in self.inner.items()}
        return rgp.choose(now, self.start, rank, self.streams, step)

    def _sum(
        self, rows_B: torch.Tensor, basis: dict[str, Carriers]
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
        """Return the sum of clipped gradients by name, losses and norms."""
        mechanism = self.mechanism
        total = self._zeros(basis)
        losses, norms = [], []
        rows_B = rows_B[self.lengths_N[rows_B].argsort(stable=True)]
        for rows in rows_B.split(mechanism.microbatch) if len(rows_B) else ():
            values, found = gradients(lambda rows=rows: self.losses(rows), self.layers, basis)
            for name in found:
                if name.startswith("head"):
                    found[name] = found[name] * mechanism.head_scale
            sums, before = clipped_sum(found, mechanism.clip_norm)
            for name, value in sums.items():
                total[name] += value
            losses.append(values)
            norms.append(before)
        empty = next(iter(total.values())).new_zeros(0)
        return total, torch.cat([empty, *losses]), torch.cat([empty, *norms])

    def _zeros(self, basis: dict[str, Carriers]) -> dict[str, torch.Tensor]:
        found = {}
        for name, layer in self.layers.items():
            if name in basis:
                found[f"{name}.left"] = torch.zeros_like(basis[name].left_OR)
                found[f"{name}.right"] = torch.zeros_like(basis[name].right_RI)
            else:
                found[f"{name}.weight"] = torch.zeros_like(layer.weight)
            if layer.bias is not None and layer.bias.requires_grad:
                found[f"{name}.bias"] = torch.zeros_like(layer.bias)
        return {name: tensor.detach() for name, tensor in found.items()}

    def _perturbed(
        self, total: dict[str, torch.Tensor], step: int
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
        """Return ((sum + noise) / expected batch size, norm of the sum, norm of the noise)."""
        scale = self.mechanism.noise * (self.mechanism.clip_norm or 0.0)
        generator = self.streams.generator("noise", step)
        noisy, added = {}, []
        for name, value in total.items():
            draw = torch.randn(value.shape, generator=generator).to(value.device) * scale
            noisy[name] = (value + draw) / self.mechanism.batch_size
            added.append(draw.flatten())
        signal = torch.cat([value.flatten() for value in total.values()]).norm()
        return noisy, signal, torch.cat(added).norm()

    def _on_weights(
        self, noisy: dict[str, torch.Tensor], basis: dict[str, Carriers]
    ) -> list[tuple[nn.Parameter, torch.Tensor]]:
        """Return each trained parameter with its gradient."""
        pairs = []
        for name, layer in self.layers.items():
            if name in basis:
                grad = basis[name].rebuild(noisy[f"{name}.left"], noisy[f"{name}.right"])
            else:
                grad = noisy[f"{name}.weight"]
            pairs.append((layer.weight, grad))
            if f"{name}.bias" in noisy:
                pairs.append((layer.bias, noisy[f"{name}.bias"]))
        return pairs
