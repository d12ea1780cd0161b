"""Zero-shot classification: a picture is of the class whose prompts it is nearest to.

N images, C classes, D dimensions.
"""

import torch

from repro.context import RunContext
from repro.evaluate.image_text import Device, Reader


def nearest(images_ND: torch.Tensor, classes_CD: torch.Tensor) -> torch.Tensor:
    """Return the class with the largest inner product for each image, (N,) int64; of equals the
    first."""
    return (images_ND @ classes_CD.T).argmax(dim=1)


def classify(
    ctx: RunContext,
    *,
    pictures: str,
    device: Device = "cpu",
) -> dict[str, float]:
    """Return {"accuracy"} on a labelled set. A class is the mean of its prompts' vectors.

    Source: Radford et al. 2021, section 3.1.4.
    """
    reader = Reader(ctx, pictures, device)
    found_N = nearest(reader.images(), reader.classes())
    labels_N = torch.from_numpy(reader.labels().astype("int64"))
    return {"accuracy": (found_N == labels_N).double().mean().item()}
