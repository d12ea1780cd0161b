"""Error rates of known pairs; a recogniser measured, adapted and measured again."""

import json
from functools import partial

import numpy as np
import pytest
import torch

from repro.audio import store
from repro.audio.batches import SpeechRows
from repro.audio.store import Speech, write_spelling
from repro.context import RunContext
from repro.data.growing import GrowingArray
from repro.data.shards import write_json, write_manifest
from repro.errors import UserError
from repro.evaluate.transcription import Recogniser, load, remembered, transcribe, word_error_rate
from repro.losses.ctc import CTC
from repro.nn.conformer import conformer
from repro.train.adaptation import adapt
from repro.train.optimizers import adamw
from repro.train.pretraining import pretrain
from repro.train.schedules import linear

SMALL = partial(conformer, mels=6, stack=2, hidden=32, layers=1, heads=2, intermediate=64,
                kernel=3, dropout=0.0)
OBJECTIVE = CTC(encoder=SMALL, frequency_masks=0, time_masks=0)
WORDS = {"da": ["d", "a"], "ad": ["a", "d"], "dad": ["d", "a", "d"], "aa": ["a", "a"]}


def test_known_pairs() -> None:
    one = [["the", "cat", "sat"]]
    assert word_error_rate(one, one) == 0
    assert word_error_rate(one, [["the", "hat", "sat"]]) == pytest.approx(1 / 3)
    assert word_error_rate(one, [["the", "sat"]]) == pytest.approx(1 / 3)
    assert word_error_rate(one, [["the", "cat", "sat", "on", "it", "all", "day"]]) > 1
    assert word_error_rate(one, [[]]) == 1
    two = [["a"], ["b", "c", "d"]]
    assert word_error_rate(two, [["x"], ["b", "c", "d"]]) == 1 / 4, "words count, not sentences"


def utterance(words: list[str], rng: np.random.Generator) -> np.ndarray:
    """A frame pattern of its own for every unit, six frames each, with silence between."""
    rows = []
    for word in words:
        for unit in WORDS[word]:
            pattern = np.zeros(6)
            pattern[{"d": 0, "a": 3}[unit]] = 3.0
            rows += [pattern] * 4 + [np.zeros(6)] * 2
    return np.array(rows) + rng.normal(scale=0.1, size=(len(rows), 6))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two languages of the same four words."""
    folder, rng = tmp_path_factory.mktemp("speech"), np.random.default_rng(0)
    writer, rows = GrowingArray(folder / store.FEATURES, np.float16, (6,)), []
    for language in ("xx", "zz"):
        for number in range(40):
            words = [str(word) for word in rng.choice(sorted(WORDS), size=2)]
            split = ("train", "train", "train", "dev", "test")[number % 5]
            features = utterance(words, rng)
            rows.append({"id": f"{language}/{number}", "language": language, "speaker": "one",
                         "split": split, "origin": "recorded", "words": words,
                         "start": writer.add(features), "frames": len(features)})
    writer.close()
    store.write_utterances(folder, rows)
    write_json(folder / store.LINES, {name: ["da ad", "dad aa", "aa da"] for name in ("xx", "zz")})
    for group in ("xx", "zz"):
        write_spelling(folder, group, "phones", {group: WORDS}, ["a", "d"])
        pieces = {word: ["".join(units)] for word, units in WORDS.items()}
        write_spelling(folder, group, "subwords", {group: pieces}, sorted(WORDS))
    write_manifest(folder)
    return folder


TRAINING = {"objective": OBJECTIVE, "optimizer": partial(adamw, lr=0.01, weight_decay=0.0),
            "schedule": linear, "clip_norm": 1.0}


def rows(group: str, **settings) -> SpeechRows:
    return SpeechRows(group=group, batch_size=8, max_frames=40, mels=6,
                      **{"units": "phones", **settings})


def context(stage: str, folder, **inputs) -> RunContext:
    out = folder / stage
    out.mkdir(parents=True, exist_ok=True)
    return RunContext(stage=stage, arm="any", seed=0, out=out, checkpoints=folder / f"{stage}-ck",
                      inputs={name: [path] for name, path in inputs.items()})


def whole(model, folder, vocab) -> None:
    """Begin with all weights of the model before."""
    from transformers import AutoModelForCTC

    model.load_state_dict(AutoModelForCTC.from_pretrained(folder).state_dict())


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A model of xx, and one adapted from it to zz."""
    folder = tmp_path_factory.mktemp("runs")
    pretrain(context("pretrain", folder, data=data), batches=rows("xx"), steps=80, **TRAINING)
    adapt(context("finetune", folder, data=data, pretrain=folder / "pretrain"),
          targets={"zz": rows("zz", utterances=8)}, steps=3, start=whole, keep_start=True,
          **TRAINING)
    return folder


def test_a_recogniser_learns_and_is_measured(data, trained) -> None:
    ctx = context("eval", trained, data=data, finetune=trained / "finetune")
    found = transcribe(ctx, target="zz", lm_weights=(0.2,))
    assert set(found) == {"wer", "wer_without_lm", "per"}
    assert found["per"] < 0.2 and found["wer"] < 0.3, found
    kept = remembered(ctx, targets=("zz",), lm_weights=(0.2,))
    assert set(kept) == {"wer", "wer_without_lm", "per", "forgetting"}
    assert abs(kept["forgetting"]) < 0.5


def test_an_adapted_model_that_is_the_old_one_has_forgotten_nothing(
    data, trained, tmp_path
) -> None:
    finetune = tmp_path / "finetune"
    for name in ("start", "zz/model"):
        target = finetune / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(trained / "finetune" / "start")
    ctx = context("eval", tmp_path, data=data, finetune=finetune)
    assert remembered(ctx, targets=("zz",), lm_weights=(0.2,))["forgetting"] == 0


def test_the_weight_of_the_language_model_is_the_best_on_dev(data, trained) -> None:
    recogniser = Recogniser(Speech(data), *load(trained / "finetune" / "start", "cpu"), beam=8)
    weights = (0.0, 0.5, 50.0)
    weight, error = recogniser.tuned(weights, None)
    assert error == min(recogniser.errors("dev", None, one) for one in weights)
    assert weight != 50.0, "the language model alone says nothing of the speech"


def test_subwords_go_the_same_way(data, tmp_path) -> None:
    adapt(context("finetune", tmp_path, data=data), targets={"zz": rows("zz", units="subwords")},
          steps=2, **TRAINING)
    found = transcribe(context("eval", tmp_path, data=data, finetune=tmp_path / "finetune"),
                       target="zz", test=3, dev=2)
    assert set(found) == {"wer", "wer_without_lm"}, "errors in sub-words are no phone errors"


def test_every_target_begins_anew_and_resumes(data, tmp_path) -> None:
    targets = {"xx": rows("xx"), "zz": rows("zz")}
    for name in ("one", "two"):
        adapt(context(name, tmp_path, data=data), targets=targets, steps=2, **TRAINING)
    alone = {"zz": rows("zz")}
    adapt(context("three", tmp_path, data=data), targets=alone, steps=2, **TRAINING)
    weights = [(tmp_path / name / "zz" / "model" / "model.safetensors").read_bytes()
               for name in ("one", "two", "three")]
    assert weights[0] == weights[1] == weights[2]
    summary = json.loads((tmp_path / "one" / "zz" / "summary.json").read_text())
    assert summary["steps"] == 2
    adapt(context("one", tmp_path, data=data), targets=targets, steps=2, **TRAINING)
    again = (tmp_path / "one" / "zz" / "model" / "model.safetensors").read_bytes()
    assert again == weights[0], "finished targets are read from their checkpoints"


def test_mistakes_are_named(data, tmp_path) -> None:
    with pytest.raises(UserError, match="adapt.targets: empty"):
        adapt(context("a", tmp_path, data=data), targets={}, steps=1, **TRAINING)
    with pytest.raises(UserError, match="steps = 0"):
        adapt(context("a", tmp_path, data=data), targets={"xx": rows("xx")}, steps=0, **TRAINING)
    with pytest.raises(UserError, match="adapt.start"):
        adapt(context("a", tmp_path, data=data), targets={"xx": rows("xx")}, steps=1, start=whole,
              **TRAINING)
    with pytest.raises(UserError, match="no readable recogniser"):
        transcribe(context("b", tmp_path, data=data, finetune=tmp_path), target="zz")


def test_nothing_depends_on_torchs_global_state(data, tmp_path) -> None:
    for name, seed in (("one", 1), ("two", 2)):
        torch.manual_seed(seed)
        adapt(context(name, tmp_path, data=data), targets={"zz": rows("zz")}, steps=1, **TRAINING)
    one, two = ((tmp_path / name / "zz/model/model.safetensors").read_bytes()
                for name in ("one", "two"))
    assert one == two
