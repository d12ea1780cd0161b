"""Whole documents and their class: topics, genres, chapters, sentiment, ratings."""

from collections import Counter
from collections.abc import Callable

from repro.data import corpora
from repro.data.documents import Document, Example, TaskData, shuffled, split_by_group, unique
from repro.errors import UserError


def classify(
    *,
    source: Callable,
    train: int = 2000,
    dev: int = 500,
    test: int = 2000,
    seed: int = 0,
    classes: int | None = None,
    max_words: int | None = None,
    per_group: int | None = None,
    published_split: bool = False,
) -> TaskData:
    """Return the task of naming a labelled document's class.

    source: a reader of labelled documents. classes: keep the most frequent ones only. max_words:
    keep the beginning of each text. per_group: documents of one group at most. Documents that share
    a group (an article, an ICD category) stay on one side; published_split takes the source's own
    train and test parts instead.
    Raises UserError when there are too few documents.
    """
    documents = unique([item for item in source() if item.label], lambda item: item.text)
    counts = Counter(item.label for item in documents)
    kept = sorted(counts, key=lambda label: (-counts[label], label))[:classes]
    labels = tuple(sorted(kept))
    if per_group is not None:
        documents = _thin(documents, per_group, seed)
    documents = [item for item in documents if item.label in set(labels)]
    sizes = {"train": train, "dev": dev, "test": test}
    if published_split:
        parts = _published(documents, sizes, seed)
    else:
        parts = split_by_group(documents, lambda item: item.group, sizes, seed, "classify")
    index = {label: at for at, label in enumerate(labels)}
    splits = {
        name: [_example(item, index[item.label], max_words) for item in items]
        for name, items in parts.items()
    }
    return TaskData(
        kind="classification",
        labels=labels,
        metrics=("accuracy", "macro_f1"),
        notes={"available": {label: counts[label] for label in labels}},
        **splits,
    )


def sentiment(
    *, train: int = 4000, dev: int = 500, test: int = 2000, seed: int = 0, threshold: float = 0.5
) -> TaskData:
    """Return positive or negative for film snippets whose mean rating is beyond the threshold.

    The stand-in for SST-2 of GLUE; 20 raters a snippet. Source: Hutto & Gilbert 2014.
    """
    rated = unique(list(corpora.rated_snippets()), lambda item: item.text)
    clear = [item for item in rated if abs(item.value) > threshold]
    sizes = {"train": train, "dev": dev, "test": test}
    parts = split_by_group(clear, lambda item: item.id, sizes, seed, "sentiment")
    splits = {
        name: [_example(item, int(item.value > 0), None) for item in items]
        for name, items in parts.items()
    }
    return TaskData("classification", ("negative", "positive"), ("accuracy", "macro_f1"), **splits)


def rating(*, train: int = 4000, dev: int = 500, test: int = 2000, seed: int = 0) -> TaskData:
    """Return the regression of a film snippet's mean rating (-4 to 4); stands in for STS-B."""
    rated = unique(list(corpora.rated_snippets()), lambda item: item.text)
    sizes = {"train": train, "dev": dev, "test": test}
    parts = split_by_group(rated, lambda item: item.id, sizes, seed, "rating")
    splits = {
        name: [_example(item, item.value, None) for item in items] for name, items in parts.items()
    }
    return TaskData("regression", (), ("spearman", "pearson"), **splits)


def _example(item: Document, label: int | float, max_words: int | None) -> Example:
    text = " ".join(item.text.split()[:max_words]) if max_words else item.text
    return Example(label=label, text=text, sources=item.parts)


def _thin(documents: list[Document], per_group: int, seed: int) -> list[Document]:
    kept: Counter[str] = Counter()
    thinned = []
    for item in shuffled(documents, seed, "thin"):
        kept[item.group] += 1
        if kept[item.group] <= per_group:
            thinned.append(item)
    return thinned


def _published(
    documents: list[Document], sizes: dict[str, int], seed: int
) -> dict[str, list[Document]]:
    pools = {
        side: shuffled([item for item in documents if item.group == side], seed, side)
        for side in ("train", "test")
    }
    parts = {
        "test": pools["test"][: sizes["test"]],
        "dev": pools["train"][: sizes["dev"]],
        "train": pools["train"][sizes["dev"] : sizes["dev"] + sizes["train"]],
    }
    for name, size in sizes.items():
        if len(parts[name]) < size:
            raise UserError(f"classify.{name} = {size}: the published split has {len(parts[name])}")
    return parts
