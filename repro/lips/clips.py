"""Clips of mouths on disk: the frames of all utterances joined, and what each of them is.

    frames.npy         (frames, C, S, S) uint8: C channels, S pixels a side
    utterances.json    one object an utterance: id, speaker, split, words, phones with times, ...
    sentences.json     text without video: sentences a language model may read (no dev or test one)
    en.<kind>.json     how every word is spelled in phones, or in letters (`repro.audio.store`)
"""

import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from repro.audio.store import Spelling, read_spelling, spelling_file
from repro.data.shards import check
from repro.errors import UserError

FRAMES, UTTERANCES, SENTENCES = "frames.npy", "utterances.json", "sentences.json"
LANGUAGE = "en"
BORDER = "|"  # the letter that begins a word


@dataclass(frozen=True)
class Clip:
    """One utterance. start: its first frame in frames.npy; phones: (name, from, to) in seconds."""

    id: str
    speaker: str
    split: str
    words: tuple[str, ...]
    start: int
    frames: int
    phones: tuple[tuple[str, float, float], ...] = ()


class Clips:
    """The clips of a data artefact, memory-mapped after their files were checked.

    Raises UserError naming a missing or corrupted file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        check(self.folder, FRAMES, UTTERANCES, SENTENCES)
        self.frames = np.load(self.folder / FRAMES, mmap_mode="r", allow_pickle=False)

    @cached_property
    def every(self) -> list[Clip]:
        """Every utterance, in the order of its frames."""
        found = json.loads((self.folder / UTTERANCES).read_text(encoding="utf-8"))
        return [Clip(**{**row, "words": tuple(row["words"]),
                        "phones": tuple(map(tuple, row["phones"]))}) for row in found]

    def of(self, split: str) -> list[Clip]:
        """Return the utterances of a split. Raises UserError if there is none."""
        found = [clip for clip in self.every if clip.split == split]
        if not found:
            raise UserError(f"{self.folder}: no {split} clip")
        return found

    def video(self, clip: Clip) -> np.ndarray:
        """Return the frames of an utterance, (T, C, S, S) uint8."""
        return self.frames[clip.start : clip.start + clip.frames]

    @cached_property
    def unseen(self) -> frozenset[str]:
        """The words of the lexicon that no training clip holds."""
        seen = Counter(word for clip in self.of("train") for word in clip.words)
        return frozenset(self.spelling("letters").words[LANGUAGE].keys() - seen.keys())

    @cached_property
    def sentences(self) -> list[str]:
        """Text without video: words joined by spaces, no sentence of dev or test."""
        return json.loads((self.folder / SENTENCES).read_text(encoding="utf-8"))

    def spelling(self, kind: str) -> Spelling:
        """Return how words are spelled in phones or letters. Raises UserError for another kind."""
        name = spelling_file(LANGUAGE, kind)
        if not (self.folder / name).is_file():
            raise UserError(f"{self.folder}: no {name}; there are phones and letters")
        check(self.folder, name)
        return read_spelling(self.folder / name)
