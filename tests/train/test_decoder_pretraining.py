"""Decoders through `pretrain`: stopped anywhere and gone on, in the same bytes; ReLoRA's restarts.
"""

import hashlib
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from papers.sltrain.method import sparse_low_rank, spectrum
from repro.context import RunContext
from repro.data.causal import CausalRows
from repro.data.shards import write_corpus, write_manifest
from repro.errors import Interrupted, UserError
from repro.evaluate.language_modelling import held_out, training_size
from repro.evaluate.measuring import measure
from repro.losses.causal_lm import CausalLM
from repro.nn.decoders import llama
from repro.nn.low_rank import FrozenPlusLowRank, factorised
from repro.text import tokenizer as tokenizers
from repro.train import galore, schedules
from repro.train.optimizers import adamw
from repro.train.pretraining import pretrain
from repro.train.restarts import jagged_cosine, restart

TINY = partial(llama, hidden=16, layers=1, heads=2, intermediate=24, max_positions=16)
ADAMW = partial(adamw, lr=0.01)
ARMS = {
    "full": {"objective": CausalLM(decoder=TINY), "optimizer": ADAMW},
    "galore": {"objective": CausalLM(decoder=TINY),
               "optimizer": partial(galore.adamw, lr=0.01, rank=4, refresh_every=3)},
    "relora": {"objective": CausalLM(decoder=partial(
        factorised, decoder=TINY, rank=4, alpha=8.0, frozen=True)),
        "optimizer": ADAMW, "after_step": partial(restart, every=2)},
    "sltrain": {"objective": CausalLM(decoder=partial(
        sparse_low_rank, decoder=TINY, rank=4, alpha=4.0, density=0.1)), "optimizer": ADAMW},
}
ROWS = {"batch_size": 4, "sequence_length": 12}


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


def context(data, folder, stage="pretrain", **settings):
    folder.mkdir(parents=True, exist_ok=True)
    return RunContext(stage=stage, arm="arm", seed=3, out=folder / "out", inputs={"data": [data]},
                      checkpoints=folder / "checkpoints", **settings)


def trained(data, folder, arm, **settings):
    ctx = context(data, folder, **settings)
    pretrain(ctx, batches=CausalRows(corpus="text", **ROWS), schedule=schedules.cosine, steps=6,
             log_every=2, checkpoint_every=1, **ARMS[arm])
    return ctx


def digests(folder):
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("arm", ARMS)
def test_a_run_stopped_after_any_step_ends_in_the_same_bytes(data, tmp_path, arm):
    whole = digests(trained(data, tmp_path / "whole", arm).out)
    answers = iter([False, False, True, True, False, False, False])
    for _ in range(2):
        with pytest.raises(Interrupted):
            trained(data, tmp_path / "parts", arm, stop_requested=lambda: next(answers))
    ended = trained(data, tmp_path / "parts", arm, stop_requested=lambda: False)
    assert digests(ended.out) == whole
    AutoTokenizer.from_pretrained(ended.out / "model")


def test_measures_of_a_trained_model_become_rows(data, tmp_path):
    source = trained(data, tmp_path / "trained", "sltrain").out
    ctx = context(data, tmp_path / "eval", "eval")
    ctx.inputs["pretrain"] = [source]
    batches = CausalRows(corpus="held_out", **ROWS)
    found = held_out(ctx, batches=batches)
    model = AutoModelForCausalLM.from_pretrained(source / "model")
    losses, counts = [], []
    for tokens, _ in batches.in_order(data):
        with torch.no_grad():
            losses.append(model(input_ids=tokens, labels=tokens).loss.item())
        counts.append(tokens[:, 1:].numel())
    expected = np.average(losses, weights=counts)
    assert found["nll"] == pytest.approx(expected, rel=1e-5)
    assert found["perplexity"] == pytest.approx(np.exp(expected), rel=1e-5)
    assert 0 <= found["token_accuracy"] <= 1 and found["training_flops"] > 0
    shares = [spectrum(ctx, part=part)["spectral_share"] for part in ("head", "tail")]
    assert all(-0.5 < share < 1.5 for share in shares)
    measure(ctx, tasks={"held_out": partial(held_out, batches=batches)})
    assert len((ctx.out / "rows.jsonl").read_text().splitlines()) == 4
    with pytest.raises(UserError, match="tasks: empty"):
        measure(ctx, tasks={})


def test_training_size_counts_weights_indices_and_moments(data, tmp_path):
    ctx = context(data, tmp_path)
    found = {arm: training_size(ctx, objective=settings["objective"],
                                optimizer=settings["optimizer"]) for arm, settings in ARMS.items()}
    vocab = tokenizers.load_vocab(data).size
    norms, embeddings = 3 * 16, 2 * vocab * 16
    dense = 4 * 16 * 16 + 3 * 16 * 24
    values = 4 * int(0.1 * 256) + 3 * int(0.1 * 384)
    factors = 4 * 4 * 32 + 3 * 4 * 40
    sizes = {arm: one["parameters"] for arm, one in found.items()}
    assert sizes["full"] == sizes["galore"] == norms + embeddings + dense
    assert sizes["sltrain"] == norms + embeddings + factors + values
    assert sizes["relora"] == sizes["full"] + factors
    tensors = 2 + 3 + 7  # AdamW counts its steps in 4 bytes a tensor
    assert found["full"]["training_bytes"] == 12 * sizes["full"] + 4 * tensors
    assert found["sltrain"]["training_bytes"] == (
        12 * sizes["sltrain"] + 8 * values + 4 * (2 + 3 + 3 * 7))
    assert found["galore"]["training_bytes"] < found["full"]["training_bytes"]


def test_a_restart_makes_the_optimizer_forget_the_factors_only():
    model = nn.Sequential(FrozenPlusLowRank(nn.Linear(4, 4, bias=False), 2, 1.0), nn.Linear(4, 2))
    optimizer = adamw(model, lr=0.1)
    model(torch.randn(3, 4)).sum().backward()
    optimizer.step()
    restart(model, optimizer, 3, every=2)
    assert model[0].up in optimizer.state
    restart(model, optimizer, 4, every=2)
    assert set(optimizer.state) == {model[1].weight, model[1].bias}
    with pytest.raises(UserError, match="no layer with a frozen and a low-rank part"):
        restart(nn.Linear(2, 2), optimizer, 4, every=2)


def test_the_rate_rises_anew_after_a_restart():
    def factor(step):
        return jagged_cosine(step, 100, every=40, restart_warmup_steps=4, warmup_steps=10,
                             floor=0.1)

    def plain(step):
        return schedules.cosine(step, 100, warmup_steps=10, floor=0.1)

    assert [factor(step) for step in range(40)] == [plain(step) for step in range(40)]
    assert [factor(40 + i) / plain(40 + i) for i in range(5)] == pytest.approx(
        [0.25, 0.5, 0.75, 1.0, 1.0])
    assert factor(80) == pytest.approx(plain(80) / 4)
