"""Gradient carriers of reparametrised gradient perturbation (RGP).

A weight is written W = L R + (W - L R), the bracket held fixed: the network computes what it did,
and only the small L and R see private gradients. The whole of W is then updated from theirs, so
these are no low-rank adapters. Source: Yu et al. 2021, Large Scale Private Learning via Low-rank
Reparametrization, Algorithms 1 and 2.
"""

import torch

from repro.privacy.per_example import Carriers
from repro.train.streams import Streams


@torch.no_grad()
def choose(
    weights: dict[str, torch.Tensor],
    start: dict[str, torch.Tensor],
    rank: int,
    streams: Streams,
    step: int,
) -> dict[str, Carriers]:
    """Return carriers for each weight from what training has done to it so far.

    weights, start: now and before private training, (O, I). One power iteration on their
    difference from a random matrix (stream "carriers" at this step); before the first update on
    the public weights themselves. Both are known to whoever sees the noisy gradients: no private
    example is read here.
    """
    generator = streams.generator("carriers", step)
    found = {}
    for name, weight_OI in weights.items():
        change_OI = weight_OI - start[name] if step else start[name]
        draws_IR = torch.randn(weight_OI.shape[1], rank, generator=generator).to(weight_OI.device)
        left_OR = torch.linalg.qr(change_OI @ draws_IR).Q
        right_IR = torch.linalg.qr(change_OI.T @ left_OR).Q
        found[name] = Carriers(left_OR, right_IR.T.contiguous())
    return found
