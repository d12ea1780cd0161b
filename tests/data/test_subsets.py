"""Corpora from one pool: nested subsets and equal-token subsets of high and low overlap."""

from collections import Counter

import pytest

from repro.data.documents import Document
from repro.data.subsets import Pool, by_overlap, everything, first, overlap
from repro.errors import UserError


def pool(texts: list[str], task: str) -> Pool:
    documents = tuple(Document(f"toy/{at}", (text,)) for at, text in enumerate(texts))
    return Pool(documents, tuple(texts), {"task": Counter(task.split())})


def test_smaller_subsets_are_contained_in_larger_ones():
    texts = pool([f"text {at}" for at in range(30)], "text")
    sizes = [first(texts, documents=size).indices for size in (5, 10, 22)]
    for small, large in zip(sizes, sizes[1:], strict=False):
        assert small == large[: len(small)]
    assert everything(texts).indices == tuple(range(30))


@pytest.mark.parametrize("size", [0, 4])
def test_more_documents_than_there_are_is_an_error(size):
    with pytest.raises(UserError, match=rf"first.documents = {size}: the pool has 3"):
        first(pool(["a", "b", "c"], "a"), documents=size)


def test_overlap_is_the_share_of_word_occurrences_that_are_known():
    counts = Counter({"cat": 6, "dog": 3, "emu": 1})
    assert overlap([frozenset({"cat", "sat"})], counts) == 0.6
    assert overlap([frozenset({"cat"}), frozenset({"dog"})], counts) == 0.9
    assert overlap([], counts) == 0.0
    with pytest.raises(ValueError, match="no words"):
        overlap([frozenset({"cat"})], Counter())


def test_high_ranks_first_what_low_ranks_last():
    texts = pool(["alpha beta", "noise filler", "alpha filler", "beta gamma delta"], "alpha beta")
    high = by_overlap(texts, rank="high", tasks=("task",), tokens=100)
    low = by_overlap(texts, rank="low", tasks=("task",), tokens=100)
    assert high.indices[0] == 0 and low.indices[0] == 1
    assert high.indices[-1] == 1 and low.indices[-1] == 0
    assert high.tokens == low.tokens == 100


def test_unknown_task_is_named():
    with pytest.raises(UserError, match="unknown task 'tusk'"):
        by_overlap(pool(["a"], "a"), rank="high", tasks=("tusk",), tokens=1)
