"""GPT-2's vocabulary with our special tokens, on a small one of the same form."""

import json

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from repro.errors import UserError
from repro.text.gpt2 import END, renamed
from repro.text.tokenizer import vocab_info

TEXTS = ["the cat sat on the mat and the cats sat on mats"] * 3


def content():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(TEXTS, trainers.BpeTrainer(
        vocab_size=275, initial_alphabet=alphabet, show_progress=False))
    tokenizer.add_special_tokens([AddedToken(END, special=True)])
    return json.loads(tokenizer.to_str())


def test_the_rarest_merges_make_room_and_the_size_stays():
    theirs = content()
    size = len(theirs["model"]["vocab"]) + 1
    tokenizer = renamed(theirs, size, "gpt2")
    info = vocab_info(tokenizer)
    assert info.size == size and info.sep == size - 1
    assert sorted((info.pad, info.unk, info.cls, info.mask)) == list(range(size - 5, size - 1))
    frequent = tokenizer.encode("the the", add_special_tokens=False).ids
    assert frequent == Tokenizer.from_str(json.dumps(theirs)).encode("the the").ids
    everything = tokenizer.encode(TEXTS[0], add_special_tokens=False).ids
    assert max(everything) < size - 5 and tokenizer.decode(everything) == TEXTS[0]


def test_another_vocabulary_is_refused():
    with pytest.raises(UserError, match="expected a BPE vocabulary of 50257"):
        renamed(content(), 50257, "other")
