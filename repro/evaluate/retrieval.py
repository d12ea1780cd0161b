"""Retrieval: which picture does a text tell of, and which text tells of a picture.

Q queries, C candidates.
"""

from typing import Literal

import torch

from repro.context import RunContext
from repro.errors import UserError
from repro.evaluate.image_text import Device, Reader
from repro.vision.texts import LONG, RAW, SENTENCES

RANKS = (1, 5, 10)
Said = Literal["raw", "long", "sentence", "sentences", "each"]


def recalls(scores_QC: torch.Tensor, right_QC: torch.Tensor) -> dict[str, float]:
    """Return {"recall_at_1", "recall_at_5", "recall_at_10"}: the share of queries for which one of
    the right candidates is among the best-scored k; equal scores rank in the candidates' order.

    scores_QC float, right_QC bool. Raises ValueError for a query without a right candidate.
    """
    if not bool(right_QC.any(dim=1).all()):
        raise ValueError("recalls: a query has no right candidate")
    order_QC = scores_QC.argsort(dim=1, descending=True, stable=True)
    hits_QC = right_QC.gather(1, order_QC)
    return {f"recall_at_{k}": hits_QC[:, :k].any(dim=1).double().mean().item() for k in RANKS}


def retrieve(
    ctx: RunContext,
    *,
    pictures: str,
    said: Said,
    find: Literal["image", "text"],
    device: Device = "cpu",
) -> dict[str, float]:
    """Return the recalls of finding images by text, or texts by image, among those of a set.

    said: the picture's own caption, its long caption, its first sentence, or the mean of all its
    sentences; "each": every text is a query and a candidate of its own (five captions an image).
    """
    reader = Reader(ctx, pictures, device)
    chosen, owner = _texts(reader, said)
    images_ND, texts_MD = reader.images(), reader.texts(chosen)
    right_NM = torch.arange(len(images_ND))[:, None] == owner
    scores_NM = images_ND @ texts_MD.T
    if find == "image":
        return recalls(scores_NM.T, right_NM.T)
    return recalls(scores_NM, right_NM)


def _texts(reader: Reader, said: Said) -> tuple[list, torch.Tensor]:
    """Return lists of texts, one vector each, and the image of each list."""
    chosen, owner = [], []
    for image in range(len(reader.set)):
        texts = reader.set.texts(image)
        match said:
            case "raw":
                lists = [texts[RAW : RAW + 1]]
            case "long":
                lists = [texts[LONG : LONG + 1]]
            case "sentence":
                lists = [texts[SENTENCES : SENTENCES + 1]]
            case "sentences":
                lists = [texts[SENTENCES:]]
            case "each":
                lists = [[text] for text in texts]
            case _:
                raise UserError(f"retrieve.said = {said!r}: unknown")
        chosen += lists
        owner += [image] * len(lists)
    return chosen, torch.tensor(owner)
