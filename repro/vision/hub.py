"""Readers of the `paper` profile: images, captions, classes and maps of the Hugging Face hub.

Streams: only what is read is downloaded. Columns are named as the data sets name them.
"""

import io
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from repro.data.hub import load
from repro.errors import UserError
from repro.vision.ade20k import CLASSES
from repro.vision.pictures import IGNORED, Picture, Source, encode

if TYPE_CHECKING:
    from datasets import IterableDataset

_SENTENCE_ENDS = re.compile(r"\n|</s>|\.")
# Of CLIP's templates for photographs, the seven that its authors name as a good choice.
TEMPLATES = (
    "itap of a {name}.", "a bad photo of the {name}.", "a origami {name}.",
    "a photo of the large {name}.", "a {name} in a video game.", "art of the {name}.",
    "a photo of the small {name}.",
)


def recaptioned(
    *,
    images: str,
    images_revision: str,
    captions: str,
    captions_revision: str,
    captions_file: str,
    long: tuple[str, ...],
    raw: str = "raw_caption",
    url: str = "Image Path",
    pictures: int | None = None,
    shortest_side: int = 256,
) -> Source:
    """Return web images with their own and with generated captions, joined by the image's URL.

    images: a web data set with columns jpg and json (with `url`). captions: a CSV file with columns
    url, raw and those of `long`; the first of these is the long caption as a whole, and the
    sentences of all are the further texts. pictures: so many, None = all that have captions.
    shortest_side: pixels to which larger images are reduced.
    Raises UserError when a data set is not reachable.
    """
    import datasets

    def read() -> Iterator[Picture]:
        try:
            table = datasets.load_dataset(
                captions, data_files=captions_file, split="train", revision=captions_revision)
            places = {address: place for place, address in enumerate(table[url])}
            rows = _stream(images, "train", images_revision)
            found = 0
            for row in rows:
                place = places.get(row["json"]["url"])
                if place is None or found == pictures:
                    continue
                texts = _texts(table[place], raw, long)
                if len(texts) > 2:
                    found += 1
                    yield Picture(_reduced(row["jpg"], shortest_side), texts)
        except (OSError, ValueError, KeyError, datasets.exceptions.DatasetsError) as error:
            raise _unreachable(f"{images} with {captions}", error) from error

    return Source(read())


def captioned(
    *, dataset: str, revision: str, split: str = "test", shortest_side: int = 256
) -> Source:
    """Return images with the captions people wrote, one a line (columns jpg and txt)."""

    def read() -> Iterator[Picture]:
        for row in _stream(dataset, split, revision):
            texts = tuple(line.strip() for line in row["txt"].splitlines() if line.strip())
            yield Picture(_reduced(row["jpg"], shortest_side), texts)

    return Source(read())


def labelled(
    *, dataset: str, revision: str, split: str = "validation", image: str = "image",
    label: str = "label", shortest_side: int = 256,
) -> Source:
    """Return images of classes; a class has several names separated by commas, the first counts."""
    rows = load(dataset, None, split, revision)
    names = tuple(name.split(",")[0] for name in rows.features[label].names)

    def read() -> Iterator[Picture]:
        for row in rows:
            yield Picture(_reduced(row[image], shortest_side), label=int(row[label]))

    prompts = tuple(tuple(t.format(name=name) for t in TEMPLATES) for name in names)
    return Source(read(), prompts, names)


def segmented(
    *, dataset: str, config: str | None, revision: str, size: int, split: str = "validation",
    image: str = "image", annotation: str = "annotation",
) -> Source:
    """Return scenes of ADE20K with maps of its 150 classes (0 in the data = none of them), both
    reduced to the square in the middle, of `size` pixels a side."""
    rows = load(dataset, config, split, revision)

    def read() -> Iterator[Picture]:
        for row in rows:
            pixels = np.asarray(_square(row[image].convert("RGB"), size, Image.Resampling.BICUBIC))
            truth = np.asarray(_square(row[annotation], size, Image.Resampling.NEAREST))
            classes = np.where(truth == 0, IGNORED, truth.astype(np.int64) - 1).astype(np.uint16)
            yield Picture(encode(pixels), label=classes)

    prompts = tuple(tuple(t.format(name=name) for t in TEMPLATES) for name in CLASSES)
    return Source(read(), prompts, CLASSES)


def sentences(text: str) -> list[str]:
    """Return the sentences of a generated caption: split at full stops and line ends."""
    return [part.strip() for part in _SENTENCE_ENDS.split(text or "") if part.strip()]


def _texts(row: dict[str, Any], raw: str, long: tuple[str, ...]) -> tuple[str, ...]:
    said = [sentence for column in long for sentence in sentences(row[column])]
    return (row[raw] or "", row[long[0]] or "", *said)


def _stream(dataset: str, split: str, revision: str) -> "IterableDataset":
    import datasets

    try:
        return datasets.load_dataset(dataset, split=split, revision=revision, streaming=True)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise _unreachable(dataset, error) from error


def _unreachable(dataset: str, error: Exception) -> UserError:
    reason = next(iter(str(error).splitlines()), type(error).__name__)[:160]
    return UserError(f"hub data set {dataset}: not reachable; the data stage must run on a machine "
                     f"with network ({reason})")


def _reduced(image: Image.Image, shortest_side: int) -> bytes:
    """Return an image file no larger than asked for."""
    image = image.convert("RGB")
    factor = shortest_side / min(image.size)
    if factor < 1:
        size = tuple(max(shortest_side, round(factor * side)) for side in image.size)
        image = image.resize(size, Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def _square(image: Image.Image, size: int, how: Image.Resampling) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.resize((size, size), how, box=(left, top, left + side, top + side))
