"""An image-text model and the pictures it is measured on, as vectors of the shared space.

N images, G groups of texts, P patches, D dimensions.
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from torch.nn import functional as F
from transformers import CLIPModel

from repro.context import RunContext
from repro.errors import UserError
from repro.nn.clip import embed_images, embed_patches, embed_texts
from repro.train import determinism
from repro.vision import crops
from repro.vision.batches import as_images, framed
from repro.vision.pictures import PictureSet, open_set

Device = Literal["cpu", "cuda"]


ROWS = 64  # at a time


class Reader:
    """The exported model of a run and one set of its data artefact; images are as large and texts
    at most as long as the model was made for.

    Raises UserError for a missing model or set.
    """

    def __init__(self, ctx: RunContext, pictures: str, device: Device) -> None:
        folder = ctx.input("pretrain") / "model"
        try:
            self.model = CLIPModel.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise UserError(f"{folder}: no readable model; run the pretrain stage again") from error
        self.model.eval().to(determinism.device(device))
        self.set: PictureSet = open_set(ctx.input("data"), pictures)
        self.image_size = self.model.config.vision_config.image_size
        self.sequence_length = self.model.config.text_config.max_position_embeddings

    @torch.no_grad()
    def images(self) -> torch.Tensor:
        """Return every image of the set, (N, D) on the CPU, of length 1."""
        return torch.cat([embed_images(self.model, pixels).cpu() for pixels in self._pixels()])

    @torch.no_grad()
    def patches(self) -> Iterator[torch.Tensor]:
        """Yield the patches of every image in turn, (P, D), of length 1."""
        for pixels in self._pixels():
            yield from embed_patches(self.model, pixels)[1].cpu()

    def _pixels(self) -> Iterator[torch.Tensor]:
        for start in range(0, len(self.set), ROWS):
            places = range(start, min(start + ROWS, len(self.set)))
            pixels = [crops.whole(self.set.image(i), size=self.image_size) for i in places]
            yield as_images(pixels)

    def texts(self, chosen: list[list[np.ndarray]]) -> torch.Tensor:
        """Return one vector for each list of texts, (G, D): the mean of their vectors, of length 1.

        Raises UserError for a list without a text.
        """
        sizes = [len(texts) for texts in chosen]
        if not all(sizes):
            raise UserError(f"pictures '{self.set.name}': a group of texts is empty")
        flat = [text for texts in chosen for text in texts]
        made = []
        for start in range(0, len(flat), ROWS):
            tokens = framed(flat[start : start + ROWS], self.sequence_length, self.set.vocab)
            with torch.no_grad():
                made.append(embed_texts(self.model, tokens).cpu())
        groups = torch.cat(made).split(sizes)
        return F.normalize(torch.stack([group.mean(dim=0) for group in groups]), dim=-1)

    def classes(self) -> torch.Tensor:
        """Return every class of a labelled set by its prompts, (G, D)."""
        return self.texts([self.set.texts(group) for group in range(len(self.set.groups) - 1)])

    def labels(self) -> np.ndarray:
        """Return the labels of the set. Raises UserError where it has none."""
        if self.set.labels is None:
            raise UserError(f"pictures '{self.set.name}': has no labels")
        return np.asarray(self.set.labels)
