"""The data stage: readers -> pool without test texts -> tokenizer -> corpora and tasks on disk."""

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import chain, islice
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from repro.context import RunContext
from repro.data import assets, shards
from repro.data.documents import Document, Example, TaskData, normalise, shuffled
from repro.data.encoding import encode_documents, encode_task, task_info
from repro.data.subsets import Pool, Selection, overlap
from repro.errors import UserError
from repro.text import tokenizer as vocabularies

Used = dict[str, dict[str, str]]  # asset -> version and sha256


def prepare(
    ctx: RunContext,
    *,
    sources: tuple[Callable, ...],
    corpora: dict[str, Callable],
    tasks: dict[str, Callable],
    tokenizer: Callable,
    tokenizer_corpus: str | None = None,
    task_length: int = 64,
    order_seed: int = 42,
    exclude: tuple[str, ...] = ("test",),
    min_words: int = 2,
    documents_per_source: int | None = None,
) -> None:
    """Write a data artefact: tokenizer, corpora/<name>, tasks/<name> and manifest.json.

    sources: readers whose documents form the pool, shuffled once by order_seed; corpora: name ->
    selection from the pool (repro.data.subsets); tasks: name -> builder (repro.data.tasks);
    tokenizer: trainer, applied to tokenizer_corpus, or to the corpus with most words.
    exclude: splits of the tasks whose texts leave the pool, compared as whole parts (sentences,
    paragraphs, glosses) after normalisation; also parts below min_words and repeated documents.
    task_length: tokens at which task examples are cut. documents_per_source: read no more of each
    source (for trials).
    Raises UserError for an empty pool, corpus or task, and for data that is not fetched.
    """
    if task_length < 4:
        raise UserError(f"prepare.task_length = {task_length}: must be at least 4")
    total = len(sources) + 2 * len(tasks) + len(corpora) + 1
    progress = iter(range(1, total + 1))

    def done(phase: str) -> None:
        ctx.report(step=next(progress), total=total, phase=phase)

    built, task_assets = _build(tasks, done)
    banned = _banned(built, exclude)
    documents, dropped, corpus_assets = _read(
        sources, documents_per_source, banned, min_words, done
    )
    pool = _pool(documents, built, order_seed)
    selections = {name: select(pool) for name, select in corpora.items()}
    trained = _train(tokenizer, pool, selections, tokenizer_corpus)
    vocabularies.save(trained, ctx.out)
    done("tokenizer")
    for name, meta in _write_corpora(ctx, pool, selections, trained):
        shards.write_json(
            ctx.out / "corpora" / name / "meta.json",
            {**meta, "assets": corpus_assets, "dropped": dict(sorted(dropped.items()))},
        )
        done(f"corpus {name}")
    for name, task in built.items():
        splits, cut = encode_task(trained, task, task_length, name)
        info = task_info(name, task, cut, task_assets[name])
        shards.write_task(ctx.out / "tasks" / name, info, splits)
        done(f"encoding {name}")
    every = {**corpus_assets, **dict(chain.from_iterable(u.items() for u in task_assets.values()))}
    shards.write_json(ctx.out / "assets.json", every)
    shards.write_manifest(ctx.out)


def _banned(tasks: dict[str, TaskData], exclude: tuple[str, ...]) -> frozenset[str]:
    if unknown := sorted(set(exclude) - set(shards.SPLITS)):
        raise UserError(f"prepare.exclude: unknown split '{unknown[0]}'; {list(shards.SPLITS)}")
    examples = (item for task in tasks.values() for name in exclude for item in getattr(task, name))
    return frozenset(normalise(text) for item in examples for text in item.sources)


def _build(
    tasks: dict[str, Callable], done: Callable[[str], None]
) -> tuple[dict[str, TaskData], dict[str, Used]]:
    """Return the tasks by name, and the assets each was made from."""
    built, used = {}, {}
    for name, builder in tasks.items():
        with assets.recorded() as used[name]:
            built[name] = builder()
        if empty := [split for split in shards.SPLITS if not getattr(built[name], split)]:
            raise UserError(f"task {name}: its {empty[0]} split is empty")
        done(f"task {name}")
    return built, used


def _read(
    sources: tuple[Callable, ...],
    most: int | None,
    banned: frozenset[str],
    min_words: int,
    done: Callable[[str], None],
) -> tuple[dict[str, Document], Counter[str], Used]:
    """Return the documents that remain (normalised text -> document), how many parts or documents
    were dropped and why, and the assets that were read. most: documents of each source."""
    documents: dict[str, Document] = {}
    dropped: Counter[str] = Counter()
    used: Used = {}
    for source in sources:
        with assets.recorded() as read:
            _keep(islice(source(), most), banned, min_words, documents, dropped)
        used |= read
        done("reading")
    return documents, dropped, used


def _keep(
    found: Iterable[Document],
    banned: frozenset[str],
    min_words: int,
    documents: dict[str, Document],
    dropped: Counter[str],
) -> None:
    """Add to documents (normalised text -> document) what remains, count what does not."""
    for document in found:
        parts, normal = [], []
        for part in document.parts:
            text = normalise(part)
            if text in banned:
                dropped["task texts"] += 1
            elif text.count(" ") + 1 < min_words:
                dropped["too short"] += 1
            else:
                parts.append(part)
                normal.append(text)
        key = " ".join(normal)
        if key in documents:
            dropped["repeated documents"] += 1
        elif parts:
            documents[key] = document._replace(parts=tuple(parts))


def _pool(documents: dict[str, Document], tasks: dict[str, TaskData], seed: int) -> Pool:
    if not documents:
        raise UserError("prepare.sources: no document is left for pre-training")
    order = shuffled(list(documents.items()), seed, "pool")
    task_words = {name: _task_words(task) for name, task in tasks.items()}
    return Pool(tuple(item for _, item in order), tuple(text for text, _ in order), task_words)


def _task_words(task: TaskData) -> Counter[str]:
    counts: Counter[str] = Counter()
    for item in chain(task.train, task.dev, task.test):
        counts.update(normalise(_visible(item)).split())
    return counts


def _visible(item: Example) -> str:
    return " ".join((item.text, item.pair or "", *item.words))


def _train(
    tokenizer: Callable, pool: Pool, selections: dict[str, Selection], corpus: str | None
) -> Tokenizer:
    """A selection with a token budget counts with its whole order, so it ranks as the largest."""
    if not selections:
        raise UserError("prepare.corpora: empty; name at least one corpus")
    if corpus is None:
        corpus = max(selections, key=lambda name: len(selections[name].indices))
    if corpus not in selections:
        raise UserError(f"prepare.tokenizer_corpus = '{corpus}': not one of {sorted(selections)}")
    return tokenizer([pool.documents[index].text for index in selections[corpus].indices])


def _write_corpora(ctx: RunContext, pool: Pool, selections: dict[str, Selection], trained):
    """Yield (name, meta) of each corpus written. Each document is encoded once."""
    wanted = sorted({index for item in selections.values() for index in item.indices})
    texts = [pool.documents[index].text for index in wanted]
    encoded = dict(zip(wanted, encode_documents(trained, texts), strict=True))
    vocab = vocabularies.vocab_info(trained)
    for name, selection in selections.items():
        chosen = _cut(name, selection, encoded)
        meta = _describe(pool, selection.indices[: len(chosen)])
        folder = ctx.out / "corpora" / name
        yield name, shards.write_corpus(folder, chosen, vocab.dtype, meta)


def _cut(name: str, selection: Selection, encoded: dict[int, np.ndarray]) -> list[np.ndarray]:
    chosen = [encoded[index] for index in selection.indices]
    if selection.tokens is None:
        return chosen
    ends = np.cumsum([len(ids) for ids in chosen])
    if ends[-1] < selection.tokens:
        raise UserError(f"corpus {name}: {selection.tokens} tokens asked, the pool has {ends[-1]}")
    last = int(np.searchsorted(ends, selection.tokens))
    excess = int(ends[last]) - selection.tokens
    final = chosen[last]
    if excess:
        final = np.concatenate([final[: -excess - 1], final[-1:]])
    return [*chosen[:last], final]


def _describe(pool: Pool, indices: tuple[int, ...]) -> dict[str, Any]:
    documents = [pool.documents[index] for index in indices]
    types = [pool.types[index] for index in indices]
    origins = Counter(document.id.partition("/")[0] for document in documents)
    return {
        "sources": dict(sorted(origins.items())),
        "words": sum(len(document.text.split()) for document in documents),
        "overlap": {
            name: round(overlap(types, counts), 6)
            for name, counts in sorted(pool.task_words.items())
        },
    }
