"""Talking mouths made by rule: espeak-ng says a sentence, lips move and are drawn to it.

What a clip shows is what its phones look like, in context and from a speaker of their own; phones
of one viseme differ by nothing but their timing. T frames, S pixels a side.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from repro.audio import espeak as speech
from repro.audio.synthesis import TEST_VOICES, VOICES
from repro.lips.articulation import frames_of, tracks
from repro.lips.rendering import Look, look, render

SPLITS = ("test", "dev", "train")


class Spoken(NamedTuple):
    """One utterance that is seen. video: (T, C, S, S) uint8 at 25 frames a second; phones: with
    times, where they are known; no sentence is in two splits."""

    id: str
    speaker: str
    split: str
    text: str
    video: np.ndarray
    phones: tuple[speech.Phone, ...] = ()


class Person(NamedTuple):
    """A voice of espeak (`m3`) with a look."""

    name: str
    voice: str
    look: Look


def people(count: int, voices: tuple[str, ...], seed: int, kind: str) -> list[Person]:
    """Return so many people, the voices in turn, every look drawn anew; `kind` names them."""
    return [Person(f"{kind}{index}", voices[index % len(voices)],
                   look(np.random.default_rng([seed, len(kind), index])))
            for index in range(count)]


def talking(
    pool: list[str],
    /,
    *,
    train: int,
    dev: int,
    test: int,
    words: tuple[int, int] = (4, 8),
    longest: int = 80,
    rate: tuple[int, int] = (100, 130),
    withheld: float = 0.2,
    common: int = 200,
    train_people: int = 100,
    test_people: int = 30,
    size: int = 32,
    seed: int = 0,
    language: str = "en-us",
    espeak: str = speech.VERSION,
) -> Iterator[Spoken]:
    """Yield clips of sentences of the pool: so many of each split, fewer if it has no more.

    words: fewest and most of a sentence; longest: frames of a clip. withheld: this share of the
    pool's words, of all but the `common` most frequent, is said in test clips only. Test clips show
    people and voices that are in no other. rate: least and most words a minute; pitch and its range
    30 to 70. Grey, one channel.
    """
    said, draw = speech.espeak(espeak), random.Random(f"{seed}/mouths")
    hidden = withheld_words(pool, withheld, common)
    cast = {"train": people(train_people, VOICES, seed, "train"),
            "test": people(test_people, TEST_VOICES, seed, "test")}
    cast["dev"] = cast["train"]
    left = {"test": test, "dev": dev, "train": train}
    for index, text in enumerate(draw.sample(pool, len(pool))):
        chosen = [split for split in SPLITS if left[split] > 0
                  and (split == "test" or hidden.isdisjoint(text.split()))]
        if not chosen or not words[0] <= len(text.split()) <= words[1]:
            continue
        split, person = chosen[0], draw.choice(cast[chosen[0]])
        prosody = speech.Prosody(draw.randint(*rate), draw.randint(30, 70), draw.randint(30, 70))
        _, phones = said.say(text, f"{language}+{person.voice}", prosody)
        rng = np.random.default_rng(draw.getrandbits(64))
        if phones and frames_of(phones) <= longest:
            left[split] -= 1
            shapes_T5 = tracks(phones, frames_of(phones))
            video = render(shapes_T5, person.look, rng, size)[:, None]
            yield Spoken(f"mouth-{index}", person.name, split, text, video, tuple(phones))
        if not any(left.values()):
            return


def withheld_words(pool: list[str], share: float, common: int) -> frozenset[str]:
    """Return this share of the pool's words, by their names' digests; never one of the `common`
    most frequent."""
    counts = Counter(word for line in pool for word in line.split())
    order = sorted(counts, key=lambda word: (-counts[word], word))
    return frozenset(
        word for word in order[common:]
        if int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big") < share * 2**64)
