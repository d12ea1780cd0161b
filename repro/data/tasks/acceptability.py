"""Real sentences against the same sentences with one grammatical fault (after CoLA)."""

import random
from collections import Counter
from collections.abc import Callable

from repro.data.documents import Example, Sentence, TaskData, split_by_group, unique
from repro.errors import UserError

AGREEMENT = {
    "is": "are",
    "was": "were",
    "has": "have",
    "does": "do",
    "says": "say",
    "makes": "make",
    "seems": "seem",
    "goes": "go",
    "takes": "take",
}
FLIPS = AGREEMENT | {plural: singular for singular, plural in AGREEMENT.items()}
DETERMINERS = frozenset(("the", "a", "an", "this", "these", "those", "my", "his", "its", "their"))
FAULTS = ("swap", "agreement", "determiner")


def acceptability(
    *,
    source: Callable,
    train: int = 6000,
    dev: int = 600,
    test: int = 2000,
    seed: int = 0,
    min_words: int = 6,
    max_words: int = 24,
    faults: tuple[str, ...] = FAULTS,
) -> TaskData:
    """Return acceptable (1) or not (0) for pairs of a sentence and its faulty twin.

    source: a reader of tagged sentences. swap: two neighbouring words of different parts of speech
    change places; agreement: a finite verb changes number; determiner: one is dropped. One fault a
    sentence, the faults in turn where they apply; both twins lie in the same split. Sizes count
    examples, two a sentence. Raises UserError for an unknown fault.
    """
    if unknown := sorted(set(faults) - set(FAULTS)):
        raise UserError(f"acceptability.faults: unknown {unknown[0]!r}; there are {FAULTS}")
    sentences = unique(list(source()), lambda item: item.text)
    sentences = [item for item in sentences if min_words <= len(item.words) <= max_words]
    twins, used = [], Counter()
    for item in sentences:
        rng = random.Random(f"{seed}/{item.id}")
        for fault in sorted(faults, key=lambda name: used[name]):
            if faulty := _CORRUPT[fault](item, rng):
                used[fault] += 1
                twins.append((item, fault, faulty))
                break
    sizes = {"train": train // 2, "dev": dev // 2, "test": test // 2}
    parts = split_by_group(twins, lambda twin: twin[0].group, sizes, seed, "acceptability")
    splits = {name: [e for twin in part for e in _examples(twin)] for name, part in parts.items()}
    return TaskData(
        kind="classification",
        labels=("faulty", "acceptable"),
        metrics=("mcc", "accuracy"),
        notes={"faults": dict(Counter(fault for part in parts.values() for _, fault, _ in part))},
        **splits,
    )


def _examples(twin: tuple[Sentence, str, list[str]]) -> tuple[Example, Example]:
    item, _, faulty = twin
    return (
        Example(label=1, text=item.text, sources=(item.text,)),
        Example(label=0, text=" ".join(faulty), sources=(item.text,)),
    )


def _swap(item: Sentence, rng: random.Random) -> list[str] | None:
    places = [
        at
        for at in range(len(item.words) - 1)
        if item.tags[at] != item.tags[at + 1]
        and "." not in item.tags[at : at + 2]
        and item.words[at].lower() != item.words[at + 1].lower()
    ]
    if not places:
        return None
    at, words = rng.choice(places), list(item.words)
    words[at], words[at + 1] = words[at + 1], words[at]
    return words


def _agreement(item: Sentence, rng: random.Random) -> list[str] | None:
    """do and have also stand as infinitives; only directly after a noun or pronoun they agree."""
    places = [
        at
        for at in range(1, len(item.words))
        if item.words[at] in FLIPS
        and item.tags[at] == "VERB"
        and item.tags[at - 1] in ("NOUN", "PRON")
        and item.words[at - 1].lower() not in ("i", "you")
    ]
    return _replace(item, rng, places, lambda word: [FLIPS[word]])


def _determiner(item: Sentence, rng: random.Random) -> list[str] | None:
    places = [
        at
        for at in range(len(item.words) - 1)
        if item.words[at] in DETERMINERS and item.tags[at + 1] in ("NOUN", "ADJ")
    ]
    return _replace(item, rng, places, lambda word: [])


def _replace(
    item: Sentence, rng: random.Random, places: list[int], new: Callable[[str], list[str]]
) -> list[str] | None:
    if not places:
        return None
    at = rng.choice(places)
    return [*item.words[:at], *new(item.words[at]), *item.words[at + 1 :]]


_CORRUPT = {"swap": _swap, "agreement": _agreement, "determiner": _determiner}
