"""A WordPiece vocabulary that is sure to hold some words whole: answers to cloze questions."""

import json
from collections.abc import Sequence

from tokenizers import Tokenizer

from repro.errors import UserError
from repro.text import tokenizer as text


def wordpiece(
    texts: Sequence[str], /, *, words: tuple[str, ...], vocab_size: int = 4096
) -> Tokenizer:
    """Return `tokenizer.wordpiece`, lower case, with each word as one token.

    Words that training left in pieces take the places of the pieces it made last, which are the
    rarest: the size stays vocab_size. Raises UserError for a word that is not lower-case letters,
    or when there is no place left.
    """
    if bad := [word for word in words if not (word.isalpha() and word == word.lower())]:
        raise UserError(f"wordpiece.words: {bad[0]!r} is not a word of lower-case letters")
    trained = text.wordpiece(texts, vocab_size=vocab_size)
    content = json.loads(trained.to_str())
    known: dict[str, int] = content["model"]["vocab"]
    missing = [word for word in dict.fromkeys(words) if word not in known]
    rarest = [piece for piece in sorted(known, key=known.get, reverse=True)
              if piece not in words and len(piece.removeprefix("##")) > 1
              and piece not in text.SPECIAL_TOKENS]
    if len(rarest) < len(missing):
        raise UserError(f"wordpiece.vocab_size = {vocab_size}: no place left for {missing[0]!r}")
    for word, piece in zip(missing, rarest, strict=False):
        known[word] = known.pop(piece)
    return Tokenizer.from_str(json.dumps(content))
