"""Llama 3's tokenizer under our names for the special tokens."""

import json

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from repro.errors import UserError
from repro.text.llama3 import NAMES, renamed
from repro.text.tokenizer import vocab_info


def content(*special: str) -> dict:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator(["the cat sat"] * 3, trainers.BpeTrainer(
        vocab_size=300, special_tokens=[], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False))
    tokenizer.add_special_tokens(list(special))
    return json.loads(tokenizer.to_str())


def test_special_tokens_get_our_names_and_keep_their_ids() -> None:
    given = content(*NAMES, "<|other|>")
    ids = {token["content"]: token["id"] for token in given["added_tokens"]}
    found = renamed(given, "any")
    assert {old: found.token_to_id(new) for old, new in NAMES.items()} == {
        old: ids[old] for old in NAMES}
    assert found.get_vocab_size() == len(given["model"]["vocab"]) + len(ids)
    assert vocab_info(found).sep == ids["<|end_of_text|>"]
    text = found.encode(" the cat", add_special_tokens=False)
    assert "".join(text.tokens) == "ĠtheĠcat"


def test_another_family_is_refused() -> None:
    with pytest.raises(UserError, match="tokenizer any: has no token"):
        renamed(content("<s>"), "any")
