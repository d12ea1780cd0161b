"""Tasks on WordNet: what kind of thing a word or gloss is, and how two glosses relate."""

import re
from collections import Counter, defaultdict
from itertools import combinations

from repro.data.documents import Example, TaskData, shuffled, split_by_group, unique
from repro.data.wordnet import Synset, synsets
from repro.errors import UserError

RELATIONS = {
    "@": "hypernym",
    "@i": "instance of",
    "%p": "has part",
    "%m": "has member",
    ";c": "topic",
    "!": "antonym",
    "&": "similar to",
    "+": "derivation",
}
SIZES = ("train", "dev", "test")
_WORD = re.compile(r"[A-Za-z]+|[^\sA-Za-z]+")


def supersense(
    *,
    train: int = 3000,
    dev: int = 500,
    test: int = 2000,
    seed: int = 0,
    classes: int = 10,
    per_word: int = 4,
    max_words: int = 24,
) -> TaskData:
    """Return the lexicographer file of one noun in the gloss of another synset.

    Nouns whose every sense lies in one file and which are no other part of speech; train, dev and
    test WORDS are disjoint, so that a label cannot be remembered, only inferred from what
    pre-training knows of the word and its context. Tagging with one labelled word an example.
    per_word: examples of a word at most. A gloss is used once.
    """
    files = _unambiguous_nouns()
    wanted = Counter(files.values()).most_common(classes)
    labels = tuple(sorted(file for file, _ in wanted))
    files = {word: file for word, file in files.items() if file in labels}
    found: dict[str, list[tuple[Synset, list[str], int]]] = defaultdict(list)
    for synset in unique(shuffled(list(synsets()), seed, "glosses"), lambda item: item.definition):
        words = _WORD.findall(synset.definition)[:max_words]
        own = {lemma.lower() for lemma in synset.lemmas}
        places = [
            at
            for at, word in enumerate(words)
            if word in files and word not in own and len(found[word]) < per_word
        ]
        if places:
            at = min(places, key=lambda place: len(found[words[place]]))
            found[words[at]].append((synset, words, at))
    uses = [(word, *use) for word, items in found.items() for use in items]
    sizes = dict(zip(SIZES, (train, dev, test), strict=True))
    parts = split_by_group(uses, lambda use: use[0], sizes, seed, "supersense")
    splits = {
        name: [
            _marked(words, at, labels.index(files[word]), synset)
            for word, synset, words, at in part
        ]
        for name, part in parts.items()
    }
    notes = {f"{name}_words": len({use[0] for use in part}) for name, part in parts.items()}
    return TaskData("tagging", labels, ("accuracy", "macro_f1"), notes=notes, **splits)


def lexicographer_file(
    *,
    train: int = 3000,
    dev: int = 500,
    test: int = 2000,
    seed: int = 0,
    classes: int = 15,
) -> TaskData:
    """Return the lexicographer file of a noun's definition, its lemmas left out (after DBpedia)."""
    nouns = [item for item in synsets() if item.pos == "n" and item.file != "noun.Tops"]
    nouns = unique(nouns, lambda item: item.definition)
    labels = tuple(sorted(f for f, _ in Counter(n.file for n in nouns).most_common(classes)))
    nouns = [item for item in nouns if item.file in labels]
    sizes = dict(zip(SIZES, (train, dev, test), strict=True))
    parts = split_by_group(nouns, lambda item: item.id, sizes, seed, "lexicographer_file")
    splits = {
        name: [
            Example(label=labels.index(item.file), text=item.definition, sources=item.sources)
            for item in part
        ]
        for name, part in parts.items()
    }
    return TaskData("classification", labels, ("accuracy", "macro_f1"), **splits)


def relation(
    *,
    train: int = 3000,
    dev: int = 400,
    test: int = 1200,
    seed: int = 0,
    relations: tuple[str, ...] = ("hypernym", "has part", "has member", "derivation", "similar to"),
) -> TaskData:
    """Return which pointer leads from the first gloss to the second (after FewRel).

    Every class has the same number of pairs; no synset occurs in two splits. Sizes are multiples
    of the number of relations or are rounded down. Raises UserError for an unknown relation.
    """
    if unknown := sorted(set(relations) - set(RELATIONS.values())):
        raise UserError(f"relation.relations: unknown {unknown[0]!r}; {list(RELATIONS.values())}")
    index = {item.id: item for item in synsets()}
    side = _sides(sorted(index), seed)
    pairs: dict[str, list[tuple[Synset, Synset]]] = defaultdict(list)
    for item in index.values():
        for symbol, target in item.pointers:
            name = RELATIONS.get(symbol)
            if name in relations and side[item.id] == side[target] and item.id != target:
                pairs[f"{side[item.id]}/{name}"].append((item, index[target]))
    splits = {}
    for split, size in zip(SIZES, (train, dev, test), strict=True):
        splits[split] = []
        for label, name in enumerate(relations):
            chosen = shuffled(_once(pairs[f"{split}/{name}"]), seed, split, name)
            share = size // len(relations)
            if len(chosen) < share:
                raise UserError(f"relation.{split} = {size}: '{name}' has only {len(chosen)} pairs")
            splits[split] += [_pair(first, second, label) for first, second in chosen[:share]]
        splits[split] = shuffled(splits[split], seed, split)
    return TaskData("pair", tuple(relations), ("accuracy", "macro_f1"), **splits)


def word_in_context(
    *, train: int = 4000, dev: int = 500, test: int = 2000, seed: int = 0, per_lemma: int = 4
) -> TaskData:
    """Return whether a word has the same sense in two usage examples (after WiC).

    The first text names the lemma. Balanced; a lemma is in one split only.
    """
    uses: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for item in synsets():
        for lemma in item.lemmas if item.examples else ():
            stem = lemma[: max(3, len(lemma) - 2)].lower()
            uses[item.pos, lemma.lower()] += [
                (item.id, e) for e in item.examples if stem in e.lower()
            ]
    same, different = [], []
    for (_, lemma), examples in uses.items():
        pairs = list(combinations(sorted(set(examples)), 2))
        for target, kept in (
            (same, [pair for pair in pairs if pair[0][0] == pair[1][0]]),
            (different, [pair for pair in pairs if pair[0][0] != pair[1][0]]),
        ):
            target += [(lemma, a, b) for a, b in shuffled(kept, seed, lemma)[:per_lemma]]
    splits = {name: [] for name in SIZES}
    sizes = dict(zip(SIZES, (train // 2, dev // 2, test // 2), strict=True))
    side = _sides(sorted({lemma for lemma, _, _ in same + different}), seed)
    for label, pool in enumerate((different, same)):
        for name, size in sizes.items():
            chosen = [item for item in shuffled(pool, seed, label) if side[item[0]] == name][:size]
            if len(chosen) < size:
                raise UserError(f"word_in_context.{name} = {2 * size}: only {2 * len(chosen)}")
            splits[name] += [
                Example(label, f"{lemma} : {a[1]}", b[1], sources=(a[1], b[1]))
                for lemma, a, b in chosen
            ]
    splits = {name: shuffled(items, seed, name) for name, items in splits.items()}
    return TaskData("pair", ("different", "same"), ("accuracy", "macro_f1"), **splits)


def _unambiguous_nouns() -> dict[str, str]:
    """Return single lower-case words that are nouns of one lexicographer file, with that file."""
    senses: dict[str, set[str]] = defaultdict(set)
    for item in synsets():
        for lemma in item.lemmas:
            senses[lemma.lower()].add(item.file)
    return {
        word: next(iter(files))
        for word, files in senses.items()
        if len(files) == 1 and word.isalpha() and len(word) > 2 and _is_common_noun(files)
    }


def _is_common_noun(files: set[str]) -> bool:
    (file,) = files
    return file.startswith("noun.") and file != "noun.Tops"


def _marked(words: list[str], at: int, label: int, synset: Synset) -> Example:
    tags = tuple(label if place == at else -100 for place in range(len(words)))
    return Example(label=tags, words=tuple(words), sources=synset.sources)


def _sides(keys: list[str], seed: int) -> dict[str, str]:
    """Assign each key to a split: half to train, 40 % to test, the rest to dev."""
    order = shuffled(keys, seed, "sides")
    cuts = (len(order) // 2, int(len(order) * 0.9))
    names = (
        "train" if at < cuts[0] else "test" if at < cuts[1] else "dev" for at in range(len(order))
    )
    return dict(zip(order, names, strict=True))


def _once(pairs: list[tuple[Synset, Synset]]) -> list[tuple[Synset, Synset]]:
    """Keep one pair per unordered pair of synsets and at most four per target (hubs)."""
    seen, targets, kept = set(), Counter(), []
    for first, second in pairs:
        key = frozenset((first.id, second.id))
        if key not in seen and targets[second.id] < 4:
            seen.add(key)
            targets[second.id] += 1
            kept.append((first, second))
    return kept


def _pair(first: Synset, second: Synset, label: int) -> Example:
    sources = (*first.sources, *second.sources)
    return Example(label, first.definition, second.definition, sources=sources)
