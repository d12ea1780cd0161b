"""Tags of languages, and mBART's published vocabulary under our names."""

import json

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from repro.errors import UserError
from repro.text import languages
from repro.text import tokenizer as vocabularies


def published() -> dict:
    """Return the content of a tokenizer.json in mBART's layout, with seven ordinary pieces."""
    pieces = ["<s>", "<pad>", "</s>", "<unk>", ",", "\u2581red", "\u2581cat", "s", "\u2581", "r",
              "t"]
    scored = [(piece, -float(index)) for index, piece in enumerate(pieces)]
    scored += [("it_IT", 0.0), ("en_XX", 0.0), ("de_DE", 0.0), ("<mask>", 0.0)]
    tokenizer = Tokenizer(models.Unigram(scored, unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens([*pieces[:4], "it_IT", "en_XX", "de_DE", "<mask>"])
    return json.loads(tokenizer.to_str())


def test_no_id_of_the_published_vocabulary_changes(tmp_path):
    found = languages.renamed(published(), {"en": "en_XX", "it": "it_IT"}, "mbart")
    info = vocabularies.vocab_info(found)
    assert (info.cls, info.pad, info.sep, info.unk, info.mask) == (0, 1, 2, 3, 14)
    assert found.get_vocab_size() == 15
    vocabularies.save(found, tmp_path)
    assert languages.tag_ids(tmp_path, ("en", "it")) == {"en": 12, "it": 11}
    assert vocabularies.encode(found, ["red cats"]) == [[5, 6, 7]]
    starts = languages.word_starts(tmp_path)
    assert starts.nonzero()[0].tolist() == [5, 6, 8]
    with pytest.raises(UserError, match="has no tag"):
        languages.tag_ids(tmp_path, ("de",))


def test_another_kind_of_vocabulary_is_refused():
    content = published()
    with pytest.raises(UserError, match=r"no piece for \[fr\]"):
        languages.renamed(content, {"fr": "fr_XX"}, "mbart")
    content["model"]["type"] = "BPE"
    with pytest.raises(UserError, match="expected a unigram vocabulary"):
        languages.renamed(content, {}, "mbart")


def test_tags_are_the_last_ids_of_a_vocabulary_of_the_size_asked_for(artefact):
    tokenizer = vocabularies.load(artefact)
    assert tokenizer.token_to_id("[it]") == tokenizer.get_vocab_size() - 1
    assert tokenizer.get_vocab_size() <= 480
    assert "[it]" not in tokenizer.decode([tokenizer.token_to_id("[it]")])
    starts = languages.word_starts(artefact)
    encoded = tokenizer.encode("the window, then", add_special_tokens=False)
    words = [bool(starts[index]) for index in encoded.ids]
    assert sum(words) == 3 and words[0]
