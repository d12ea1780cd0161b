"""Generation against hand-made search, sacrebleu on known pairs, distances by hand."""

import itertools
from functools import partial

import numpy as np
import pytest
import torch
from sacrebleu import sentence_bleu

from repro.context import RunContext
from repro.data.seq2seq import Denoising, Translation
from repro.data.spans import Infilling
from repro.errors import UserError
from repro.evaluate import across_languages, sentence_pairs, seq2seq, translation
from repro.losses.seq2seq import Seq2Seq, predictions
from repro.nn.seq2seq import mbart
from repro.text.tokenizer import VocabInfo, load_vocab
from repro.train import optimizers, schedules
from repro.train.pretraining import pretrain
from repro.train.streams import Streams

VOCAB = VocabInfo(size=9, pad=0, unk=1, cls=2, sep=3, mask=4, special=(0, 1, 2, 3, 4))
SMALL = partial(mbart, hidden=16, layers=1, heads=2, intermediate=24, max_positions=64,
                initializer_range=0.5)
INPUTS = torch.tensor([[7, 8, 5, 3, 6], [8, 3, 6, 0, 0]])


@pytest.fixture(scope="module")
def model():
    return Seq2Seq(model=SMALL).build(VOCAB, Streams(3)).eval()


def log_probabilities(model, inputs, rows):
    """Return those of rows of one length, written after the language 6, in one pass."""
    targets = torch.tensor(rows)
    read = torch.cat([torch.full((len(rows), 1), 6), targets[:, :-1]], dim=1)
    with torch.no_grad():
        logits = model(input_ids=inputs.expand(len(rows), -1), decoder_input_ids=read).logits
    return torch.log_softmax(logits, dim=2).gather(2, targets[..., None]).sum(dim=(1, 2))


def test_greedy_search_takes_the_likeliest_token_each_time(model):
    found = seq2seq.generate(model, INPUTS, 6, beams=1, longest=7)
    for inputs, ours in zip(INPUTS, found, strict=True):
        kept, row = inputs[inputs != 0][None], []
        while len(row) < 7:
            logits, _ = predictions(model, kept, torch.tensor([[*row, 8, 6]]))
            token = logits[len(row)].argmax().item()
            if token == VOCAB.sep:
                break
            row.append(token)
        assert ours == row


def test_a_beam_as_wide_as_all_prefixes_finds_the_best_of_all_rows(model):
    longest, tokens = 3, [t for t in range(VOCAB.size) if t != VOCAB.sep]
    found = {}
    for size in range(1, longest + 1):
        rows = [[*row, VOCAB.sep] for row in itertools.product(tokens, repeat=size - 1)]
        if size == longest:  # cut there, a row needs no end
            rows += [list(row) for row in itertools.product(tokens, repeat=size)]
        scores = log_probabilities(model, INPUTS[:1], rows) / size
        found |= dict(zip(map(tuple, rows), scores.tolist(), strict=True))
    best = max(found, key=found.get)
    ours = seq2seq.generate(model, INPUTS[:1], 6, beams=81, longest=longest)[0]
    assert ours == [token for token in best if token != VOCAB.sep]


def test_bleu_and_chrf_are_those_of_known_pairs():
    same = ["the cat sat on the mat .", "a b c d e"]
    assert translation.scores(same, same) == {"bleu": pytest.approx(100), "chrf": 100}
    far = translation.scores(["x"], ["the cat sat on the mat"])
    assert far["bleu"] == 0 and far["chrf"] == 0
    # Papineni et al.'s counts: 5 of 6 words, 3 of 5 pairs, 1 of 4, 0 of 3; smoothed by sacrebleu.
    one = "the cat is on the mat"
    two = "the cat sat on the mat"
    found = translation.scores([one], [two])["bleu"]
    precisions = [5 / 6, 3 / 5, 1 / 4, 1 / (2 * 3)]
    assert found == pytest.approx(100 * np.prod(precisions) ** 0.25)
    assert found == pytest.approx(sentence_bleu(one, [two], use_effective_order=False).score)


def test_distances_of_pairs_by_hand_and_free_of_scale():
    first = torch.tensor([[0.0, 0.0], [4.0, 0.0]])
    second = torch.tensor([[0.0, 1.0], [4.0, 3.0]])
    found = sentence_pairs.compare(first, second)
    others = (5.0 + np.sqrt(17)) / 2
    assert found["pair_distance"] == pytest.approx(2.0 / others)
    assert found["recall_at_1"] == pytest.approx(1.0)
    assert sentence_pairs.compare(first / 100, second / 100) == pytest.approx(found)
    assert sentence_pairs.compare(first, first)["pair_distance"] == 0
    assert sentence_pairs.compare(first, first.flip(0))["recall_at_1"] == 0
    with pytest.raises(UserError):
        sentence_pairs.compare(first[:1], second[:1])


@pytest.fixture(scope="module")
def trained(artefact, tmp_path_factory):
    """Return the context of a measure of a model that was trained a little on the toy pairs."""
    out = tmp_path_factory.mktemp("model")
    context = RunContext(stage="finetune", arm="any", seed=0, out=out / "one",
                         checkpoints=out / "ck", inputs={"data": [artefact]})
    pretrain(
        context, batches=Translation(corpus="train.it-en", source="it", target="en",
                                     batch_size=16, source_length=40, target_length=40),
        objective=Seq2Seq(model=partial(SMALL, hidden=32, initializer_range=0.1, dropout=0.0)),
        optimizer=partial(optimizers.adamw, lr=4e-3), schedule=schedules.linear, steps=110)
    return RunContext(stage="eval", arm="any", seed=0, out=out / "two", checkpoints=out / "ck2",
                      inputs={"data": [artefact], "finetune": [out / "one"]})


def test_a_tuned_model_translates_what_it_never_saw(trained):
    found = translation.translation(
        trained, corpus="test.it-en", source="it", target="en", sentences=20, beams=2,
        identify={"en": "mono.en", "it": "mono.it"})
    assert found["chrf"] > 30
    assert found["off_target"] == 0.0
    reverse = translation.translation(
        trained, corpus="test.it-en", source="en", target="it", sentences=10, beams=1,
        identify={"en": "mono.en", "it": "mono.it"})
    assert reverse["chrf"] < found["chrf"]


def test_sentences_are_embedded_alike_in_any_batch(trained, artefact):
    settings = {"corpus": "test.it-en", "source": "it", "target": "en", "sentences": 12}
    one = sentence_pairs.closeness(trained, batch_size=1, **settings)
    assert sentence_pairs.closeness(trained, batch_size=12, **settings) == pytest.approx(
        one, rel=1e-4)


def test_a_classifier_is_taught_in_one_language(trained):
    settings = {"task": "sections", "trained_in": "en", "tested_in": ("it",), "batch_size": 8,
                "optimizer": partial(optimizers.adamw, lr=1e-3), "schedule": schedules.linear}
    one, two = (across_languages.classification(trained, steps=3, **settings) for _ in range(2))
    assert one == two and 0 <= one["accuracy"] <= 1


def test_denoising_stages_follow_each_other(artefact, tmp_path):
    """A killed stage ends in the same bytes; the next one reads what it left."""
    from repro.nn.seq2seq import from_stage

    settings = {
        "batches": Denoising(corpora=("mono.en", "mono.it"), noise=Infilling(), batch_size=4,
                             source_length=30, target_length=30),
        "objective": Seq2Seq(model=SMALL, smoothing=0.1),
        "optimizer": partial(optimizers.adamw, lr=1e-3), "schedule": schedules.linear}
    stops = iter([False, False, True])

    def context(name, inputs, **others):
        return RunContext(stage=name, arm="any", seed=0, out=tmp_path / name, inputs=inputs,
                          checkpoints=tmp_path / f"ck_{name}", **others)

    pretrain(context("one", {"data": [artefact]}), steps=5, **settings)
    with pytest.raises(BaseException, match="stopped on request"):
        pretrain(context("two", {"data": [artefact]}, stop_requested=lambda: next(stops)),
                 steps=5, **settings)
    pretrain(context("two", {"data": [artefact]}), steps=5, **settings)
    weights = [(tmp_path / name / "model" / "model.safetensors").read_bytes()
               for name in ("one", "two")]
    assert weights[0] == weights[1]
    pretrain(context("three", {"data": [artefact], "one": [tmp_path / "one"]}), steps=0,
             start=from_stage, **settings)
    again = (tmp_path / "three" / "model" / "model.safetensors").read_bytes()
    assert again == weights[0]
    assert load_vocab(tmp_path / "three" / "model").size == load_vocab(artefact).size
