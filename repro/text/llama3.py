"""The published tokenizer of Llama 3, which names its special tokens otherwise and lacks three."""

import json
from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer

from repro.errors import UserError
from repro.text.llama import contents, sized
from repro.text.tokenizer import CLS, MASK, PAD, SEP, UNK, with_template

# The last three are reserved: no text was ever written with them.
NAMES = {"<|begin_of_text|>": CLS, "<|end_of_text|>": SEP, "<|reserved_special_token_0|>": PAD,
         "<|reserved_special_token_1|>": UNK, "<|reserved_special_token_2|>": MASK}


def tokenizer(
    texts: Sequence[str], /, *, name: str, revision: str, vocab_size: int = 128256
) -> Tokenizer:
    """Return a tokenizer of Llama 3, its ids unchanged; texts are unused.

    vocab_size: what it must have; dry runs know it without the file. Raises UserError when it is
    neither in the local cache nor reachable, or of another family or size.
    """
    return sized(renamed(contents(texts, name, revision), name), name, vocab_size)


def renamed(content: dict[str, Any], name: str) -> Tokenizer:
    """Return the tokenizer of a tokenizer.json with our special tokens. Raises UserError for one
    without the special tokens of Llama 3."""
    added = {token["content"]: token for token in content["added_tokens"]}
    if missing := [old for old in NAMES if old not in added]:
        raise UserError(f"tokenizer {name}: has no token {missing[0]!r}")
    for old, new in NAMES.items():
        added[old]["content"] = new
    return with_template(Tokenizer.from_str(json.dumps({**content, "post_processor": None})))
