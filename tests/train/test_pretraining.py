"""The pretrain entry on a data artefact of a hundred short documents."""

import hashlib
import json
from functools import partial

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from repro.context import RunContext
from repro.data.shards import write_corpus, write_manifest
from repro.errors import Interrupted, UserError
from repro.losses.masked_lm import MaskedLM
from repro.losses.replaced_token import ReplacedTokenDetection
from repro.nn.encoders import electra
from repro.text import tokenizer as tokenizers
from repro.train.optimizers import adamw
from repro.train.pretraining import pretrain
from repro.train.schedules import linear
from repro.train.streams import Streams

SIZES = {"hidden": 16, "layers": 1, "heads": 2, "intermediate": 32, "embedding": 8}
ENCODER = partial(electra, max_positions=16, **SIZES)
OBJECTIVES = {
    "mlm": MaskedLM(encoder=ENCODER),
    "rtd": ReplacedTokenDetection(encoder=ENCODER, generator=ENCODER),
}
SETTINGS = {
    "corpus": "lm",
    "optimizer": partial(adamw, lr=0.01),
    "schedule": linear,
    "steps": 6,
    "batch_size": 4,
    "sequence_length": 16,
    "log_every": 2,
    "checkpoint_every": 2,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    texts = [f"the cat number {i} sat on mat {i % 7}" for i in range(100)]
    tokenizer = tokenizers.wordpiece(texts, vocab_size=120)
    tokenizers.save(tokenizer, folder)
    vocab = tokenizers.vocab_info(tokenizer)
    write_corpus(folder / "corpora" / "lm", tokenizers.encode(tokenizer, texts), vocab, {})
    write_manifest(folder)
    return folder


def context(data, folder, **settings):
    out, checkpoints = folder / "out", folder / "checkpoints"
    out.mkdir(parents=True, exist_ok=True)
    return RunContext(
        stage="pretrain",
        arm="method",
        seed=3,
        out=out,
        checkpoints=checkpoints,
        inputs={"data": [data]},
        **settings,
    )


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("name", OBJECTIVES)
def test_artefact_loads_with_the_auto_classes_and_counts_its_cost(data, tmp_path, name):
    ctx = context(data, tmp_path)
    pretrain(ctx, objective=OBJECTIVES[name], **SETTINGS)
    model = AutoModel.from_pretrained(ctx.out / "encoder")
    ids = AutoTokenizer.from_pretrained(ctx.out / "encoder")("the cat sat").input_ids
    assert model(torch.tensor([ids])).last_hidden_state.shape == (1, len(ids), 16)
    lines = (ctx.out / "history.jsonl").read_text().splitlines()
    history = [json.loads(line) for line in lines]
    assert [entry["step"] for entry in history] == [2, 4, 6]
    assert history[-1]["loss"] < history[0]["loss"]
    summary = json.loads((ctx.out / "summary.json").read_text())
    assert summary["tokens"] == ctx.totals["tokens"] == 6 * 4 * 16
    assert summary["flops_per_step"] * 6 == ctx.totals["flops"] > 0
    assert summary["parameters"] == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_stopped_and_resumed_leaves_the_same_bytes(data, tmp_path, name):
    pretrain(context(data, tmp_path / "a"), objective=OBJECTIVES[name], **SETTINGS)
    answers = iter([False, False, True])
    stopped = context(data, tmp_path / "b", stop_requested=lambda: next(answers))
    with pytest.raises(Interrupted):
        pretrain(stopped, objective=OBJECTIVES[name], **SETTINGS)
    pretrain(context(data, tmp_path / "b"), objective=OBJECTIVES[name], **SETTINGS)
    assert digests(tmp_path / "a" / "out") == digests(tmp_path / "b" / "out")


def test_no_steps_exports_the_initialisation(data, tmp_path):
    ctx = context(data, tmp_path)
    pretrain(ctx, objective=OBJECTIVES["mlm"], **(SETTINGS | {"steps": 0}))
    expected = OBJECTIVES["mlm"].build(tokenizers.load_vocab(data), Streams(3)).encoder
    loaded = AutoModel.from_pretrained(ctx.out / "encoder").state_dict()
    for name, value in expected.state_dict().items():
        assert torch.equal(value, loaded[name])
    assert (ctx.out / "history.jsonl").read_text() == "" and ctx.totals["tokens"] == 0


def test_the_running_average_is_what_is_exported(data, tmp_path):
    weights = []
    for name, decay in (("plain", None), ("zero", 0.0), ("slow", 0.99)):
        ctx = context(data, tmp_path / name)
        pretrain(ctx, objective=OBJECTIVES["mlm"], ema_decay=decay, **SETTINGS)
        model = AutoModel.from_pretrained(ctx.out / "encoder")
        weights.append(model.embeddings.word_embeddings.weight.detach().numpy())
    assert np.array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


def test_bad_input_is_one_readable_line(data, tmp_path):
    for wrong, message in (
        ({"corpus": "wiki"}, "'wiki'"),
        ({"sequence_length": 17}, "max_positions = 16"),
        ({"steps": -1}, "steps = -1"),
        ({"optimizer": partial(adamw, lr=1e30)}, "not finite"),
    ):
        settings = SETTINGS | wrong
        ctx = context(data, tmp_path / message.replace(" ", ""))
        with pytest.raises(UserError, match=message):
            pretrain(ctx, objective=OBJECTIVES["mlm"], **settings)
