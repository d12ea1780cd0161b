"""What a reader yields and what a task consists of, before any tokenisation."""

import random
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from repro.errors import UserError

Item = TypeVar("Item")
_WORD = re.compile(r"[^\W_]+")


class Document(NamedTuple):
    """A document of a corpus. parts: its sentences or paragraphs in order, the unit in which text
    is removed from pre-training; label: class, when the source has one; group: what must stay on
    one side of a split (an article, a tweet, a three-character code); value: a number, if rated."""

    id: str
    parts: tuple[str, ...]
    label: str = ""
    group: str = ""
    value: float = 0.0

    @property
    def text(self) -> str:
        return " ".join(self.parts)


class Sentence(NamedTuple):
    """A tagged sentence: words and one tag a word; label: genre."""

    id: str
    words: tuple[str, ...]
    tags: tuple[str, ...]
    label: str = ""
    group: str = ""

    @property
    def text(self) -> str:
        return " ".join(self.words)


Source = Callable[[], Iterator[Document]]


@dataclass(frozen=True)
class Example:
    """text (and pair) with an int or float label, or words with one tag index a word (-100: no
    label). sources: unmarked texts that pre-training must not see when this is a test example."""

    label: int | float | tuple[int, ...]
    text: str = ""
    pair: str | None = None
    words: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


@dataclass
class TaskData:
    """A task before tokenisation. kind: classification, pair, tagging or regression; labels: class
    names in index order; metrics: the first is primary; notes: facts worth keeping in task.json."""

    kind: str
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    train: list[Example]
    dev: list[Example]
    test: list[Example]
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def primary(self) -> str:
        return self.metrics[0]


TaskBuilder = Callable[[], TaskData]


def normalise(text: str) -> str:
    """Return text as compared for leaks: case folded, letters and digits, single spaces."""
    return " ".join(_WORD.findall(text.casefold()))


def unique(items: list[Item], text: Callable[[Item], str]) -> list[Item]:
    """Return the first item of every normalised text, in order; empty texts are dropped."""
    seen: dict[str, Item] = {}
    for item in items:
        seen.setdefault(normalise(text(item)), item)
    seen.pop("", None)
    return list(seen.values())


def shuffled(items: list[Item], seed: int, *names: Hashable) -> list[Item]:
    """Return a copy in an order that depends on the seed and the names only."""
    copy = list(items)
    random.Random("/".join(map(str, (seed, *names)))).shuffle(copy)
    return copy


def split_by_group(
    items: list[Item],
    group: Callable[[Item], Hashable],
    sizes: dict[str, int],
    seed: int,
    task: str,
) -> dict[str, list[Item]]:
    """Return test, dev and train of at most the given sizes, no group in two of them.

    Whole groups in random order fill test, then dev, then train; a group that would overfill a
    split is cut. Raises UserError naming the task when a split stays short of its size.
    """
    groups: dict[Hashable, list[Item]] = {}
    for item in items:
        groups.setdefault(group(item), []).append(item)
    waiting = iter(shuffled(list(groups), seed, task))
    splits: dict[str, list[Item]] = {}
    for name in ("test", "dev", "train"):
        split = splits[name] = []
        while len(split) < sizes[name]:
            key = next(waiting, None)
            if key is None:
                raise UserError(
                    f"{task}.{name} = {sizes[name]}: only {len(split)} examples are left for it "
                    f"({len(items)} in all)"
                )
            split.extend(shuffled(groups[key], seed, task, key)[: sizes[name] - len(split)])
    return {name: shuffled(split, seed, task, name) for name, split in splits.items()}


def counts_by_label(examples: list[Example], labels: tuple[str, ...]) -> dict[str, int]:
    """Return how often each label occurs (words for tagging), in label order."""
    counts: Counter[int] = Counter()
    for example in examples:
        counts.update(example.label if isinstance(example.label, tuple) else [int(example.label)])
    return {name: counts[index] for index, name in enumerate(labels)}
