"""Material for abilities, the selections that keep it out of test text, and rows of responses."""

import numpy as np
import pytest

from repro.data import exercises, holdout, origins
from repro.data.documents import Document, normalise
from repro.data.responses import ResponseRows, responses
from repro.data.shards import write_corpus, write_manifest
from repro.data.subsets import Pool
from repro.data.wordnet import Synset
from repro.errors import UserError
from repro.text import tokenizer as tokenizers
from repro.train.streams import Streams

NAMES = ("dog", "canine", "oak", "tree", "tent", "shelter")
SYNSETS = tuple(
    Synset(f"n{i}", "noun.x", (name,), ((("@", f"n{i + 1}"),) if i % 2 == 0 else ()), "", ())
    for i, name in enumerate(NAMES))


@pytest.fixture
def wordnet(monkeypatch):
    exercises._facts.cache_clear()
    monkeypatch.setattr(exercises.wordnet, "synsets", lambda version: SYNSETS)
    yield
    exercises._facts.cache_clear()


def test_every_kind_is_made_alike_and_the_same_every_time(wordnet):
    found = list(exercises.exercises(documents_per_kind=5))
    assert [one.label for one in found[:4]] == ["copying", "recall", "addition", "facts"]
    assert len(found) == 20 and found == list(exercises.exercises(documents_per_kind=5))
    assert all(one.id == f"exercise/{one.label}/{i // 4}" for i, one in enumerate(found))
    assert [one.text.count(";") for one in found[:4]] == [1, 9, 5, 3]


@pytest.mark.parametrize("kind", ["copying", "recall", "addition", "facts"])
def test_answers_are_right(wordnet, kind):
    for prompt, answer in exercises.examination(kind, items=50):
        words = prompt.split()
        if kind == "copying":
            assert words[1:-1] == answer.split() and len(set(words[1:-1])) == 8
        elif kind == "addition":
            assert int(words[0]) + int(words[2]) == int(answer)
        elif kind == "recall":
            pairs = [pair.split(" = ") for pair in prompt.removeprefix("map ").split(" ; ")[:-1]]
            assert dict(pairs)[words[-2]] == answer and len(pairs) == 4
        else:
            assert (words[0], answer) in {("dog", "canine"), ("oak", "tree"), ("tent", "shelter")}


def test_no_sum_of_the_examination_stands_in_the_text(wordnet):
    text = " ".join(one.text for one in exercises.exercises(documents_per_kind=400))
    asked = {prompt for prompt, _ in exercises.examination("addition", items=300)}
    told = {f"{sum_.split(' = ')[0]} =" for sum_ in text.split(" ; ") if " + " in sum_}
    assert len(told) > 800 and not asked & told


def pool(ids):
    documents = tuple(Document(one, (f"text {index}",)) for index, one in enumerate(ids))
    return Pool(documents, tuple(normalise(d.text) for d in documents), {})


def test_test_text_holds_no_material_and_training_text_only_what_is_asked_for():
    made = pool(["a/0", "exercise/x/0", "a/1", "instruct/base/0", "a/2", "exercise/x/1"])
    apart = ("exercise/", "instruct/")
    held = origins.held_out(made, documents=1, apart=apart).indices
    train = origins.training(made, documents=1, apart=apart, joined=("exercise/",)).indices
    assert held == (4,) and train == (0, 1, 2, 5)
    assert origins.training(made, documents=1, apart=apart).indices == (0, 2)
    assert origins.only(made, prefix="instruct/base/").indices == (3,)
    with pytest.raises(UserError, match="no such document"):
        origins.only(made, prefix="instruct/complex/")


def test_with_nothing_apart_it_is_the_plain_hold_out():
    made = pool([f"a/{i}" for i in range(7)])
    for name in ("held_out", "training"):
        found = getattr(origins, name)(made, documents=2, apart=("x/",))
        assert found == getattr(holdout, name)(made, documents=2)


def test_the_response_begins_after_the_first_marker():
    tokens = np.array(
        [[5, 7, 8, 1, 2, 7, 8, 3], [7, 8, 9, 9, 9, 9, 9, 9], [1, 1, 7, 1, 8, 1, 1, 1]])
    found = responses(tokens, np.array([7, 8]))
    assert found.tolist() == [[False] * 3 + [True] * 5, [False] * 2 + [True] * 6, [False] * 8]


def test_rows_keep_the_response_and_its_end(tmp_path):
    texts = ["first of red blue => red", "repeat green => green"]
    tokenizer = tokenizers.byte_bpe(texts * 20, vocab_size=300)
    tokenizers.save(tokenizer, tmp_path)
    vocab = tokenizers.vocab_info(tokenizer)
    ids = [np.array([*one, vocab.sep]) for one in tokenizers.encode(tokenizer, texts)]
    write_corpus(tmp_path / "corpora" / "base", ids, vocab.dtype, {})
    write_manifest(tmp_path)
    rows = ResponseRows(corpus="base", batch_size=2, sequence_length=40, marker=" =>")
    tokens_BT, keep_BT = rows.open(tmp_path, Streams(0))[1](0)
    kept = {tokenizer.decode(row[keep].tolist(), skip_special_tokens=False).strip()
            for row, keep in zip(tokens_BT, keep_BT, strict=True)}
    assert kept == {"red[SEP]", "green[SEP]"}
    short = ResponseRows(corpus="base", batch_size=2, sequence_length=4, marker=" =>")
    with pytest.raises(UserError, match="a document has no ' =>'"):
        short.open(tmp_path, Streams(0))[1](0)
