"""Joint vocabularies of several languages: a tag a language, and where words begin.

The tag of English is the token [en]. As in mBART, it closes a sentence that is read and opens one
that is written.
"""

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from repro.errors import UserError
from repro.text import tokenizer as vocabularies
from repro.text.tokenizer import CLS, MASK, PAD, SEP, UNK

MBART_NAMES = {"<s>": CLS, "<pad>": PAD, "</s>": SEP, "<unk>": UNK, "<mask>": MASK}
# Of a piece with which a word begins: byte-level BPE's and SentencePiece's sign for a space.
WORD_MARKS = ("\u0120", "\u2581")


def tag(language: str) -> str:
    """Return the token of a language."""
    return f"[{language}]"


def byte_bpe(
    texts: Sequence[str], /, *, languages: tuple[str, ...], vocab_size: int = 6000,
    min_frequency: int = 2,
) -> Tokenizer:
    """Return a byte-level BPE tokenizer of all languages together, their tags being the last ids.

    vocab_size: with the tags. Raises UserError as `repro.text.tokenizer.byte_bpe`.
    """
    trained = vocabularies.byte_bpe(
        texts, vocab_size=vocab_size - len(languages), min_frequency=min_frequency
    )
    trained.add_special_tokens([tag(language) for language in languages])
    return trained


def mbart(
    texts: Sequence[str],
    /,
    *,
    languages: dict[str, str],
    name: str = "facebook/mbart-large-cc25",
    revision: str = "main",
    vocab_size: int = 250027,
) -> Tokenizer:
    """Return mBART's published vocabulary, from a local folder or the hub; texts are unused.

    languages: ours -> its own code ({"en": "en_XX"}). No id changes: published weights fit.
    Raises UserError when it is neither cached nor reachable, or is not of this size or kind.
    """
    found = vocabularies.pretrained(texts, name=name, revision=revision)
    trained = renamed(json.loads(found.to_str()), languages, name)
    if trained.get_vocab_size() != vocab_size:
        raise UserError(f"tokenizer {name}: has {trained.get_vocab_size()} entries, expected "
                        f"mbart.vocab_size = {vocab_size}")
    return trained


def renamed(content: dict[str, Any], languages: dict[str, str], name: str) -> Tokenizer:
    """Return the tokenizer of an mBART tokenizer.json under our names of special tokens and
    languages. Raises UserError for another kind of vocabulary, or a token that it lacks."""
    if content["model"].get("type") != "Unigram":
        raise UserError(f"tokenizer {name}: expected a unigram vocabulary")
    names = MBART_NAMES | {code: tag(language) for language, code in languages.items()}
    pieces = [[names.get(piece, piece), score] for piece, score in content["model"]["vocab"]]
    added = [{**one, "content": names.get(one["content"], one["content"])}
             for one in content["added_tokens"]]
    known = {piece for piece, _ in pieces} | {one["content"] for one in added}
    if missing := sorted(set(names.values()) - known):
        raise UserError(f"tokenizer {name}: has no piece for {missing[0]}")
    changed = {**content, "model": {**content["model"], "vocab": pieces}, "added_tokens": added,
               "post_processor": None}
    return vocabularies.with_template(Tokenizer.from_str(json.dumps(changed)))


@lru_cache(maxsize=16)
def tag_ids(folder: Path, languages: tuple[str, ...]) -> dict[str, int]:
    """Return language -> id of its tag in the tokenizer of a folder. Raises UserError."""
    tokenizer = vocabularies.load(folder)
    ids = {language: tokenizer.token_to_id(tag(language)) for language in languages}
    for language, index in ids.items():
        if index is None:
            raise UserError(f"language {language!r}: the tokenizer of {folder} has no tag for it")
    return ids


@lru_cache(maxsize=4)
def word_starts(folder: Path) -> np.ndarray:
    """Return (V,) bool: the pieces of a folder's tokenizer with which a word begins."""
    tokenizer = vocabularies.load(folder)
    starts_V = np.zeros(tokenizer.get_vocab_size(), dtype=bool)
    for piece, index in tokenizer.get_vocab().items():
        starts_V[index] = piece.startswith(WORD_MARKS)
    return starts_V
