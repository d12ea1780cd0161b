"""What papers/csr4mbart adds to the core, and that its arms differ in nothing else."""

from pathlib import Path

import numpy as np
import pytest

from papers.csr4mbart.method import CodeSwitch, dealt_out, switch
from repro.config import resolved
from repro.data.lexicons import NONE
from repro.data.shards import write_manifest
from repro.errors import UserError
from repro.text import languages
from repro.text import tokenizer as vocabularies

FOLDER = Path(__file__).parents[2] / "papers" / "csr4mbart"
TEXTS = ["the cat sees a dog and a bird in the old tree", "il gatto vede un cane e un uccello"] * 4


@pytest.fixture
def artefact(tmp_path):
    """Return a folder with a vocabulary and a lexicon: every id has the next one and the one after
    it there, the one before it back; the tags and special tokens have none."""
    tokenizer = languages.byte_bpe(TEXTS, languages=("en", "it"), vocab_size=320)
    vocabularies.save(tokenizer, tmp_path)
    size = tokenizer.get_vocab_size()
    ids = np.arange(size)
    there, back = np.stack([ids + 1, ids + 2], axis=1), np.stack([ids - 1, ids - 1], axis=1)
    for table in (there, back):
        table[:5] = table[-4:] = NONE
    (tmp_path / "lexicons").mkdir()
    np.save(tmp_path / "lexicons" / "it-en.npy", np.stack([there, back]))
    write_manifest(tmp_path)
    return tmp_path


def ids_of(artefact, text):
    return np.array(vocabularies.load(artefact).encode(text, add_special_tokens=False).ids)


def test_switching_by_hand():
    table = np.array([[NONE, NONE], [11, 12], [13, 13]])
    tokens, inside = np.array([1, 2, 0, 2]), np.array([True, False, True, True])
    for seed in range(8):
        found = switch(tokens, inside, table, np.random.default_rng(seed)).tolist()
        assert found[0] in (11, 12) and found[1:] == [2, 0, 13]


def test_every_translation_is_drawn():
    table = np.array([[5, 6, 7]])
    tokens = np.zeros(300, dtype=int)
    drawn = switch(tokens, np.ones(300, bool), table, np.random.default_rng(0))
    assert np.bincount(drawn)[5:].min() > 60


def test_each_language_is_switched_by_its_own_table(artefact):
    tokens = ids_of(artefact, "the cat sees a dog in the old tree")
    corrupt = CodeSwitch(lexicon="it-en").open(artefact)
    mask = vocabularies.load_vocab(artefact).mask
    share = []
    for seed in range(60):
        for language, moves in (("it", {0, 1, 2}), ("en", {0, -1})):
            found = corrupt(tokens, language, np.random.default_rng(seed))
            found = found[found != mask]  # of empty spans
            assert set((found - tokens).tolist()) <= moves
            share.append((found != tokens).mean())
    assert 0.25 < np.mean(share) < 0.5  # 35 % of the words, spans cut at the sentence's end


def test_switched_off_it_is_the_sentence_itself(artefact):
    tokens = ids_of(artefact, "the cat sees a dog")
    off = CodeSwitch(lexicon="it-en", rate=0.0).open(artefact)
    assert off(tokens, "en", np.random.default_rng(0)).tobytes() == tokens.tobytes()


def test_a_lexicon_without_entries_inserts_masks_and_no_more(artefact):
    np.save(artefact / "lexicons" / "it-en.npy", np.full((2, 320, 2), NONE))
    write_manifest(artefact)
    corrupt = CodeSwitch(lexicon="it-en").open(artefact)
    tokens = ids_of(artefact, "the cat sees a dog in the old tree")
    mask = vocabularies.load_vocab(artefact).mask
    for seed in range(20):
        found = corrupt(tokens, "it", np.random.default_rng(seed))
        assert np.array_equal(found[found != mask], tokens)


def test_the_control_deals_out_the_same_translations(artefact):
    there, _ = np.load(artefact / "lexicons" / "it-en.npy")
    dealt = dealt_out(there, 42)
    having = there[:, 0] != NONE
    assert np.array_equal(dealt[:, 0] != NONE, having)
    assert sorted(map(tuple, dealt.tolist())) == sorted(map(tuple, there.tolist()))
    assert (dealt[having] == there[having]).all(axis=1).mean() < 0.05


def test_a_missing_lexicon_is_named(artefact):
    with pytest.raises(UserError, match="has no lexicons/it-fr.npy"):
        CodeSwitch(lexicon="it-fr").open(artefact)


@pytest.fixture(params=["mini", "paper"])
def arms(request):
    return resolved.load(FOLDER / "resolved" / request.param)["arms"]


def test_stage_1_differs_in_its_noise_alone(arms):
    stages = {arm: arms[arm]["restore"]["config"] for arm in ("csr", "mask", "csr_rand")}
    rest = [{**one, "batches": {k: v for k, v in one["batches"].items() if k != "noise"}}
            for one in stages.values()]
    assert rest[0] == rest[1] == rest[2]
    csr, dealt = (stages[arm]["batches"]["noise"] for arm in ("csr", "csr_rand"))
    assert csr | {"shuffled": True} == dealt
    mask = stages["mask"]["batches"]["noise"]
    assert (mask["rate"], mask["mean_length"]) == (csr["rate"], csr["mean_length"])


def test_stage_2_is_the_same_and_all_arms_take_equally_many_updates(arms):
    assert arms["csr"]["finetune"] == arms["mask"]["finetune"] == arms["csr_rand"]["finetune"]
    both = sum(arms["csr"][stage]["config"]["steps"] for stage in ("restore", "finetune"))
    for arm in ("ft", "ft_reverse", "scratch"):
        plain = arms[arm]["finetune"]["config"]
        assert plain["steps"] == both
    assert arms["ft"]["finetune"]["config"] | {
        "steps": arms["csr"]["finetune"]["config"]["steps"]} == arms["csr"]["finetune"]["config"]


def test_what_is_restored_is_both_sides_of_the_pairs_that_are_tuned_on(arms):
    restored = arms["csr"]["restore"]["config"]["batches"]["corpora"]
    pair = arms["csr"]["finetune"]["config"]["batches"]
    sides = {f"{pair['corpus']}.{pair[side]}" for side in ("source", "target")}
    assert set(restored) == sides
    assert arms["csr"]["restore"]["config"]["batches"]["noise"]["lexicon"] in pair["corpus"]
