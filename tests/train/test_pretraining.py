"""The pretrain entry on a data artefact of a hundred short documents."""

import hashlib
import json
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

from repro.context import RunContext
from repro.data.batches import TokenRows
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
    "batches": TokenRows(corpus="lm", batch_size=4, sequence_length=16),
    "optimizer": partial(adamw, lr=0.01),
    "schedule": linear,
    "steps": 6,
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
    model = AutoModel.from_pretrained(ctx.out / "model")
    ids = AutoTokenizer.from_pretrained(ctx.out / "model")("the cat sat").input_ids
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
    loaded = AutoModel.from_pretrained(ctx.out / "model").state_dict()
    for name, value in expected.state_dict().items():
        assert torch.equal(value, loaded[name])
    assert (ctx.out / "history.jsonl").read_text() == "" and ctx.totals["tokens"] == 0


def test_the_running_average_is_what_is_exported(data, tmp_path):
    weights = []
    for name, decay in (("plain", None), ("zero", 0.0), ("slow", 0.99)):
        ctx = context(data, tmp_path / name)
        pretrain(ctx, objective=OBJECTIVES["mlm"], ema_decay=decay, **SETTINGS)
        model = AutoModel.from_pretrained(ctx.out / "model")
        weights.append(model.embeddings.word_embeddings.weight.detach().numpy())
    assert np.array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


def test_bad_input_is_one_readable_line(data, tmp_path):
    for wrong, message in (
        ({"batches": TokenRows(corpus="wiki", batch_size=4, sequence_length=16)}, "'wiki'"),
        ({"batches": TokenRows(corpus="lm", batch_size=4, sequence_length=17)},
         "max_positions = 16"),
        ({"start": lambda model, folder: None}, "start: pretrain builds on no stage"),
        ({"steps": -1}, "steps = -1"),
        ({"optimizer": partial(adamw, lr=1e30)}, "not finite"),
    ):
        settings = SETTINGS | wrong
        ctx = context(data, tmp_path / message.replace(" ", ""))
        with pytest.raises(UserError, match=message):
            pretrain(ctx, objective=OBJECTIVES["mlm"], **settings)


def test_a_stage_goes_on_from_the_model_of_the_stage_before(data, tmp_path):
    first = context(data, tmp_path / "first")
    pretrain(first, objective=OBJECTIVES["mlm"], **SETTINGS)
    seen = []

    def start(model, folder):
        seen.append(folder)
        model.load_state_dict(AutoModel.from_pretrained(folder).state_dict())

    second = context(data, tmp_path / "second")
    second.stage, second.inputs["pretrain"] = "finetune", [first.out]
    pretrain(second, objective=OBJECTIVES["mlm"], start=start, **(SETTINGS | {"steps": 0}))
    assert seen == [first.out / "model"]
    weights = [load_file(ctx.out / "model" / "model.safetensors") for ctx in (first, second)]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_after_each_update_model_and_optimiser_may_be_changed_and_resumed(data, tmp_path):
    steps = []

    @torch.no_grad()
    def halve(model, optimizer, step):
        steps.append(step)
        if step == 3:
            for parameter in model.parameters():
                parameter.mul_(0.5)
            for state in optimizer.state.values():
                state["exp_avg"].zero_()

    settings = SETTINGS | {"after_step": halve}
    pretrain(context(data, tmp_path / "a"), objective=OBJECTIVES["mlm"], **settings)
    assert steps == [1, 2, 3, 4, 5, 6]
    answers = iter([False, False, False, True])
    stopped = context(data, tmp_path / "b", stop_requested=lambda: next(answers))
    with pytest.raises(Interrupted):
        pretrain(stopped, objective=OBJECTIVES["mlm"], **settings)
    pretrain(context(data, tmp_path / "b"), objective=OBJECTIVES["mlm"], **settings)
    assert digests(tmp_path / "a" / "out") == digests(tmp_path / "b" / "out")
    pretrain(context(data, tmp_path / "c"), objective=OBJECTIVES["mlm"], **SETTINGS)
    assert digests(tmp_path / "a" / "out") != digests(tmp_path / "c" / "out")
