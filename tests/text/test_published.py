"""T5's vocabulary with our special tokens, on a small unigram model of the same form."""

import json

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from repro.errors import UserError
from repro.text.published import renamed
from repro.text.tokenizer import vocab_info


def content(kind="Unigram"):
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), ("▁the", -3.0),
              ("▁cat", -4.0), ("s", -5.0), ("rare", -9.0), ("rarer", -9.5), ("<extra_id_0>", 0.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    made = json.loads(tokenizer.to_str())
    made["model"]["type"] = kind
    return made


def test_special_pieces_get_our_names_and_the_size_stays():
    tokenizer = renamed(content(), 9, "t5")
    info = vocab_info(tokenizer)
    assert (info.size, info.pad, info.sep, info.unk) == (9, 0, 1, 2)
    assert (info.cls, info.mask) == (7, 8)
    assert tokenizer.encode("the cats", add_special_tokens=False).ids == [4, 5, 6]
    assert tokenizer.decode([4, 5, 6]) == "the cats"


def test_another_kind_of_vocabulary_is_refused():
    with pytest.raises(UserError, match="expected a unigram vocabulary of 9 or more"):
        renamed(content("BPE"), 9, "other")
    with pytest.raises(UserError, match="of 50 or more"):
        renamed(content(), 50, "small")
