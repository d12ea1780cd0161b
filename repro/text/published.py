"""Published SentencePiece vocabularies with the special tokens that our artefacts expect."""

import json
from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer

from repro.errors import UserError
from repro.text.tokenizer import CLS, MASK, PAD, SEP, UNK, pretrained, with_template

T5_NAMES = {"<pad>": PAD, "</s>": SEP, "<unk>": UNK}


def sentencepiece(
    texts: Sequence[str],
    /,
    *,
    name: str = "google-t5/t5-base",
    revision: str = "main",
    vocab_size: int = 32000,
) -> Tokenizer:
    """Return T5's vocabulary, from a local folder or the hub; texts are unused.

    Its sentinels, beyond vocab_size, are left out, and the two rarest pieces give their places to
    [CLS] and [MASK], which language modelling does not use: the size stays vocab_size.
    Raises UserError when it is neither cached nor reachable, or is no unigram vocabulary.
    """
    found = pretrained(texts, name=name, revision=revision)
    return renamed(json.loads(found.to_str()), vocab_size, name)


def renamed(content: dict[str, Any], vocab_size: int, name: str) -> Tokenizer:
    """Return the tokenizer of a T5 tokenizer.json. Raises UserError as `sentencepiece`."""
    model = content["model"]
    if model.get("type") != "Unigram" or len(model["vocab"]) < vocab_size:
        raise UserError(f"tokenizer {name}: expected a unigram vocabulary of {vocab_size} or more")
    pieces = [[T5_NAMES.get(piece, piece), score] for piece, score in model["vocab"][:vocab_size]]
    if missing := sorted(set(T5_NAMES.values()) - {piece for piece, _ in pieces}):
        raise UserError(f"tokenizer {name}: has no piece for {missing[0]}")
    pieces[-2][0], pieces[-1][0] = CLS, MASK
    changed = {
        **content,
        "model": {**model, "vocab": pieces},
        "added_tokens": [],
        "post_processor": None,
    }
    return with_template(Tokenizer.from_str(json.dumps(changed)))
