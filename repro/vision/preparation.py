"""The data stage for pictures: readers -> tokenizer -> sets of pictures on disk."""

import json
from collections.abc import Callable, Iterator

import numpy as np
from tokenizers import Tokenizer

from repro.context import RunContext
from repro.data import assets, shards
from repro.data.encoding import encode_documents
from repro.errors import UserError
from repro.text import tokenizer as vocabularies
from repro.vision import pictures
from repro.vision.colours import MEAN, STD
from repro.vision.pictures import Picture, Source

PROCESSOR = "preprocessor_config.json"


def prepare(
    ctx: RunContext,
    *,
    sets: dict[str, Callable[..., Source]],
    tokenizer: Callable[..., Tokenizer],
    tokenizer_set: str,
    image_size: int,
) -> None:
    """Write a data artefact: tokenizer, image processor, pictures/<name> and manifest.json.

    sets: name -> reader. tokenizer: trainer, applied to the texts of tokenizer_set. image_size:
    side of what the model sees, for the processor that an exported model is loaded with; images
    keep their own size here.
    Raises UserError for an empty set, or data that is not fetched.
    """
    if tokenizer_set not in sets:
        raise UserError(f"prepare.tokenizer_set = '{tokenizer_set}': not one of {sorted(sets)}")
    if image_size < 1:
        raise UserError(f"prepare.image_size = {image_size}: expected at least 1")
    total, done = 2 * len(sets) + 1, 0
    groups: dict[str, list[tuple[str, ...]]] = {}
    used: dict[str, dict[str, dict[str, str]]] = {}
    for name, read in sets.items():
        with assets.recorded() as used[name]:
            groups[name] = _write(ctx, name, read())
        done += 1
        ctx.report(step=done, total=total, phase=f"pictures {name}")
    trained = tokenizer([text for group in groups[tokenizer_set] for text in group])
    vocabularies.save(trained, ctx.out)
    for name, texts in groups.items():
        _write_texts(ctx, name, texts, trained)
        done += 1
        ctx.report(step=done, total=total, phase=f"texts {name}")
    every = {asset: facts for found in used.values() for asset, facts in found.items()}
    shards.write_json(ctx.out / "assets.json", every)
    shards.write_json(ctx.out / PROCESSOR, _processor(image_size))
    shards.write_manifest(ctx.out)


def _write(ctx: RunContext, name: str, source: Source) -> list[tuple[str, ...]]:
    """Write images, labels and what is known of a set; return its texts by group."""
    folder = ctx.out / pictures.KIND / name
    groups = [] if source.classes is None else list(source.classes)
    labels: list[int | np.ndarray] = []

    def images() -> Iterator[bytes]:
        for picture in source.pictures:
            _take(picture, source, groups, labels, name)
            yield picture.image

    count = pictures.write_images(folder, images())
    if labels:
        np.save(folder / "labels.npy", np.asarray(labels))
    meta = {"images": count, "groups": len(groups), "texts": sum(map(len, groups)),
            "names": list(source.names)}
    shards.write_json(folder / "meta.json", meta)
    return groups


def _take(
    picture: Picture,
    source: Source,
    groups: list[tuple[str, ...]],
    labels: list[int | np.ndarray],
    name: str,
) -> None:
    if (picture.label is None) == (source.classes is not None):
        raise UserError(f"pictures '{name}': a label for each picture goes with classes")
    if picture.label is None:
        if not picture.texts:
            raise UserError(f"pictures '{name}': a picture has no text")
        groups.append(picture.texts)
    else:
        labels.append(picture.label)


def _write_texts(
    ctx: RunContext, name: str, groups: list[tuple[str, ...]], trained: Tokenizer
) -> None:
    folder = ctx.out / pictures.KIND / name
    encoded = encode_documents(trained, [text for group in groups for text in group])
    dtype = vocabularies.vocab_info(trained).dtype
    pictures.write_texts(folder, encoded, [len(group) for group in groups], dtype)
    path = folder / "meta.json"
    tokens = int(np.load(folder / "text_offsets.npy")[-1])
    shards.write_json(path, {**json.loads(path.read_text(encoding="utf-8")), "tokens": tokens})


def _processor(image_size: int) -> dict:
    """Return the settings of CLIP's image processor: what `repro.vision.crops.whole` does."""
    side = {"height": image_size, "width": image_size}
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True, "do_resize": True, "size": {"shortest_edge": image_size},
        "resample": 3, "do_center_crop": True, "crop_size": side, "do_rescale": True,
        "rescale_factor": 1 / 255, "do_normalize": True,
        "image_mean": list(MEAN), "image_std": list(STD),
    }
