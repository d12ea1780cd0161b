"""Faces that talk, from a local copy of LRS3-TED or LRS2-BBC: their licences allow no download.

    <assets>/<name>/<folder>/<speaker>/<number>.mp4, .txt     the first line is `Text:  WORDS`
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from repro.audio.utterances import split_of, words_of
from repro.data.assets import cache_dir
from repro.errors import UserError
from repro.lips.mouths import Spoken


def recordings(
    pool: list[str],
    /,
    *,
    frames: int,
    size: int,
    name: str = "lrs3",
    train: str = "trainval",
    test: str = "test",
    dev: float = 0.03,
) -> Iterator[Spoken]:
    """Yield the utterances of the two folders; their sentences are their own, not of the pool.

    frames: of each, evenly spaced; size: pixels a side that a picture is scaled to, in RGB. dev:
    share of the speakers of the training folder. Raises UserError for missing data, an unreadable
    file, and without the library that decodes video.
    """
    root = cache_dir() / name
    for folder in (train, test):
        found = sorted((root / folder).glob("*/*.mp4"))
        if not found:
            raise UserError(f"{root / folder}: no <speaker>/<number>.mp4; ask for {name}'s licence "
                            "and unpack it there")
        for path in found:
            speaker = path.parent.name
            split = "test" if folder == test else split_of(speaker, 0.0, dev)
            yield Spoken(f"{folder}/{speaker}/{path.stem}", speaker, split, _text(path),
                         _video(path, frames, size))


def spaced(count: int, frames: int) -> list[int]:
    """Return the places of `frames` of `count` pictures, from the first to the last, evenly."""
    return np.linspace(0, count - 1, frames).astype(int).tolist()


def _text(path: Path) -> str:
    file = path.with_suffix(".txt")
    try:
        first = file.read_text(encoding="utf-8").splitlines()[0]
    except (OSError, UnicodeDecodeError, IndexError) as error:
        raise UserError(f"{file}: missing or unreadable") from error
    return " ".join(words_of(first.partition(":")[2]))


def _video(path: Path, frames: int, size: int) -> np.ndarray:
    """Return (T, 3, S, S) uint8."""
    try:
        import av
    except ImportError as error:
        raise UserError("reading LRS3 needs PyAV: pip install av") from error
    try:
        with av.open(str(path)) as file:
            pictures = [frame.to_image() for frame in file.decode(video=0)]
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a readable video") from error
    if not pictures:
        raise UserError(f"{path}: has no frame")
    kept = [pictures[place].resize((size, size), Image.Resampling.BILINEAR)
            for place in spaced(len(pictures), frames)]
    return np.stack([np.asarray(picture.convert("RGB")) for picture in kept]).transpose(0, 3, 1, 2)
