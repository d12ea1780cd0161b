"""Published tokenizers under our names for special tokens: the ids stay."""

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from repro.errors import UserError
from repro.text import roberta
from repro.text.tokenizer import vocab_info


def roberta_like() -> Tokenizer:
    words = ["<s>", "<pad>", "</s>", "<unk>", "good", "film", "bad", "<mask>"]
    found = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    found.pre_tokenizer = pre_tokenizers.Whitespace()
    found.add_special_tokens([w for w in words if w.startswith("<")])
    return found


def test_ids_stay_and_texts_are_framed_as_in_training() -> None:
    found = roberta.renamed(roberta_like(), roberta.NAMES, "toy")
    info = vocab_info(found)
    assert (info.size, info.cls, info.pad, info.sep, info.unk, info.mask) == (8, 0, 1, 2, 3, 7)
    assert found.encode("good film").ids == [0, 4, 5, 2]
    pair = found.encode("good", "bad film")
    assert pair.ids == [0, 4, 2, 2, 6, 5, 2] and set(pair.type_ids) == {0}
    assert found.encode("unheard").ids == [0, 3, 2]


def test_a_tokenizer_of_another_family_is_refused() -> None:
    other = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    with pytest.raises(UserError, match="toy: has no special token '<s>'"):
        roberta.renamed(other, roberta.NAMES, "toy")
