"""Which documents of the pool make a corpus: all, the first n (nested), or by word overlap.

A corpus is a `Selection`: an order of documents and, where corpora must be equally long, a budget
of tokens that the order is cut at.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from repro.data.documents import Document
from repro.errors import UserError


@dataclass(frozen=True)
class Selection:
    """indices: of documents of the pool, in order; tokens: where the corpus ends (None: at the last
    document), the closing [SEP] of every document included."""

    indices: tuple[int, ...]
    tokens: int | None = None


@dataclass(frozen=True)
class Pool:
    """documents: what pre-training may use, in one shuffled order; normal: their normalised texts;
    task_words: task -> how often each word occurs in its texts (all splits)."""

    documents: tuple[Document, ...]
    normal: tuple[str, ...]
    task_words: Mapping[str, Counter[str]]

    @cached_property
    def types(self) -> list[frozenset[str]]:
        """The distinct words of every document."""
        return [frozenset(text.split()) for text in self.normal]


def everything(pool: Pool, /) -> Selection:
    """Return the whole pool."""
    return Selection(tuple(range(len(pool.documents))))


def first(pool: Pool, /, *, documents: int) -> Selection:
    """Return the first documents of the shuffled order: a smaller number gives a subset.

    Raises UserError when the pool has fewer.
    """
    if not 0 < documents <= len(pool.documents):
        raise UserError(f"first.documents = {documents}: the pool has {len(pool.documents)}")
    return Selection(tuple(range(documents)))


def by_overlap(
    pool: Pool, /, *, rank: Literal["high", "low"], tasks: tuple[str, ...], tokens: int
) -> Selection:
    """Return documents in order of what they add to (high) or keep out of (low) the overlap.

    A document's score is the sum over its distinct words w of share(w) / documents that have w,
    divided by its length: the share of the tasks' word occurrences it is expected to cover alone,
    per word. Two corpora with the same `tokens` have exactly that many tokens.
    Raises UserError for an unknown task.
    """
    if unknown := sorted(set(tasks) - set(pool.task_words)):
        raise UserError(
            f"by_overlap.tasks: unknown task '{unknown[0]}'; there are {sorted(pool.task_words)}"
        )
    wanted = sum((pool.task_words[name] for name in tasks), Counter())
    spread = Counter(word for types in pool.types for word in types)
    value = {word: count / spread[word] for word, count in wanted.items() if word in spread}
    scores = [
        sum(sorted(value[word] for word in types if word in value)) / max(1, len(text.split()))
        for text, types in zip(pool.normal, pool.types, strict=True)
    ]
    sign = -1 if rank == "high" else 1
    order = sorted(range(len(scores)), key=lambda index: (sign * scores[index], index))
    return Selection(tuple(order), tokens)


def overlap(types: Iterable[frozenset[str]], task_words: Counter[str]) -> float:
    """Return o(P, D): the share of D's word occurrences whose type occurs in P.

    types: distinct words of P's documents. Words, not word pieces: of pieces nearly all occur in
    any P. Raises ValueError for an empty D. Source: Gross et al. 2025.
    """
    total = task_words.total()
    if not total:
        raise ValueError("overlap: the task has no words")
    known = frozenset().union(*types)
    return sum(count for word, count in task_words.items() if word in known) / total
