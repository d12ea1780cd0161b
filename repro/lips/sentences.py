"""Sentences to be said: clauses of running text whose words are among the most frequent ones."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from repro.audio.utterances import words_of
from repro.data.documents import Document
from repro.errors import UserError

Source = Callable[[], Iterator[Document]]
_BORDER = re.compile(r"[.,;:!?()\[\]\"`]+|''|--+|\s-\s")
_APART = re.compile(r"\s+(n't|'(?:s|re|ve|ll|d|m))\b")  # treebanks write contractions apart


def clauses(documents: Iterable[Document], shortest: int, longest: int) -> list[str]:
    """Return the clauses of so many words, each once: lower-case words joined by spaces.

    A clause ends at a punctuation mark; one with a digit is left out, as nothing shows how it is
    said.
    """
    found: dict[str, None] = {}
    for document in documents:
        for part in document.parts:
            for piece in _BORDER.split(_APART.sub(r"\1", part.replace("’", "'"))):
                words = words_of(piece)
                plain = not any(letter.isdigit() for letter in piece)
                if plain and shortest <= len(words) <= longest:
                    found[" ".join(words)] = None
    return list(found)


def frequent(
    *, sources: tuple[Source, ...], words: int | None = None, shortest: int = 3, longest: int = 10
) -> list[str]:
    """Return the clauses of all sources that are made of the most frequent words alone.

    words: how many; counted over all clauses, the first in the alphabet of equals. None = all.
    shortest, longest: words of a clause. Raises UserError where none is left.
    """
    documents = (document for source in sources for document in source())
    found = clauses(documents, shortest, longest)
    if words is not None:
        counts = Counter(word for line in found for word in line.split())
        known = set(sorted(counts, key=lambda word: (-counts[word], word))[:words])
        found = [line for line in found if known.issuperset(line.split())]
    if not found:
        raise UserError("frequent.sources: no clause of these lengths and words")
    return found
