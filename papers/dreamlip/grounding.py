"""Where the weight of a text lies among the patches: measured, not trained.

K texts, P = side x side patches, D dimensions, H and W pixels.
"""

import math

import numpy as np
import torch

from papers.dreamlip.method import weights
from repro.context import RunContext
from repro.errors import UserError
from repro.evaluate.image_text import Device, Reader
from repro.vision.pictures import IGNORED


def inside_boxes(
    ctx: RunContext,
    *,
    pictures: str,
    threshold: float | None = 0.0,
    device: Device = "cpu",
) -> dict[str, float]:
    """Return {"mass_inside"}: the share of a class's patch weights that lies in the box of what is
    seen of it, mean over the things of a set with maps (class 0, the background, has no box).

    A patch counts by the share of it that the box covers. Model and prompts as in zero-shot
    segmentation; weights as in training, for every model alike.
    """
    reader = Reader(ctx, pictures, device)
    classes_CD = reader.classes()
    masses = []
    for patches_PD, true_HW in zip(reader.patches(), reader.labels(), strict=True):
        there = [int(one) for one in np.unique(true_HW) if one not in (0, IGNORED)]
        if not there:
            continue
        weights_KP = weights(patches_PD[None], classes_CD[there][None], threshold)[0]
        side = math.isqrt(len(patches_PD))
        covered_KP = torch.stack([box_shares(true_HW == one, side) for one in there])
        masses += (weights_KP * covered_KP).sum(dim=1).tolist()
    if not masses:
        raise UserError(f"pictures '{pictures}': no map shows a thing")
    return {"mass_inside": sum(masses) / len(masses)}


def box_shares(seen_HW: np.ndarray, side: int) -> torch.Tensor:
    """Return which share of each of side x side patches the bounding box of a mask covers, (P,)."""
    covered = []
    for axis in (1, 0):
        along = np.flatnonzero(seen_HW.any(axis=axis))
        length = seen_HW.shape[1 - axis]
        edges = np.arange(side + 1) * length / side
        low, high = along[0], along[-1] + 1
        inside = np.minimum(edges[1:], high) - np.maximum(edges[:-1], low)
        covered.append(np.clip(inside, 0, None) * side / length)
    return torch.from_numpy(np.outer(*covered).flatten()).float()
