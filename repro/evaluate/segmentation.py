"""Zero-shot segmentation: each patch is of the class whose prompts it is nearest to.

N images, H and W pixels, P = side x side patches, C classes, D dimensions.
"""

from typing import Literal

import numpy as np
import torch

from repro.context import RunContext
from repro.errors import UserError
from repro.evaluate.image_text import Device, Reader
from repro.vision.pictures import IGNORED


class Overlaps:
    """Pixels by class over many images: intersection and union of what is found and what is."""

    def __init__(self, classes: int) -> None:
        self.both_C = np.zeros(classes, dtype=np.int64)
        self.either_C = np.zeros(classes, dtype=np.int64)

    def add(self, found_HW: np.ndarray, true_HW: np.ndarray) -> None:
        """Count one image; pixels that are IGNORED do not count."""
        seen = true_HW != IGNORED
        found, true = found_HW[seen].astype(np.int64), true_HW[seen].astype(np.int64)
        size = len(self.both_C)
        both = np.bincount(true[found == true], minlength=size)
        self.both_C += both
        self.either_C += (np.bincount(true, minlength=size)
                          + np.bincount(found, minlength=size) - both)

    def mean(self) -> float:
        """Return the mean over the classes that were found or there of intersection over union.

        Raises UserError where no pixel was counted.
        """
        known = self.either_C > 0
        if not known.any():
            raise UserError("segmentation: no pixel has a class")
        return float((self.both_C[known] / self.either_C[known]).mean())


def stretched(patches_P: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return values of a square grid of patches by pixel, (H, W): that of the patch it lies in."""
    side = int(round(len(patches_P) ** 0.5))
    rows = np.arange(height) * side // height
    columns = np.arange(width) * side // width
    return patches_P.reshape(side, side)[rows[:, None], columns]


def segment(
    ctx: RunContext,
    *,
    pictures: str,
    among: Literal["image", "all"] = "all",
    device: Device = "cpu",
) -> dict[str, float]:
    """Return {"mean_iou"} on a set with maps of classes.

    among: a patch is told apart among the classes that are in its image, or among all.
    """
    reader = Reader(ctx, pictures, device)
    classes_CD = reader.classes()
    overlaps = Overlaps(len(classes_CD))
    for patches_PD, true_HW in zip(reader.patches(), reader.labels(), strict=True):
        there = (np.unique(true_HW[true_HW != IGNORED]).astype(np.int64) if among == "image"
                 else np.arange(len(classes_CD)))
        best_P = (patches_PD @ classes_CD[torch.from_numpy(there)].T).argmax(dim=1).numpy()
        overlaps.add(stretched(there[best_P], *true_HW.shape), true_HW)
    return {"mean_iou": overlaps.mean()}
