"""Sets of pictures on disk: encoded images, texts in groups, and labels where there are any.

    <artefact>/pictures/<name>/images.bin      the image files, joined, in any format Pillow opens
    <artefact>/pictures/<name>/*.npy, meta.json

N images, G groups of texts (one an image, or one a class), H and W pixels of a label map.
"""

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from repro.data import shards
from repro.errors import UserError
from repro.text.tokenizer import VocabInfo, load_vocab

KIND = "pictures"
IGNORED = np.iinfo(np.uint16).max  # of a label map: a pixel that has no class


class Picture(NamedTuple):
    """image: bytes of an image file. texts: what is said of it, in the order that a set defines
    (`repro.vision.texts`). label: its class, or a map of classes by pixel."""

    image: bytes
    texts: tuple[str, ...] = ()
    label: int | np.ndarray | None = None


@dataclass(frozen=True)
class Source:
    """What a reader gives. classes: of labelled pictures, the prompts of each class; None = the
    texts are those of the pictures. names: of the classes."""

    pictures: Iterable[Picture]
    classes: tuple[tuple[str, ...], ...] | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class PictureSet:
    """One set, memory-mapped. Text t is tokens[text_offsets[t] : text_offsets[t + 1]] and ends in
    [SEP]; group g has the texts groups[g] to groups[g + 1]. labels: (N,) or (N, H, W) or None."""

    name: str
    blob: np.ndarray
    image_offsets: np.ndarray
    tokens: np.ndarray
    text_offsets: np.ndarray
    groups: np.ndarray
    labels: np.ndarray | None
    vocab: VocabInfo
    meta: dict[str, Any]

    def __len__(self) -> int:
        return len(self.image_offsets) - 1

    def image(self, index: int) -> Image.Image:
        """Return one image in RGB. Raises UserError when its bytes are no image."""
        content = self.blob[self.image_offsets[index] : self.image_offsets[index + 1]].tobytes()
        try:
            return Image.open(io.BytesIO(content)).convert("RGB")
        except (UnidentifiedImageError, OSError) as error:
            raise UserError(f"pictures '{self.name}': image {index} is unreadable") from error

    def texts(self, group: int) -> list[np.ndarray]:
        """Return the ids of each text of a group, the closing [SEP] included."""
        first, last = self.groups[group], self.groups[group + 1]
        return [self.tokens[self.text_offsets[t] : self.text_offsets[t + 1]]
                for t in range(first, last)]

    def size_of(self, group: int) -> int:
        """Return how many texts a group has."""
        return int(self.groups[group + 1] - self.groups[group])


def encode(pixels_HWC: np.ndarray) -> bytes:
    """Return uint8 pixels as an image file that is the same bytes everywhere: not compressed, as
    compressors choose their output by the machine."""
    buffer = io.BytesIO()
    Image.fromarray(pixels_HWC).save(buffer, "PPM")
    return buffer.getvalue()


def write_images(folder: Path, images: Iterable[bytes]) -> int:
    """Write image files one after the other as they come; return how many. Raises UserError if
    there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    offsets = [0]
    with open(folder / "images.bin", "wb") as file:
        for image in images:
            file.write(image)
            offsets.append(offsets[-1] + len(image))
    if len(offsets) == 1:
        raise UserError(f"pictures '{folder.name}': empty (the source gives none)")
    np.save(folder / "image_offsets.npy", np.asarray(offsets, dtype=np.int64))
    return len(offsets) - 1


def write_texts(
    folder: Path, encoded: Iterator[np.ndarray], sizes: Sequence[int], dtype: np.dtype
) -> None:
    """Write encoded texts, in the order of their groups. sizes: texts of each group."""
    offsets, parts = [0], []
    for ids in encoded:
        parts.append(np.asarray(ids, dtype=dtype))
        offsets.append(offsets[-1] + len(ids))
    np.save(folder / "tokens.npy", np.concatenate(parts))
    np.save(folder / "text_offsets.npy", np.asarray(offsets, dtype=np.int64))
    np.save(folder / "groups.npy", np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))


def open_set(artefact: Path, name: str) -> PictureSet:
    """Return a set of a data artefact, memory-mapped, after checking its files.

    Raises UserError naming a missing or corrupted file, or the sets there are.
    """
    folder = Path(artefact) / KIND / name
    if not folder.is_dir():
        known = ", ".join(shards.names(artefact, KIND)) or "none"
        raise UserError(f"pictures '{name}': not in {artefact}; there are {known}")
    shards.check(artefact, f"{KIND}/{name}", "tokenizer.json")
    arrays = {path.stem: np.load(path, mmap_mode="r", allow_pickle=False)
              for path in folder.glob("*.npy")}
    return PictureSet(
        name=name,
        blob=np.memmap(folder / "images.bin", dtype=np.uint8, mode="r"),
        labels=arrays.pop("labels", None),
        vocab=load_vocab(Path(artefact)),
        meta=json.loads((folder / "meta.json").read_text(encoding="utf-8")),
        **arrays,
    )
