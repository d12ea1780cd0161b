"""What papers/vallr adds to the core, and that its arms are compared on equal terms."""

from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from papers.vallr.method import Looks, Mistakes, Rewrites
from repro.audio.store import Spelling
from repro.config import resolved
from repro.context import RunContext
from repro.data import shards
from repro.errors import UserError
from repro.lips import prompts
from repro.text import tokenizer as vocabularies
from repro.train import carrying
from repro.train.streams import Streams

ROOT = Path(__file__).parents[2]
PHONES = Spelling("en", "phones", ("<blank>", "p", "b", "m", "t", "a", "i"), {"en": {
    "pat": (1, 5, 4), "bat": (2, 5, 4), "mat": (3, 5, 4), "tip": (4, 6, 1)}})
SENTENCES = ["pat", "bat tip", "mat tip pat", "tip", "tip bat"]


LOOKS = Looks(PHONES, [line.split() for line in SENTENCES])


def rates(**given: float) -> Mistakes:
    return Mistakes(**{"guess": 0.0, "substitute": 0.0, "delete": 0.0, "insert": 0.0} | given)


def test_units_of_a_viseme_are_guessed_as_often_as_text_has_them() -> None:
    """p is said 6 times, b twice and m once; every count is one more, so that all are possible."""
    assert LOOKS.alike["b"][0] == ["p", "b", "m"]
    np.testing.assert_allclose(LOOKS.alike["b"][1], np.cumsum([7, 3, 2]) / 12)
    assert [LOOKS.like("m", draw) for draw in (0.0, 7.1 / 12, 0.99)] == ["p", "b", "m"]
    assert LOOKS.like("t", 0.7) == "t", "nothing else looks like it"
    assert LOOKS.any(0.0) == "p" and LOOKS.any(0.999) == "i"


def test_letters_look_like_their_sounds() -> None:
    letters = Spelling("en", "letters", ("<blank>", "c", "k", "|", "o"), {"en": {}})
    assert {unit: same for unit, (same, _) in Looks(letters, []).alike.items()} == {
        "c": ["c", "k"], "k": ["c", "k"], "|": ["|"], "o": ["o"]}


def test_mistakes_of_rate_zero_are_none() -> None:
    assert rates().make(list("patmi"), LOOKS, np.random.default_rng(0)) == list("patmi")


def test_rates_are_those_asked_on_average() -> None:
    rng, line = np.random.default_rng(0), ["p"] * 20

    def lengths(**given: float) -> np.ndarray:
        return np.array([len(rates(**given).make(line, LOOKS, rng)) for _ in range(2000)])

    assert lengths(delete=0.1).mean() == pytest.approx(18, abs=0.15)
    assert lengths(insert=0.1).mean() == pytest.approx(22, abs=0.15)
    assert lengths(delete=0.3).std() > lengths(delete=0.3, spread=0.0).std() + 0.5, (
        "sentences differ in how hard they are to read")


def test_what_is_guessed_looks_the_same_and_what_is_substituted_is_anything() -> None:
    rng = np.random.default_rng(0)
    guessed, any_unit = (Counter(mistakes.make(["m"], LOOKS, rng)[0] for _ in range(4000))
                         for mistakes in (rates(guess=0.6), rates(substitute=0.6)))
    assert set(guessed) == {"p", "b", "m"} and set(any_unit) == set("pbmtai")
    assert guessed["p"] / 4000 == pytest.approx(0.6 * 7 / 12, abs=0.03)
    assert any_unit["i"] / 4000 == pytest.approx(0.6 / 6, abs=0.02)


def test_rates_out_of_range_are_refused() -> None:
    with pytest.raises(UserError, match="delete = 2"):
        rates(delete=2)
    with pytest.raises(UserError, match="more than 1 in some sentences"):
        rates(guess=0.5, substitute=0.1, delete=0.1)


@pytest.fixture
def artefact(tmp_path):
    """Sentences, spellings and a tokenizer; no frame is read."""
    from repro.audio.store import write_spelling, write_utterances

    folder = tmp_path / "data"
    folder.mkdir()
    words = {word: [PHONES.units[unit] for unit in units] for word, units in
             PHONES.words["en"].items()}
    write_spelling(folder, "en", "phones", {"en": words}, list(PHONES.units[1:]))
    np.save(folder / "frames.npy", np.zeros((1, 1, 4, 4), np.uint8))
    write_utterances(folder, [])
    shards.write_json(folder / "sentences.json", SENTENCES)
    lines = [*SENTENCES, " p b m t a i ="]
    vocabularies.save(vocabularies.byte_bpe(lines, vocab_size=280, min_frequency=1), folder)
    shards.write_manifest(folder)
    return folder


def texts(folder: Path, rows: Rewrites, index: int = 0) -> list[str]:
    _, batch = rows.open(folder, Streams(0))
    tokenizer = vocabularies.load(folder)
    return [tokenizer.decode(row.tolist()).strip() for row in batch(index)[0]]


def test_without_mistakes_a_row_is_the_spelling_and_the_sentence(artefact) -> None:
    rows = Rewrites(units="phones", batch_size=5, longest=60)
    found = texts(artefact, rows)
    assert sorted(found) == sorted([
        "p a t = pat", "b a t t i p = bat tip", "m a t t i p p a t = mat tip pat", "t i p = tip",
        "t i p b a t = tip bat"])
    none = Rewrites(units="phones", batch_size=5, longest=60, mistakes=rates())
    assert texts(artefact, none) == found


def test_mistakes_are_new_every_epoch_and_the_same_in_every_run(artefact) -> None:
    rows = Rewrites(units="phones", batch_size=5, longest=60,
                    mistakes=rates(guess=0.3, delete=0.1, insert=0.1))
    first, second = texts(artefact, rows, 0), texts(artefact, rows, 1)
    assert texts(artefact, rows, 0) == first and sorted(first) != sorted(second)
    ends = {line.rpartition("= ")[2] for line in first}
    assert ends == set(SENTENCES), "the sentence has no mistake"


def test_only_the_sentence_is_learnt(artefact) -> None:
    vocab, batch = Rewrites(units="phones", batch_size=5, longest=60).open(artefact, Streams(0))
    tokenizer = vocabularies.load(artefact)
    tokens_BT, keep_BT = batch(0)
    for row, keep in zip(tokens_BT, keep_BT, strict=True):
        learnt = row[keep].tolist()
        assert learnt[-1] == vocab.sep
        assert tokenizer.decode(learnt).strip() in SENTENCES
        assert not bool(keep[: len(prompts.questions(tokenizer, [["p"]])[0])].any())


def test_the_stage_before_is_carried_along(tmp_path, monkeypatch) -> None:
    called = {}

    def pretrain(ctx, **settings):
        called.update(settings, inputs=ctx.inputs)

    monkeypatch.setattr(carrying.pretraining, "pretrain", pretrain)
    (tmp_path / "before/language").mkdir(parents=True)
    (tmp_path / "before/language/weights").write_text("w")
    ctx = RunContext("recognise", "any", 0, tmp_path / "out", tmp_path / "checkpoints", inputs={
        "data": [tmp_path / "data"], "finetune": [tmp_path / "before"]})
    train = partial(carrying.train, ctx, batches=None, objective=None, optimizer=None,
                    schedule=None, steps=3)
    train(carried="language")
    assert (tmp_path / "out/language/weights").read_text() == "w"
    assert called["inputs"] == {"data": [tmp_path / "data"]} and called["steps"] == 3
    with pytest.raises(UserError, match="carried = 'other': no such folder"):
        train(carried="other")


@pytest.fixture(scope="module")
def mini():
    return resolved.load(ROOT / "papers/vallr/resolved/mini")["arms"]


def test_letters_get_all_that_phones_get(mini) -> None:
    for share in ("", "_few"):
        one, two = (mini[f"{kind}_llm{share}"]["recognise"]["config"] for kind in ("phone",
                                                                                   "char_ctc"))
        assert {**one["batches"], "units": None} == {**two["batches"], "units": None}
        assert one["objective"]["encoder"] == two["objective"]["encoder"]
        for name in ("steps", "schedule", "clip_norm"):
            assert one[name] == two[name], name
    one, two = (mini[arm]["finetune"]["config"] for arm in ("phone_llm", "char_ctc_llm"))
    for name in ("steps", "schedule", "objective", "clip_norm"):
        assert one[name] == two[name], name
    sizes = [found["targets"]["language"]["batch_size"] for found in (one, two)]
    assert sizes[0] == sizes[1]


def test_the_language_model_writes_alike_in_every_arm(mini) -> None:
    tasks = [mini[arm]["eval"]["config"]["tasks"]["mouths"] for arm in mini if "llm" in arm]
    assert len(tasks) == 4 and all(task == tasks[0] for task in tasks)


def test_arms_with_little_video_have_a_fifth_of_it(mini) -> None:
    shares = {arm: stages["recognise"]["config"]["batches"]["share"]
              for arm, stages in mini.items() if "recognise" in stages}
    assert shares == {"phone_llm": 1.0, "char_ctc_llm": 1.0, "phone_llm_few": 0.2,
                      "char_ctc_llm_few": 0.2}


def test_the_language_model_never_sees_a_video(mini) -> None:
    for arm in ("phone_llm", "char_ctc_llm"):
        targets = mini[arm]["finetune"]["config"]["targets"]["language"]
        assert targets["_fn"].endswith("Rewrites") and targets["mistakes"] is not None
    assert torch.is_tensor(Rewrites(units="phones", batch_size=2, longest=9).example(
        vocabularies.VocabInfo(20, 0, 1, 2, 3, 4, (0, 1, 2, 3, 4)))[0])
