"""The data stage end to end on a toy source: repeatable, nested, equal in tokens, free of leaks."""

from functools import partial

import numpy as np
import pytest

from repro.data import shards, subsets
from repro.data.documents import Document, TaskData
from repro.errors import UserError
from repro.text import tokenizer as vocabularies

FIRST = subsets.first


def texts(artefact, name: str) -> list[str]:
    corpus = shards.open_corpus(artefact, name)
    tokenizer = vocabularies.load(artefact)
    return [tokenizer.decode(corpus.document(at)) for at in range(len(corpus))]


def test_the_same_settings_give_the_same_bytes(context, small_prepare):
    runs = [small_prepare(context(name)) for name in ("one", "two")]
    files = [{p.relative_to(r): p.read_bytes() for p in r.rglob("*") if p.is_file()} for r in runs]
    assert files[0] == files[1]


def test_order_seed_changes_the_order_only(context, small_prepare):
    one = texts(small_prepare(context("one")), "all")
    other = texts(small_prepare(context("other"), order_seed=1), "all")
    assert one != other and sorted(one) == sorted(other)


def test_test_texts_leave_every_corpus_and_are_counted(artefact, context, small_prepare):
    """The task writes them in upper case and with another full stop: normalised, still the same."""
    banned = [f"w{index} " for index in range(5)]
    assert not [text for text in texts(artefact, "all") if any(b in text for b in banned)]
    meta = shards.open_corpus(artefact, "all").meta
    assert meta["dropped"] == {"task texts": 5}
    leaky = small_prepare(context("leaky"), exclude=())
    assert sum(any(b in text for b in banned) for text in texts(leaky, "all")) == 5
    strict = small_prepare(context("strict"), exclude=("test", "dev"))
    assert shards.open_corpus(strict, "all").meta["dropped"]["task texts"] == 7


def test_only_the_leaking_part_of_a_document_is_dropped(
    artefact, context, small_prepare, sentences
):
    with_leaks = small_prepare(context("leaky"), exclude=())
    metas = [shards.open_corpus(one, "all").meta for one in (with_leaks, artefact)]
    assert metas[0]["documents"] == metas[1]["documents"] == 60
    lost = sum(1 + len(sentences[(index + 1) % 6].split()) for index in range(5))
    assert metas[0]["words"] - metas[1]["words"] == lost


def test_repeated_documents_and_short_parts_are_dropped(context, small_prepare):
    def source():
        for index in range(8):
            yield Document(f"x/{index}", ("The same text!", "short"), "", str(index))

    out = small_prepare(context("repeated"), sources=(source,), tasks={})
    meta = shards.open_corpus(out, "all").meta
    assert meta["documents"] == 1 and meta["words"] == 3
    assert meta["dropped"] == {"repeated documents": 7, "too short": 8}


def test_subsets_are_nested_and_share_one_tokenizer(context, small_prepare):
    corpora = {str(size): partial(FIRST, documents=size) for size in (10, 20, 45)}
    out = small_prepare(context("nested"), corpora=corpora)
    small, middle, large = (texts(out, name) for name in ("10", "20", "45"))
    assert small == middle[:10] and middle == large[:20]
    only = small_prepare(context("large"), corpora={"45": corpora["45"]})
    assert (out / "tokenizer.json").read_bytes() == (only / "tokenizer.json").read_bytes()


def test_overlap_corpora_have_equal_tokens_and_the_promised_order(context, small_prepare):
    corpora = {
        rank: partial(subsets.by_overlap, rank=rank, tasks=("parity",), tokens=150)
        for rank in ("high", "low")
    }
    out = small_prepare(context("overlap"), corpora=corpora)
    opened = {name: shards.open_corpus(out, name) for name in corpora}
    assert [len(one.tokens) for one in opened.values()] == [150, 150]
    shares = {name: one.meta["overlap"]["parity"] for name, one in opened.items()}
    assert 0 < shares["low"] < shares["high"] <= 1
    sep = opened["low"].vocab.sep
    assert all(one.tokens[-1] == sep for one in opened.values())


def test_fewer_documents_per_source_for_trials(context, small_prepare):
    out = small_prepare(context("trial"), documents_per_source=12)
    assert len(shards.open_corpus(out, "all")) == 12


def test_task_rows_are_framed_padded_and_labelled(artefact):
    task = shards.open_task(artefact, "parity")
    vocab = task.vocab
    ids = np.asarray(task.test.input_ids)
    assert (ids[:, 0] == vocab.cls).all()
    lengths = (ids != vocab.pad).sum(1)
    assert (ids[np.arange(5), lengths - 1] == vocab.sep).all()
    assert task.test.labels.tolist() == [0, 1, 0, 1, 0] and task.test.labels.dtype == np.int64
    assert task.test.segments.dtype == np.uint8 and not task.test.segments.any()


def test_progress_reaches_its_total(context, small_prepare):
    ctx, seen = context("seen"), []
    ctx.on_report = lambda **values: seen.append((values["step"], values["total"]))
    small_prepare(ctx)
    assert [step for step, _ in seen] == list(range(1, seen[0][1] + 1))


def empty_task() -> TaskData:
    return TaskData("classification", ("a", "b"), ("accuracy",), [], [], [])


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"sources": ()}, "prepare.sources: no document is left"),
        ({"sources": (lambda: [Document("x", ("one",))],)}, "no document is left"),
        ({"corpora": {}}, "prepare.corpora: empty"),
        ({"corpora": {"x": partial(FIRST, documents=99)}}, "first.documents = 99"),
        ({"tokenizer_corpus": "none"}, r"tokenizer_corpus = 'none': not one of \['all'\]"),
        ({"task_length": 3}, "prepare.task_length = 3: must be at least 4"),
        ({"exclude": ("tset",)}, "unknown split 'tset'"),
        ({"tasks": {"empty": empty_task}}, "task empty: its train split is empty"),
    ],
)
def test_bad_settings_are_one_clear_line(context, small_prepare, settings, message):
    with pytest.raises(UserError, match=message):
        small_prepare(context("bad"), **settings)


def test_more_tokens_than_the_pool_has_is_an_error(context, small_prepare):
    select = partial(subsets.by_overlap, rank="high", tasks=("parity",), tokens=10**6)
    with pytest.raises(UserError, match="corpus x: 1000000 tokens asked, the pool has"):
        small_prepare(context("bad"), corpora={"x": select})
