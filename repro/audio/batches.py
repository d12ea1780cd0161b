"""Batches of speech: a pure function of (utterances, order stream, step), so resume is a number.

B utterances, T frames, M mels, U units.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from repro.audio.store import Entry, Kind, Speech, Spelling, spelling_file
from repro.errors import UserError

Batch = tuple[Tensor, Tensor, Tensor, Tensor]
POOL = 8  # batches whose utterances are sorted by length together


class OrderStreams(Protocol):
    """What batches need of `repro.train.streams.Streams`."""

    def numpy(self, name: str, step: int = 0) -> np.random.Generator: ...


class SpeechRows:
    """Utterances of one group of languages with their labels: a `repro.train.objective.Batches`.

    group: a group of the data artefact; units: phones or subwords. batch_size: utterances B.
    utterances: of each language, the first that many of an order that all arms and seeds share;
    None = all. max_frames: what one batch is taken to be long for counting and dry runs.
    """

    def __init__(
        self, *, group: str, units: Kind, batch_size: int, max_frames: int,
        utterances: int | None = None, mels: int = 80, order_seed: int = 0,
    ) -> None:
        if batch_size < 1:
            raise UserError(f"batch_size = {batch_size}: must be at least 1")
        if utterances is not None and utterances < 1:
            raise UserError(f"utterances = {utterances}: must be at least 1")
        self.group, self.units, self.utterances = group, units, utterances
        self.mels, self.order_seed = mels, order_seed
        self.shape = {"batch_size": batch_size, "sequence_length": max_frames}
        self.files = (spelling_file(group, units),)

    @property
    def tokens(self) -> int:
        """Frames in a batch of the largest size."""
        return self.shape["batch_size"] * self.shape["sequence_length"]

    def open(
        self, folder: Path, streams: OrderStreams
    ) -> tuple[Spelling, Callable[[int], Batch]]:
        """Return the spelling and batch(index) -> (features_BTM float32, frames_B, labels_BU,
        units_B, the last three int64).

        Every epoch visits each utterance once but for a rest smaller than a batch, in batches of
        like lengths. Raises UserError for a missing or damaged artefact.
        """
        speech = Speech(folder)
        spelling = speech.spelling(self.group, self.units)
        entries = self.chosen(speech, "train")
        size = min(self.shape["batch_size"], len(entries))
        frames_N = np.array([entry.frames for entry in entries])
        per_epoch = len(entries) // size
        epochs: dict[int, list[np.ndarray]] = {}

        def batch(index: int) -> Batch:
            epoch = index // per_epoch
            if epoch not in epochs:
                epochs.clear()
                rng = streams.numpy("order", epoch)
                epochs[epoch] = batches_of_epoch(frames_N, size, rng)
            chosen = [entries[place] for place in epochs[epoch][index % per_epoch]]
            return collate(speech, spelling, chosen)

        return spelling, batch

    def chosen(self, speech: Speech, split: str) -> list[Entry]:
        """Return the utterances of a split of the group: in train, the first of each language."""
        languages = tuple(speech.spelling(self.group, self.units).words)
        found = speech.chosen(languages, split)
        if self.utterances is None or split != "train":
            return found
        kept = []
        for number, language in enumerate(languages):
            own = [entry for entry in found if entry.language == language]
            rng = np.random.default_rng([self.order_seed, number])
            places = rng.permutation(len(own))[: self.utterances]
            kept += [own[place] for place in sorted(places)]
        return kept

    def example(self, vocab: Spelling) -> Batch:
        """Return a batch of the largest shape, for measuring without data."""
        rows, frames = self.shape.values()
        labels = max(1, frames // 16)
        return (
            torch.zeros(rows, frames, self.mels),
            torch.full((rows,), frames),
            torch.ones(rows, labels, dtype=torch.int64),
            torch.full((rows,), labels),
        )


def batches_of_epoch(
    frames_N: np.ndarray, batch_size: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Return N // batch_size batches of places: within a random pool, neighbours in length."""
    order_N = rng.permutation(len(frames_N))
    full = len(order_N) // batch_size * batch_size
    found = []
    for start in range(0, full, POOL * batch_size):
        pool = order_N[start : min(start + POOL * batch_size, full)]
        pool = pool[np.argsort(frames_N[pool], kind="stable")]
        found += np.split(pool, len(pool) // batch_size)
    return [found[place] for place in rng.permutation(len(found))]


def collate(speech: Speech, spelling: Spelling, entries: list[Entry]) -> Batch:
    """Return utterances as one batch, padded with zeros (features) and blanks (labels)."""
    labels_BU, units_B = padded([spelling.spell(one.language, one.words) for one in entries])
    frames = max(entry.frames for entry in entries)
    features_BTM = np.zeros((len(entries), frames, speech.features.shape[1]), np.float32)
    for row, entry in enumerate(entries):
        features_BTM[row, : entry.frames] = speech.of(entry)
    frames_B = torch.tensor([entry.frames for entry in entries])
    return torch.from_numpy(features_BTM), frames_B, labels_BU, units_B


def padded(labels: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Return (labels_BU padded with blanks, units_B), int64."""
    labels_BU = np.zeros((len(labels), max(map(len, labels))), np.int64)
    for row, ids in enumerate(labels):
        labels_BU[row, : len(ids)] = ids
    return torch.from_numpy(labels_BU), torch.tensor([len(ids) for ids in labels])
