"""The published tokenizer of RoBERTa, which names its special tokens otherwise.

The ids stay those of the published model; only the names, and the frame around a text, are ours.
"""

import json
from collections.abc import Sequence

from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from repro.errors import UserError
from repro.text.tokenizer import CLS, MASK, PAD, SEP, UNK, pretrained

NAMES = {"<s>": CLS, "<pad>": PAD, "</s>": SEP, "<unk>": UNK, "<mask>": MASK}


def tokenizer(
    texts: Sequence[str], /, *, name: str, revision: str, vocab_size: int = 50265
) -> Tokenizer:
    """Return a tokenizer of the RoBERTa family; texts are unused.

    A pair is framed as <s> a </s></s> b </s>, all in segment 0, as RoBERTa was trained.
    vocab_size: what it must have; dry runs know it without the file. Raises UserError when it is
    neither in the local cache nor reachable, or of another family or size.
    """
    found = renamed(pretrained(texts, name=name, revision=revision), NAMES, name)
    if found.get_vocab_size() != vocab_size:
        raise UserError(f"tokenizer.vocab_size = {vocab_size}: {name} has "
                        f"{found.get_vocab_size()}")
    return found


def renamed(tokenizer: Tokenizer, names: dict[str, str], title: str) -> Tokenizer:
    """Return the tokenizer with special tokens renamed and framed. Raises UserError for one that
    it lacks."""
    content = json.loads(tokenizer.to_str())
    known = content["model"]["vocab"]
    added = {entry["content"]: entry for entry in content["added_tokens"]}
    for old, new in names.items():
        if old not in added:
            raise UserError(f"tokenizer {title}: has no special token {old!r}")
        added[old]["content"] = new
        if old in known:
            known[new] = known.pop(old)
        if content["model"].get("unk_token") == old:
            content["model"]["unk_token"] = new
    content["post_processor"] = None
    found = Tokenizer.from_str(json.dumps(content))
    found.post_processor = TemplateProcessing(
        single=f"{CLS}:0 $A:0 {SEP}:0",
        pair=f"{CLS}:0 $A:0 {SEP}:0 {SEP}:0 $B:0 {SEP}:0",
        special_tokens=[(token, found.token_to_id(token)) for token in (CLS, SEP)],
    )
    return found
