"""From words to pieces: labels on the first piece, pairs in segments, cuts counted."""

import numpy as np
import pytest

from repro.data.documents import Example, TaskData
from repro.data.encoding import encode_documents, encode_task, task_info
from repro.errors import UserError
from repro.text import tokenizer as vocabularies


@pytest.fixture(scope="module")
def tokenizer():
    return vocabularies.wordpiece(["aab abb bab baa aabb"] * 5, vocab_size=20, min_frequency=1)


def task(examples: list[Example], kind: str, labels=("x", "y")) -> TaskData:
    return TaskData(kind, labels, ("accuracy",), examples, examples, examples)


def test_tags_stand_on_the_first_piece_of_their_word(tokenizer):
    words = ("aab", "abababab", "baa")
    splits, _ = encode_task(
        tokenizer, task([Example((1, 0, 1), words=words)], "tagging"), 32, "toy"
    )
    tokens = [tokenizer.id_to_token(int(i)) for i in splits["train"].input_ids[0]]
    starts = [at for at, token in enumerate(tokens) if token[0] not in "#["]
    labels = splits["train"].labels[0]
    assert len(tokens) > len(words) + 2  # at least one word falls into pieces
    assert labels[starts].tolist() == [1, 0, 1]
    assert np.delete(labels, starts).tolist() == [-100] * (len(tokens) - 3)


def test_a_single_marked_word_keeps_its_label(tokenizer):
    example = Example((-100, 1, -100), words=("aab", "baa", "bab"))
    splits, _ = encode_task(tokenizer, task([example], "tagging"), 32, "toy")
    labels = splits["test"].labels[0]
    (place,) = np.flatnonzero(labels != -100)
    assert labels[place] == 1
    first = tokenizer.encode("baa", add_special_tokens=False).ids[0]
    assert splits["test"].input_ids[0, place] == first


def test_pairs_are_two_segments(tokenizer):
    splits, _ = encode_task(tokenizer, task([Example(1, "aab", "baa bab")], "pair"), 32, "toy")
    ids, segments = splits["dev"].input_ids[0], splits["dev"].segments[0]
    sep = tokenizer.token_to_id("[SEP]")
    middle = ids.tolist().index(sep)
    assert segments[: middle + 1].tolist() == [0] * (middle + 1)
    assert set(segments[middle + 1 :]) == {1} and ids[-1] == sep


def test_long_examples_are_cut_and_counted(tokenizer):
    examples = [Example(0, "aab " * 40), Example(1, "aab")]
    splits, cut = encode_task(tokenizer, task(examples, "classification"), 8, "toy")
    assert splits["train"].input_ids.shape == (2, 8)
    assert cut == {"train": 1, "dev": 1, "test": 1}
    assert splits["train"].input_ids[0, -1] == tokenizer.token_to_id("[SEP]")
    assert len(tokenizer.encode("aab " * 40).ids) > 8  # the tokenizer itself is left as it was


def test_rows_are_as_long_as_the_longest_example(tokenizer):
    splits, _ = encode_task(tokenizer, task([Example(0, "b")], "classification"), 64, "toy")
    assert splits["train"].input_ids.shape == (1, 3)


def test_ratings_are_floats(tokenizer):
    splits, _ = encode_task(tokenizer, task([Example(-1.5, "aab")], "regression", ()), 8, "toy")
    assert splits["train"].labels.dtype == np.float32 and splits["train"].labels[0] == -1.5


def test_a_cut_that_removes_every_label_is_an_error(tokenizer):
    words = ("aab",) * 20
    example = Example((-100,) * 19 + (1,), words=words)
    with pytest.raises(UserError, match="task toy: cut at 8 tokens, no label is left in 'aab"):
        encode_task(tokenizer, task([example], "tagging"), 8, "toy")


def test_task_info_counts_labels(tokenizer):
    data = task([Example((1, -100, 0, 1), words=("a", "b", "a", "b"))], "tagging")
    info = task_info("toy", data, {"train": 0}, {"some": {}})
    assert info["counts"]["train"] == {"examples": 1, "labels": {"x": 1, "y": 2}}
    assert info["primary"] == "accuracy" and info["assets"] == ["some"]


def test_documents_are_encoded_in_order_and_closed(tokenizer):
    encoded = list(encode_documents(tokenizer, ["aab", "baa bab"] * 600))
    assert len(encoded) == 1200 and all(ids[-1] == 3 for ids in encoded)
    assert encoded[1199].tolist() == encoded[1].tolist() and encoded[0].dtype == np.uint16
