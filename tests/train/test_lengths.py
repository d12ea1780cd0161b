"""One model at several lengths: each is the training it stands for, and a kill changes nothing."""

import hashlib
import json
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from repro.context import RunContext
from repro.data.causal import CausalRows
from repro.data.shards import write_corpus, write_manifest
from repro.errors import Interrupted, UserError
from repro.evaluate import lengths as measured
from repro.evaluate import rounded
from repro.evaluate.language_modelling import held_out
from repro.losses.causal_lm import CausalLM
from repro.nn.decoders import llama
from repro.nn.rounding import round_projections, round_to_nearest
from repro.text import tokenizer as tokenizers
from repro.train import checkpoint, lengths, pretraining, schedules
from repro.train.optimizers import adamw

TINY = partial(llama, hidden=16, layers=1, heads=2, intermediate=24, max_positions=16, tied=True)
ROWS = {"batch_size": 4, "sequence_length": 12}
SETTINGS = {
    "objective": CausalLM(decoder=TINY), "optimizer": partial(adamw, lr=0.01),
    "schedule": partial(schedules.cosine, warmup_fraction=0.1, floor=0.1),
    "batches": CausalRows(corpus="text", **ROWS), "log_every": 2, "checkpoint_every": 3,
}
PROTOCOLS = ("matched", "fixed")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    texts = [f"the cat number {i} sat on mat {i % 7}" for i in range(100)]
    tokenizer = tokenizers.byte_bpe(texts, vocab_size=300)
    tokenizers.save(tokenizer, folder)
    vocab = tokenizers.vocab_info(tokenizer)
    ids = [np.array([*one, vocab.sep]) for one in tokenizers.encode(tokenizer, texts)]
    for name, documents in {"text": ids[:80], "held_out": ids[80:]}.items():
        write_corpus(folder / "corpora" / name, documents, vocab.dtype, {})
    write_manifest(folder)
    return folder


def context(data, folder, **settings):
    folder.mkdir(parents=True, exist_ok=True)
    return RunContext(stage="pretrain", arm="arm", seed=3, out=folder / "out",
                      inputs={"data": [data]}, checkpoints=folder / "checkpoints", **settings)


def climbed(data, folder, **settings):
    ctx = context(data, folder, **settings)
    lengths.pretrain(ctx, steps=8, halvings=2, **SETTINGS)
    return ctx


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    return climbed(data, tmp_path_factory.mktemp("run"))


def plain(data, folder, steps, **settings):
    ctx = context(data, folder)
    pretraining.pretrain(ctx, steps=steps, **SETTINGS | settings)
    return ctx


def digests(folder):
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in sorted(folder.rglob("*")) if p.is_file()}


def weights(folder):
    return load_file(folder / "model" / "model.safetensors")


def test_every_matched_length_is_a_training_of_its_own(data, run, tmp_path):
    for place, steps in {".": 8, "matched/1": 4, "matched/0": 2}.items():
        alone = plain(data, tmp_path / str(steps), steps).out
        assert (digests(run.out / place / "model") == digests(alone / "model")), place
        for name in ("summary.json", "history.jsonl"):
            assert (run.out / place / name).read_bytes() == (alone / name).read_bytes()


def test_fixed_lengths_are_the_long_training_on_its_way(data, run, tmp_path):
    reports = []
    ctx = context(data, tmp_path / "long", on_report=lambda **v: reports.append(v["step"]),
                  stop_requested=lambda: reports[-1] == 4)
    with pytest.raises(Interrupted):
        pretraining.pretrain(ctx, steps=8, **SETTINGS)
    saved = checkpoint.load_latest(ctx.checkpoints).tensors
    found = weights(run.out / "fixed/1")
    assert found and all(torch.equal(tensor, saved[f"model/{name}"])
                         for name, tensor in found.items())
    one, two = (json.loads((run.out / name / "1/summary.json").read_text()) for name in PROTOCOLS)
    assert one == two and one["steps"] == 4 and one["tokens"] == 4 * 48


def test_without_a_schedule_both_protocols_are_one(data, tmp_path):
    ctx = context(data, tmp_path)
    constant = SETTINGS | {"schedule": partial(schedules.constant, warmup_steps=1)}
    lengths.pretrain(ctx, steps=8, halvings=2, **constant)
    for rung in (0, 1):
        one, two = (weights(ctx.out / name / str(rung)) for name in PROTOCOLS)
        assert all(torch.equal(one[name], two[name]) for name in one)


def test_with_a_schedule_they_differ(run):
    one, two = (weights(run.out / name / "1") for name in PROTOCOLS)
    assert any(not torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("pattern", [(1, 0, 1, 1, 0, 0, 1), (0, 1), (0, 0, 0, 1, 0, 0, 0, 1)])
def test_a_run_stopped_anywhere_ends_in_the_same_bytes(data, run, tmp_path, pattern):
    asked = [0]

    def stop():
        asked[0] += 1
        return bool(pattern[asked[0] % len(pattern)])

    stops = 0
    for _ in range(60):
        try:
            found = climbed(data, tmp_path, stop_requested=stop)
            break
        except Interrupted:
            stops += 1
    assert stops >= 3
    assert digests(found.out) == digests(run.out)
    assert found.totals == run.totals


def test_all_trainings_are_counted_and_reported(data, tmp_path):
    reports = []
    ctx = climbed(data, tmp_path, on_report=lambda **values: reports.append(values))
    assert ctx.totals["tokens"] == (8 + 4 + 2) * 48
    assert [r["step"] for r in reports] == list(range(1, 15))
    assert {r["total"] for r in reports} == {14}


def test_a_length_that_cannot_be_halved_is_refused(data, tmp_path):
    with pytest.raises(UserError, match="steps = 6, halvings = 2: expected a multiple of 4"):
        lengths.pretrain(context(data, tmp_path), steps=6, halvings=2, **SETTINGS)


def test_no_halving_is_ordinary_pre_training(data, tmp_path):
    ctx = context(data, tmp_path / "lengths")
    lengths.pretrain(ctx, steps=4, halvings=0, **SETTINGS)
    assert digests(ctx.out) == digests(plain(data, tmp_path / "plain", 4).out)


def evaluated(run, tmp_path):
    return RunContext(stage="eval", arm="arm", seed=3, out=tmp_path / "e", checkpoints=tmp_path,
                      inputs={**run.inputs, "pretrain": [run.out]})


HELD_OUT = partial(held_out, batches=CausalRows(corpus="held_out", **ROWS))


def test_measures_see_the_length_they_are_asked_for(run, tmp_path):
    ctx = evaluated(run, tmp_path)
    found = {(protocol, rung): measured.trained(
        ctx, measures=(HELD_OUT, measured.spent), rung=rung, protocol=protocol)
        for protocol in PROTOCOLS for rung in (0, 1, 2)}
    assert [found["matched", rung]["training_tokens"] for rung in (0, 1, 2)] == [96, 192, 384]
    assert found["matched", 2] == found["fixed", 2]
    assert found["matched", 1]["nll"] != found["fixed", 1]["nll"]
    # 4 16^2 + 3 16 24 in the layer, three norms of 16; the embeddings are more.
    embeddings = 16 * tokenizers.load_vocab(run.inputs["data"][0]).size
    assert found["fixed", 0]["non_embedding_parameters"] == 1024 + 1152 + 48
    assert found["fixed", 0]["parameters"] == 1024 + 1152 + 48 + embeddings


def test_rounding_by_hand():
    weight = torch.tensor([[0.7, -0.2, 0.05], [0.0, 0.0, 0.0]])
    # 3 bits: levels -3..3, scale 0.7 / 3; -0.2 is 0.857 of a step, 0.05 a fifth.
    expected = torch.tensor([[0.7, -0.7 / 3, 0.0], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(round_to_nearest(weight, 3), expected)
    assert len(round_to_nearest(torch.randn(1, 500), 2).unique()) == 3
    with pytest.raises(UserError, match="bits = 1"):
        round_to_nearest(weight, 1)


def test_rounding_errs_by_half_a_step_at_most_and_the_more_bits_the_less():
    weight = torch.randn(20, 64)
    errors = []
    for bits in (2, 3, 4, 8):
        step_O1 = weight.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
        error = (round_to_nearest(weight, bits) - weight).abs()
        assert (error <= step_O1 / 2 + 1e-6).all()
        errors.append(error.mean().item())
    assert errors == sorted(errors, reverse=True)


def test_only_the_projections_are_rounded(run, tmp_path):
    with torch.device("meta"):
        names = round_projections(TINY(tokenizers.load_vocab(run.inputs["data"][0])), 4)
    assert len(names) == 7 and not any("embed" in n or "lm_head" in n for n in names)
    ctx = evaluated(run, tmp_path)
    exact = HELD_OUT(ctx)
    fine, coarse = (rounded.weights(ctx, measures=(HELD_OUT,), bits=bits) for bits in (16, 2))
    assert fine["nll"] == pytest.approx(exact["nll"], abs=1e-4)
    assert abs(coarse["nll"] - exact["nll"]) > abs(fine["nll"] - exact["nll"])
    assert coarse["training_flops"] == exact["training_flops"]
