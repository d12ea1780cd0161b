"""The data stage of translation papers: parallel text -> vocabulary, both sides of every pair,
sentences of one language alone, lexicons, and topics across languages.

    corpora/mono.<language>                sentences that are in no pair
    corpora/<split>.<a>-<b>.<language>     the two sides of a pair, in one order; train, dev, test
    texts/<split>.<a>-<b>.<language>.txt   dev and test as they were, a sentence a line
    lexicons/<name>.npy                    (2, V, K) int64, see `repro.data.lexicons`, and its facts
    tasks/<name>.<language>                topics: trained in one language, tested in this one
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from repro.context import RunContext
from repro.data import assets, shards
from repro.data.documents import Example, TaskData, normalise
from repro.data.encoding import encode_documents, encode_task, task_info
from repro.data.lexicons import Lexicon, association, precision
from repro.data.parallel import Parallel
from repro.data.seq2seq import sentence
from repro.errors import UserError
from repro.text import tokenizer as vocabularies

SPLITS = ("train", "dev", "test")
MONO = "mono"
Parts = dict[str, list[Parallel]]
_DIGITS = re.compile(r"\d+")


def prepare(
    ctx: RunContext,
    *,
    sources: tuple[Callable, ...],
    languages: tuple[str, ...],
    pairs: tuple[str, ...],
    tokenizer: Callable,
    lexicon: Callable | None = None,
    lexicons: dict[str, int | None] | None = None,
    topics: Callable | None = None,
    mono_share: float = 0.0,
    test: int = 500,
    dev: int = 0,
    min_words: int = 1,
    max_words: int = 100,
    length_ratio: float = 2.0,
    task_length: int = 64,
    limit: int | None = None,
) -> None:
    """Write a data artefact from parallel text.

    sources: readers (`repro.data.parallel`). languages: the first one is the pivot; a paragraph
    belongs to a part by a hash of its pivot text, digits apart, so that no test text is in any
    language's training part. mono_share: of the paragraphs, for sentences of one language alone.
    pairs: like it-en. test, dev: pairs; the others are for training, in an order of their own.
    lexicons: name -> of how many training pairs the lexicon sees the sentences, at most (None =
    all); the name begins with its pair (it-en.small). topics(train, test, languages): name ->
    TaskData. task_length: tokens at which their examples are cut.
    min_words, max_words, length_ratio: of what is trained on, and of what has no published split.
    limit: paragraphs read of each source (for trials). Raises UserError for an empty part.
    """
    _check_names(languages, pairs, lexicons or {})
    with assets.recorded() as used:
        found = [item for source in sources for item in islice(source(), limit)]
    ctx.report(step=1, total=5, phase="reading")
    dropped: Counter[str] = Counter()
    kept = _suitable(found, languages[0], (min_words, max_words), length_ratio, dropped)
    parts = _split(kept, languages[0], mono_share, {"test": test, "dev": dev}, dropped)
    texts = [text for name in (MONO, "train") for item in parts[name]
             for text in item.texts.values()]
    trained = tokenizer(texts)
    vocabularies.save(trained, ctx.out)
    ctx.report(step=2, total=5, phase="tokenizer")
    _write_corpora(ctx, trained, parts, languages, pairs, dropped)
    ctx.report(step=3, total=5, phase="corpora")
    for name, count in (lexicons or {}).items():
        _write_lexicon(ctx, trained, name, count, lexicon)
    ctx.report(step=4, total=5, phase="lexicons")
    if topics is not None:
        for name, task in topics(parts["train"], parts["test"], languages).items():
            splits, cut = encode_task(trained, task, task_length, name)
            info = task_info(name, task, cut, used)
            shards.write_task(ctx.out / "tasks" / name, info, splits)
    shards.write_json(ctx.out / "assets.json", used)
    shards.write_manifest(ctx.out)
    ctx.report(step=5, total=5, phase="topics")


def sections(
    train: list[Parallel], test: list[Parallel], languages: tuple[str, ...], /, *,
    without: tuple[str, ...] = (), train_per_class: int = 50, dev_per_class: int = 10,
    test_per_class: int = 20,
) -> dict[str, TaskData]:
    """Return sections.<language> -> TaskData: the label of a paragraph, trained and chosen in the
    first language, tested in this one; the same test paragraphs in all, equally many a class.

    without: labels left out. Raises UserError for a class with too few paragraphs.
    """
    names = tuple(sorted({item.label for item in train} - {"", *without}))
    if len(names) < 2:
        raise UserError("sections: fewer than two labels in the training part")
    by_split: dict[str, list[tuple[Parallel, int]]] = {name: [] for name in SPLITS}
    for index, name in enumerate(names):
        pool = [item for item in train if item.label == name]
        held = [item for item in test if item.label == name]
        if len(pool) < dev_per_class + 1 or not held:
            raise UserError(f"sections: class {name!r} has {len(pool)} paragraphs for training and "
                            f"{len(held)} for testing")
        by_split["dev"] += [(item, index) for item in pool[:dev_per_class]]
        chosen = pool[dev_per_class : dev_per_class + train_per_class]
        by_split["train"] += [(item, index) for item in chosen]
        by_split["test"] += [(item, index) for item in held[:test_per_class]]

    def examples(split: str, language: str) -> list[Example]:
        return [Example(label=label, text=item.texts[language]) for item, label in by_split[split]]

    return {
        f"sections.{language}": TaskData(
            kind="classification", labels=names, metrics=("accuracy",),
            train=examples("train", languages[0]), dev=examples("dev", languages[0]),
            test=examples("test", language), notes={"trained_in": languages[0]})
        for language in languages}


def _check_names(
    languages: tuple[str, ...], pairs: tuple[str, ...], lexicons: dict[str, int | None]
) -> None:
    for pair in pairs:
        sides = pair.split("-")
        if len(sides) != 2 or not set(sides) <= set(languages):
            raise UserError(f"prepare.pairs: {pair!r}: expected two of {', '.join(languages)}, "
                            "like it-en")
    for name in lexicons:
        if name.partition(".")[0] not in pairs:
            raise UserError(f"prepare.lexicons: {name!r}: must begin with one of {list(pairs)}")


def key_of(text: str) -> str:
    """Return a text as it is compared between parts: normalised, numbers all alike."""
    return _DIGITS.sub("0", normalise(text))


def _suitable(
    found: Iterable[Parallel], pivot: str, words: tuple[int, int], ratio: float,
    dropped: Counter[str],
) -> list[Parallel]:
    """Return what is long enough, translated at all, and there once by its pivot text; published
    dev and test splits stay as they are."""
    kept: list[Parallel] = []
    seen: set[str] = set()
    for item in found:
        if item.split not in ("", "train"):
            kept.append(item)
            continue
        reason = _unsuitable(item, pivot, words, ratio)
        key = key_of(item.texts.get(pivot, item.id))
        if reason is None and key in seen:
            reason = "repeated"
        if reason is None:
            seen.add(key)
            kept.append(item)
        else:
            dropped[reason] += 1
    return kept


def _unsuitable(
    item: Parallel, pivot: str, words: tuple[int, int], ratio: float
) -> str | None:
    sizes = [len(text.split()) for text in item.texts.values()]
    if min(sizes) < words[0] or max(sizes) > words[1]:
        return "length"
    if max(sizes) > ratio * min(sizes):
        return "length ratio"
    base = item.texts.get(pivot)
    if any(text == base for language, text in item.texts.items() if language != pivot):
        return "not translated"
    return None


def _split(
    items: list[Parallel], pivot: str, mono_share: float, sizes: dict[str, int],
    dropped: Counter[str],
) -> Parts:
    """Return mono, train, dev and test, each in the order of a hash of the pivot text; from mono
    and train all leaves that has a text, in any language, in common with dev or test."""
    if not 0 <= mono_share < 1:
        raise UserError(f"prepare.mono_share = {mono_share}: expected at least 0 and below 1")
    parts: Parts = {name: [item for item in items if item.split == name]
                    for name in (MONO, *SPLITS)}
    free = {}
    for item in items:
        if item.split == "":
            text = key_of(item.texts[pivot])
            free[hashlib.sha256(text.encode()).hexdigest()] = item
    order = [free[digest] for digest in sorted(free)]
    for name, size in sizes.items():
        if order and len(order) <= size:
            raise UserError(f"prepare.{name} = {size}: only {len(order)} paragraphs are left")
        parts[name] += order[:size] if order else []
        order = order[size:]
    border = round(mono_share * len(order))
    parts[MONO] += order[:border]
    parts["train"] += order[border:]
    held = {key_of(text) for name in ("dev", "test") for item in parts[name]
            for text in item.texts.values()}
    for name in (MONO, "train"):
        clean = [item for item in parts[name]
                 if not any(key_of(text) in held for text in item.texts.values())]
        dropped["text of dev or test"] += len(parts[name]) - len(clean)
        parts[name] = clean
    if not parts["train"]:
        raise UserError("prepare: no pair is left for training")
    return parts


def _write_corpora(
    ctx: RunContext, tokenizer: Tokenizer, parts: Parts, languages: tuple[str, ...],
    pairs: tuple[str, ...], dropped: Counter[str],
) -> None:
    wanted = {MONO: [(language,) for language in languages]}
    wanted |= {split: [tuple(pair.split("-")) for pair in pairs] for split in SPLITS}
    meta: dict[str, Any] = {"dropped": dict(sorted(dropped.items()))}
    for split, groups in wanted.items():
        for group in groups:
            items = [item for item in parts[split] if set(group) <= set(item.texts)]
            for language in group if items else ():
                name = ".".join((split, *(("-".join(group),) if len(group) > 1 else ()), language))
                lines = [item.texts[language] for item in items]
                _write_corpus(ctx, tokenizer, name, lines, meta)
                if split in ("dev", "test"):
                    path = ctx.out / "texts" / f"{name}.txt"
                    path.parent.mkdir(exist_ok=True)
                    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _write_corpus(
    ctx: RunContext, tokenizer: Tokenizer, name: str, lines: list[str], meta: dict[str, Any]
) -> None:
    words = {"words": sum(len(line.split()) for line in lines)}
    dtype = vocabularies.vocab_info(tokenizer).dtype
    shards.write_corpus(ctx.out / "corpora" / name, encode_documents(tokenizer, lines), dtype,
                        meta | words)


def _write_lexicon(
    ctx: RunContext, tokenizer: Tokenizer, name: str, count: int | None, build: Callable | None
) -> None:
    """Build one from what its pair trains on; alignment is looked at afterwards, to judge it."""
    if build is None:
        raise UserError("prepare.lexicons: names lexicons, but prepare.lexicon builds none")
    pair = name.partition(".")[0]
    sides = []
    for language in pair.split("-"):
        sides.append(_reread(ctx, f"train.{pair}.{language}")[:count])
    size = tokenizer.get_vocab_size()
    found: Lexicon = build(*sides, [tokenizer.id_to_token(index) for index in range(size)])
    folder = ctx.out / "lexicons"
    folder.mkdir(exist_ok=True)
    np.save(folder / f"{name}.npy", np.stack([found.there, found.back]), allow_pickle=False)
    judged = {"precision": precision(found.there, association(*sides, size)),
              "precision_back": precision(found.back, association(*reversed(sides), size))}
    shards.write_json(folder / f"{name}.json",
                      found.facts | {key: round(value, 4) for key, value in judged.items()})


def _reread(ctx: RunContext, name: str) -> list[np.ndarray]:
    """Return the sentences of a corpus that has just been written (the manifest comes last)."""
    folder = ctx.out / "corpora" / name
    if not folder.is_dir():
        raise UserError(f"prepare.lexicons: there is no corpus {name}")
    corpus = shards.Corpus(
        name, np.load(folder / "tokens.npy"), np.load(folder / "offsets.npy"),
        vocabularies.load_vocab(ctx.out), {})
    return [sentence(corpus, index) for index in range(len(corpus))]
