"""The published tokenizer of LLaMA, which names its special tokens otherwise and lacks two."""

import json
from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer

from repro.errors import UserError
from repro.text.tokenizer import CLS, MASK, PAD, SEP, UNK, pretrained, with_template

# The last two are bytes that no text holds.
NAMES = {"<s>": CLS, "</s>": SEP, "<unk>": UNK, "<0x00>": PAD, "<0x01>": MASK}


def tokenizer(
    texts: Sequence[str], /, *, name: str, revision: str, vocab_size: int = 32000
) -> Tokenizer:
    """Return a tokenizer of the first LLaMA, its ids unchanged; texts are unused.

    vocab_size: what it must have; dry runs know it without the file. Raises UserError when it is
    neither in the local cache nor reachable, or of another family or size.
    """
    return sized(renamed(contents(texts, name, revision), name), name, vocab_size)


def contents(texts: Sequence[str], name: str, revision: str) -> dict[str, Any]:
    """Return the tokenizer.json of a published tokenizer. Raises UserError as `pretrained`."""
    return json.loads(pretrained(texts, name=name, revision=revision).to_str())


def sized(found: Tokenizer, name: str, vocab_size: int) -> Tokenizer:
    """Return the tokenizer. Raises UserError if it is of another size."""
    if found.get_vocab_size() != vocab_size:
        raise UserError(f"tokenizer.vocab_size = {vocab_size}: {name} has "
                        f"{found.get_vocab_size()}")
    return found


def renamed(content: dict[str, Any], name: str) -> Tokenizer:
    """Return the tokenizer of a tokenizer.json with our special tokens. Raises UserError for one
    without the pieces of LLaMA."""
    known = dict(content["model"]["vocab"])
    for old, new in NAMES.items():
        if old not in known:
            raise UserError(f"tokenizer {name}: has no piece {old!r}")
        known[new] = known.pop(old)
    model = {**content["model"], "vocab": known, "unk_token": UNK}
    return with_template(Tokenizer.from_str(json.dumps(
        {**content, "model": model, "added_tokens": [], "post_processor": None})))
