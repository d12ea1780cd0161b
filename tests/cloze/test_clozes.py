"""Cloze tasks: as text, in the data artefact, and a vocabulary that holds their words."""

import numpy as np
import pytest
from cloze_world import WORDS, single, write_data

from repro.data import clozes, shards
from repro.data.documents import Example, TaskData
from repro.data.tasks import cloze
from repro.errors import UserError
from repro.text import tokenizer as vocabularies
from repro.text import whole_words
from repro.train.streams import Streams


def pair_task():
    item = Example(1, "rain falls", "wet roads", sources=("rain falls", "wet roads"))
    return TaskData("pair", ("no", "yes"), ("accuracy",), [item], [item], [item])


def test_an_example_by_hand():
    made = cloze.written(task=pair_task, template="{text} ? {mask} , {pair}",
                         words={"yes": "Yes", "no": "No"}, max_words=1)
    (item,) = made.train
    assert (item.text, item.pair, item.label) == ("rain ? [MASK] , wet", None, 1)
    assert item.sources == ("rain falls", "wet roads"), "what pre-training must not see stays"
    assert made.notes == {"template": "{text} ? {mask} , {pair}", "words": ["No", "Yes"]}


def test_what_stands_next_to_the_mask():
    assert cloze.template_of("{text} it was {mask} .")[1:] == (" it was ", " .")
    assert cloze.template_of("{mask} : {text}")[1:] == ("", " : ")
    assert cloze.template_of("{text} . {mask} , I think {pair}")[1:] == (" . ", " , I think ")


@pytest.mark.parametrize("template", ["{text} it was", "{text} {mask} {mask}", "{mask} .",
                                      "{text} {mask} {label}", "{text} {mask"])
def test_a_malformed_template_is_refused(template):
    with pytest.raises(UserError, match="template"):
        cloze.template_of(template)


def test_words_must_be_those_of_the_labels():
    for words in ({"cold": "winter"}, {"cold": "winter", "warm": "winter"}):
        with pytest.raises(UserError, match="one different word for each"):
            cloze.written(task=single, template="{text} {mask}", words=words)
    with pytest.raises(UserError, match="is for tasks of pairs"):
        cloze.written(task=single, template="{text} {mask} {pair}", words=WORDS)


def test_both_forms_of_a_task_are_opened_together(data):
    task = clozes.open_task_pair(data, "season")
    tokenizer = vocabularies.load(data)
    assert [tokenizer.id_to_token(int(i)) for i in task.words_C] == ["winter", "summer"]
    assert task.offsets == (-2, -1, 1)
    assert clozes.open_task_pair(data, "both").offsets == (-1, 1)
    row = clozes.words_of(task.cloze.train, 3, task.vocab, (task.vocab.mask,))
    plain = clozes.words_of(task.plain.train, 3, task.vocab)
    shown = [tokenizer.id_to_token(int(i)) for i in row[len(plain):]]
    assert shown == ["it", "was", "[MASK]", "."] and (row[: len(plain)] == plain).all()


def test_a_pool_contains_the_smaller_ones(data):
    task = clozes.open_task_pair(data, "season")
    pools = [task.pool(Streams(1).numpy("pool"), count) for count in (5, 20, None)]
    assert set(pools[0]) < set(pools[1]) < set(pools[2]) == set(range(40))
    with pytest.raises(UserError, match="41 examples asked for"):
        task.pool(Streams(1).numpy("pool"), 41)


def decoded(task, tokenizer, row):
    ids = task.cloze.train.input_ids[row]
    return " ".join(tokenizer.id_to_token(int(i)) for i in ids)


@pytest.mark.parametrize("length", [8, 10, 11])
def test_where_a_row_is_too_long_the_text_is_cut_and_not_the_template(tmp_path, length):
    data = write_data(tmp_path, length)
    tokenizer = vocabularies.load(data)
    words = ["train", "saw", "snow", "frost", "hail", "number0"]
    for name, tail in (("season", "it was [MASK] ."), ("both", "? [MASK] ,")):
        task = clozes.open_task_pair(data, name)
        found = decoded(task, tokenizer, 0)
        kept = length - 2 - len(tail.split())
        rest = ["so", "it", "train"][: max(0, kept - 6)] if name == "both" else []
        expected = ["[CLS]", *words[:kept], *tail.split(), *rest, "[SEP]"]
        assert found == " ".join(expected), name


def test_a_text_with_a_mask_of_its_own_is_an_error(tmp_path):
    data = write_data(tmp_path)
    path = data / "tasks/season_cloze/train/input_ids.npy"
    ids = np.load(path)
    ids[2, 1] = 4
    np.save(path, ids)
    shards.write_manifest(data)
    with pytest.raises(UserError, match=r"season_cloze', train: row 2 has 2 \[MASK\]"):
        clozes.open_task_pair(data, "season")


def test_a_cloze_form_of_other_examples_is_an_error(tmp_path):
    data = write_data(tmp_path)
    path = data / "tasks/season_cloze/dev/labels.npy"
    np.save(path, np.load(path)[::-1].copy())
    shards.write_manifest(data)
    with pytest.raises(UserError, match="its cloze form has other labels"):
        clozes.open_task_pair(data, "season")


def test_a_word_in_pieces_is_an_error(data):
    with pytest.raises(UserError, match="'wintersummer' is 7 tokens"):
        clozes.single(vocabularies.load(data), "wintersummer", "season")


def test_words_are_kept_whole_and_the_size_stays():
    texts = [f"the cat number {i} sat on mat {i % 7}" for i in range(100)]
    plain = vocabularies.wordpiece(texts, vocab_size=120)
    made = whole_words.wordpiece(texts, vocab_size=120, words=("cat", "zebra"))
    assert plain.encode("zebra", add_special_tokens=False).tokens != ["zebra"]
    assert made.encode("a zebra", add_special_tokens=False).tokens[-1] == "zebra"
    assert made.get_vocab_size() == plain.get_vocab_size()
    shared = plain.get_vocab().items() & made.get_vocab().items()
    assert len(shared) == len(plain.get_vocab()) - 1, "one piece made way"
    assert made.encode("x", "y").tokens == plain.encode("x", "y").tokens, "framed as before"
    with pytest.raises(UserError, match="'New York' is not a word"):
        whole_words.wordpiece(texts, vocab_size=120, words=("New York",))
