"""A label for every word: parts of speech and named entities."""

from collections.abc import Callable

from repro.data import treebanks
from repro.data.documents import Example, Sentence, TaskData, split_by_group, unique


def part_of_speech(
    *,
    source: Callable,
    train: int = 2000,
    dev: int = 300,
    test: int = 1000,
    seed: int = 0,
    min_words: int = 5,
    max_words: int = 40,
) -> TaskData:
    """Return tagging with the twelve universal parts of speech.

    source: treebanks.oanc_sentences or treebanks.brown_sentences; sentences of one text stay in one
    split. train, dev, test: sentences.
    """
    kept = [item for item in source() if min_words <= len(item.words) <= max_words]
    sizes = {"train": train, "dev": dev, "test": test}
    return _tagging(kept, treebanks.UNIVERSAL, ("accuracy", "macro_f1"), sizes, seed)


def entities(
    *, train: int = 1200, dev: int = 300, test: int = 700, seed: int = 0, types: bool = True
) -> TaskData:
    """Return BIO tagging of named entities in tweets (WNUT 2016); types=False keeps B, I and O."""
    tweets = list(treebanks.wnut())
    if not types:
        tweets = [item._replace(tags=tuple(tag[0] for tag in item.tags)) for item in tweets]
    labels = tuple(sorted({tag for item in tweets for tag in item.tags}, key=lambda t: t[::-1]))
    labels = ("O", *(label for label in labels if label != "O"))
    sizes = {"train": train, "dev": dev, "test": test}
    return _tagging(tweets, labels, ("span_f1", "accuracy"), sizes, seed)


def _tagging(
    sentences: list[Sentence],
    labels: tuple[str, ...],
    metrics: tuple[str, ...],
    sizes: dict[str, int],
    seed: int,
) -> TaskData:
    """Split whole texts. One text may hold more sentences than dev asks for: it is cut there."""
    sentences = unique(sentences, lambda item: item.text)
    parts = split_by_group(sentences, lambda item: item.group, sizes, seed, "tagging")
    index = {label: at for at, label in enumerate(labels)}
    splits = {
        name: [
            Example(
                label=tuple(index[tag] for tag in item.tags),
                words=item.words,
                sources=(item.text,),
            )
            for item in items
        ]
        for name, items in parts.items()
    }
    return TaskData("tagging", labels, metrics, **splits)
