"""CLIP's published vocabulary with the special tokens that our artefacts expect."""

import json
from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer

from repro.errors import UserError
from repro.text.tokenizer import CLS, MASK, PAD, SEP, UNK, pretrained, with_template

FRAME = {"<|startoftext|>": CLS, "<|endoftext|>": SEP}


def tokenizer(
    texts: Sequence[str],
    /,
    *,
    name: str = "openai/clip-vit-base-patch16",
    revision: str = "main",
    vocab_size: int = 49408,
) -> Tokenizer:
    """Return CLIP's byte-level BPE, from a local folder or the hub; texts are unused.

    Its two framing tokens are [CLS] and [SEP]; [PAD], [UNK] and [MASK] take the places of the three
    pieces that were merged last. The size stays vocab_size.
    Raises UserError when it is neither cached nor reachable, or of another size or kind.
    """
    found = pretrained(texts, name=name, revision=revision)
    return renamed(json.loads(found.to_str()), vocab_size, name)


def renamed(content: dict[str, Any], vocab_size: int, name: str) -> Tokenizer:
    """Return the tokenizer of CLIP's tokenizer.json. Raises UserError as `tokenizer`."""
    model = content["model"]
    vocab: dict[str, int] = model.get("vocab", {})
    if model.get("type") != "BPE" or len(vocab) != vocab_size or not FRAME.keys() <= vocab.keys():
        raise UserError(f"tokenizer {name}: expected CLIP's vocabulary of {vocab_size}")
    merges = [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair)
              for pair in model["merges"]]
    names = FRAME | {"".join(pair): special
                     for pair, special in zip(merges[-3:], (PAD, UNK, MASK), strict=True)}
    changed = {
        **content,
        "model": {**model, "vocab": {names.get(piece, piece): index
                                     for piece, index in vocab.items()},
                  "merges": merges[:-3], "unk_token": UNK},
        "added_tokens": [],
        "post_processor": None,
    }
    return with_template(Tokenizer.from_str(json.dumps(changed)))
