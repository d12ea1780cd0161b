"""CLIP's vocabulary under our names, on a small one of the same make."""

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from repro.errors import UserError
from repro.text.clip import renamed
from repro.text.tokenizer import vocab_info

PIECES = ["a", "b", "c</w>", "b</w>", "a</w>", "ab</w>", "aab</w>", "bc</w>", "abc</w>",
          "<|startoftext|>", "<|endoftext|>"]
MERGES = [("a", "b</w>"), ("a", "ab</w>"), ("b", "c</w>"), ("a", "bc</w>")]


def content(pieces=tuple(PIECES)) -> dict:
    import json

    vocab = {piece: index for index, piece in enumerate(pieces)}
    made = Tokenizer(models.BPE(vocab=vocab, merges=MERGES, end_of_word_suffix="</w>",
                                unk_token="<|endoftext|>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return json.loads(made.to_str())


def test_the_size_stays_and_the_last_merges_give_their_places():
    found = renamed(content(), len(PIECES), "toy")
    info = vocab_info(found)
    assert (info.size, info.cls, info.sep) == (11, 9, 10)
    assert (info.pad, info.unk, info.mask) == (6, 7, 8)


def test_texts_are_framed_and_all_other_merges_still_hold():
    found = renamed(content(), len(PIECES), "toy")
    assert found.encode("ab").tokens == ["[CLS]", "ab</w>", "[SEP]"]
    # "aab" was one of the last three merges: now it is made of what it was merged from.
    assert found.encode("aab").tokens == ["[CLS]", "a", "ab</w>", "[SEP]"]


@pytest.mark.parametrize("pieces", [tuple(PIECES[:-1]), (*PIECES[:-1], "x")])
def test_another_vocabulary_is_refused(pieces):
    changed = content()
    changed["model"]["vocab"] = {piece: index for index, piece in enumerate(pieces)}
    with pytest.raises(UserError, match="expected CLIP's vocabulary of 11"):
        renamed(changed, 11, "toy")
