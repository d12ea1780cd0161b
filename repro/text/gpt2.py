"""The published vocabulary of GPT-2 with the special tokens that our artefacts expect."""

import json
from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer

from repro.errors import UserError
from repro.text.tokenizer import CLS, MASK, PAD, SEP, UNK, pretrained, with_template

END = "<|endoftext|>"
UNUSED = (PAD, UNK, CLS, MASK)


def tokenizer(
    texts: Sequence[str],
    /,
    *,
    name: str = "openai-community/gpt2",
    revision: str = "main",
    vocab_size: int = 50257,
) -> Tokenizer:
    """Return GPT-2's byte-level BPE, from a local folder or the hub; texts are unused.

    The token that ends a text becomes [SEP]. The four rarest merges give their places to the other
    special tokens, which language modelling does not use: the size stays vocab_size.
    Raises UserError when it is neither cached nor reachable, or of another family or size.
    """
    found = pretrained(texts, name=name, revision=revision)
    return renamed(json.loads(found.to_str()), vocab_size, name)


def renamed(content: dict[str, Any], vocab_size: int, name: str) -> Tokenizer:
    """Return the tokenizer of a GPT-2 tokenizer.json. Raises UserError as `tokenizer`."""
    model = content["model"]
    vocab = {token: index for token, index in model["vocab"].items() if token != END}
    if model.get("type") != "BPE" or len(vocab) + 1 != vocab_size:
        raise UserError(f"tokenizer {name}: expected a BPE vocabulary of {vocab_size} with {END}")
    merges, rarest = model["merges"][: -len(UNUSED)], model["merges"][-len(UNUSED) :]
    pairs = [merge if isinstance(merge, list) else merge.split(" ") for merge in rarest]
    for special, pair in zip(UNUSED, pairs, strict=True):
        vocab[special] = vocab.pop("".join(pair))
    free = set(range(vocab_size)) - set(vocab.values())
    changed = {
        **content,
        "model": {**model, "vocab": vocab | {SEP: free.pop()}, "merges": merges, "unk_token": UNK},
        "added_tokens": [],
        "post_processor": None,
    }
    return with_template(Tokenizer.from_str(json.dumps(changed)))
