"""Exercises that a language model meets in its text and is examined on afterwards.

copying: a random sequence, then the same again. recall: random pairs, then the partner of one of
them (k-shot mapping with random labels). addition: of numbers up to two digits; a fifth of the
pairs never stands in training text. facts: what a noun is a kind of, a few of them, each repeated.
"""

import random
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Literal

from repro.data import wordnet
from repro.data.documents import Document, shuffled

Kind = Literal["copying", "recall", "addition", "facts"]
Item = tuple[str, str]  # prompt and answer
PER_DOCUMENT = {"copying": 2, "recall": 2, "addition": 6, "facts": 4}
CONSONANTS, VOWELS = "bdfgklmnprstvz", "aeiou"
LARGEST = 49


def exercises(
    *, documents_per_kind: int = 2000, facts: int = 200, seed: int = 7, version: str = "3.0.0"
) -> Iterator[Document]:
    """Yield documents of each kind in turn, as many of one as of another; label: the kind.

    facts: how many different ones. version: of the asset with WordNet.
    """
    makers = _makers(facts, version, "train")
    for index in range(documents_per_kind):
        for kind, make in makers.items():
            draw = random.Random(f"{seed}/{kind}/{index}")
            items = [" ".join(make(draw)) for _ in range(PER_DOCUMENT[kind])]
            yield Document(f"exercise/{kind}/{index}", (" ; ".join(items),), kind)


def examination(
    kind: Kind, *, items: int, facts: int = 200, seed: int = 7, version: str = "3.0.0"
) -> list[Item]:
    """Return (prompt, answer) pairs of a kind: sequences and sums that are new, facts that were in
    the text. Drawn once for all models."""
    make = _makers(facts, version, "test")[kind]
    draw = random.Random(f"{seed}/examination/{kind}")
    return [make(draw) for _ in range(items)]


def _makers(facts: int, version: str, part: str) -> dict[str, Callable[[random.Random], Item]]:
    return {
        "copying": _copying,
        "recall": _recall,
        "addition": partial(_addition, part=part),
        "facts": partial(_fact, known=_facts(facts, version)),
    }


def _syllables(draw: random.Random, count: int) -> list[str]:
    every = [c + v for c in CONSONANTS for v in VOWELS]
    return draw.sample(every, count)


def _copying(draw: random.Random) -> Item:
    sequence = " ".join(_syllables(draw, 8))
    return f"copy {sequence} :", sequence


def _recall(draw: random.Random) -> Item:
    found = _syllables(draw, 8)
    pairs = list(zip(found[:4], found[4:], strict=True))
    asked, answer = draw.choice(pairs)
    shown = " ; ".join(f"{one} = {other}" for one, other in pairs)
    return f"map {shown} ; {asked} =", answer


def _addition(draw: random.Random, part: str) -> Item:
    while True:
        one, two = draw.randint(0, LARGEST), draw.randint(0, LARGEST)
        if ((7 * one + two) % 5 == 0) == (part == "test"):
            return f"{one} + {two} =", str(one + two)


def _fact(draw: random.Random, known: tuple[Item, ...]) -> Item:
    word, above = draw.choice(known)
    return f"{word} is a kind of", above


@lru_cache(maxsize=2)
def _facts(count: int, version: str) -> tuple[Item, ...]:
    """Return (noun, what it is a kind of) for nouns of one word that have one meaning only."""
    synsets = {synset.id: synset for synset in wordnet.synsets(version) if synset.pos == "n"}
    meanings: dict[str, int] = {}
    for synset in synsets.values():
        for lemma in synset.lemmas:
            meanings[lemma] = meanings.get(lemma, 0) + 1
    found = []
    for synset in synsets.values():
        above = [synsets[target] for symbol, target in synset.pointers if symbol == "@"]
        word = synset.lemmas[0]
        if len(above) == 1 and meanings[word] == 1 and _plain(word) and _plain(above[0].lemmas[0]):
            found.append((word, above[0].lemmas[0]))
    return tuple(shuffled(found, 0, "facts")[:count])


def _plain(word: str) -> bool:
    return word.isascii() and word.isalpha() and word.islower() and 3 <= len(word) <= 9
