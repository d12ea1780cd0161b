"""Speech on disk: features of all utterances joined, and what each of them is.

    features.npy     (frames, mels) float16, normalised by utterance
    utterances.json  one object an utterance: id, language, speaker, split, origin, words, frames
    lines.json       language -> sentences a language model may read (no test or dev sentence)
    <group>.<kind>.json  how every word of the group's languages is spelled: in phones, or subwords
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from repro.data.shards import check, write_json
from repro.errors import UserError

FEATURES, UTTERANCES, LINES = "features.npy", "utterances.json", "lines.json"
BLANK = "<blank>"
Kind = Literal["phones", "subwords"]


@dataclass(frozen=True)
class Entry:
    """One utterance as it is stored. words: normalised; start: first frame in features.npy."""

    id: str
    language: str
    speaker: str
    split: str
    origin: str
    words: tuple[str, ...]
    start: int
    frames: int


@dataclass(frozen=True)
class Spelling:
    """How words are written in the units a recogniser puts out.

    units: names by id; id 0 is CTC's blank. words: language -> word -> ids.
    """

    group: str
    kind: str
    units: tuple[str, ...]
    words: dict[str, dict[str, tuple[int, ...]]]

    @property
    def size(self) -> int:
        """How many units there are, the blank included."""
        return len(self.units)

    def spell(self, language: str, words: tuple[str, ...]) -> list[int]:
        """Return the ids of a sentence. Raises KeyError for a word that is not in it."""
        return [unit for word in words for unit in self.words[language][word]]


class Speech:
    """The speech of a data artefact, memory-mapped after its files were checked.

    Raises UserError naming a missing or corrupted file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        check(self.folder, FEATURES, UTTERANCES, LINES)
        self.features = np.load(self.folder / FEATURES, mmap_mode="r", allow_pickle=False)

    @cached_property
    def entries(self) -> list[Entry]:
        """Every utterance, in the order of its features."""
        found = json.loads((self.folder / UTTERANCES).read_text(encoding="utf-8"))
        return [Entry(**{**row, "words": tuple(row["words"])}) for row in found]

    @cached_property
    def lines(self) -> dict[str, list[str]]:
        """Sentences for language models, by language."""
        return json.loads((self.folder / LINES).read_text(encoding="utf-8"))

    def chosen(self, languages: tuple[str, ...], split: str) -> list[Entry]:
        """Return the utterances of a split in some languages. Raises UserError if there is none."""
        found = [one for one in self.entries if one.language in languages and one.split == split]
        missing = sorted(set(languages) - {one.language for one in found})
        if missing:
            raise UserError(f"{self.folder}: no {split} utterance in language {missing[0]!r}")
        return found

    def of(self, entry: Entry) -> np.ndarray:
        """Return the features of an utterance, (T, mels) float32."""
        rows = self.features[entry.start : entry.start + entry.frames]
        return np.asarray(rows, dtype=np.float32)

    def spelling(self, group: str, kind: Kind) -> Spelling:
        """Return how the words of a group are spelled. Raises UserError for an unknown group."""
        name = spelling_file(group, kind)
        if not (self.folder / name).is_file():
            known = sorted(path.name for path in self.folder.glob("*.phones.json"))
            raise UserError(f"{self.folder}: no {name}; there are {', '.join(known)}")
        check(self.folder, name)
        return read_spelling(self.folder / name)


def spelling_file(group: str, kind: Kind) -> str:
    """Return the name of the file that holds a spelling."""
    return f"{group}.{kind}.json"


def read_spelling(path: Path) -> Spelling:
    """Return a spelling that `write_spelling` wrote; models carry a copy of theirs."""
    found = json.loads(Path(path).read_text(encoding="utf-8"))
    words = {language: {word: tuple(ids) for word, ids in table.items()}
             for language, table in found["words"].items()}
    group, kind, _ = path.name.split(".")
    return Spelling(group, kind, tuple(found["units"]), words)


def write_spelling(
    folder: Path, group: str, kind: Kind, spelled: dict[str, dict[str, list[str]]],
    units: list[str],
) -> None:
    """Write <group>.<kind>.json. spelled: language -> word -> names of units, without the blank."""
    ids = {unit: index for index, unit in enumerate([BLANK, *units])}
    words = {language: {word: [ids[unit] for unit in names] for word, names in table.items()}
             for language, table in spelled.items()}
    write_json(folder / spelling_file(group, kind), {"units": list(ids), "words": words})


def write_utterances(folder: Path, rows: Iterator[dict[str, Any]]) -> None:
    """Write utterances.json, one object a line."""
    lines = ",\n".join(json.dumps(row, ensure_ascii=False, sort_keys=True) for row in rows)
    (folder / UTTERANCES).write_text(f"[\n{lines}\n]\n", encoding="utf-8")
