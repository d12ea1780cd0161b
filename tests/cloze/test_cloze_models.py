"""A language model asked through its [MASK]: against transformers' fill-mask, peft and by hand."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModelForMaskedLM, AutoTokenizer, pipeline

from repro.data import clozes
from repro.errors import UserError
from repro.evaluate import cloze, few_shot
from repro.evaluate.batching import Batch, gather
from repro.nn import masked_lms


@pytest.fixture
def task(data):
    return clozes.open_task_pair(data, "season")


def batch_of(ids_BT, keep_BT=None):
    rows = torch.arange(len(ids_BT))
    return Batch(ids_BT, torch.zeros_like(ids_BT), keep_BT, rows, None, rows)


def first(task, count=5):
    _, pool = few_shot.draw(task, "cloze", 0)
    return gather(pool, torch.arange(count))


@torch.no_grad()
def test_scores_are_those_of_the_fill_mask_pipeline(task, base):
    """The pipeline gives probabilities over the whole vocabulary; among the words they are ours."""
    folder = base / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    asked = pipeline("fill-mask", model=AutoModelForMaskedLM.from_pretrained(folder),
                     tokenizer=tokenizer)
    text = "train saw ice snow hail number1 it was [MASK] ."
    found = {item["token_str"]: item["score"] for item in asked(text, targets=["winter", "summer"])}
    theirs = np.array([found["winter"], found["summer"]])
    model = cloze.hard(*masked_lms.load(folder), task)
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    ours = model(batch_of(ids)).softmax(dim=1)[0].numpy()
    np.testing.assert_allclose(ours, theirs / theirs.sum(), rtol=1e-4)


@torch.no_grad()
def test_logits_are_rows_of_the_full_output_whatever_the_padding(task, base):
    encoder, head = masked_lms.load(base / "model")
    batch = first(task)
    whole = masked_lms.whole(encoder, head).eval()
    scores = whole(batch.input_ids_BT, attention_mask=batch.keep_BT).logits
    at_mask = scores[batch.input_ids_BT == task.vocab.mask][:, torch.from_numpy(task.words_C)]
    torch.testing.assert_close(cloze.hard(encoder, head, task)(batch), at_mask)


@torch.no_grad()
def test_soft_prompts_begin_as_the_hard_ones(task, base):
    batch = first(task)
    hard, soft = (make(*masked_lms.load(base / "model"), task).eval()
                  for make in (cloze.hard, cloze.soft))
    torch.testing.assert_close(soft(batch), hard(batch))
    assert soft.template_SD.shape == (3, 16) and soft.words_CD.shape == (2, 16)


def test_soft_vectors_are_trained_and_the_tables_rows_are_others(task, base):
    soft = cloze.soft(*masked_lms.load(base / "model"), task)
    F.cross_entropy(soft(first(task)), torch.tensor([0, 1, 0, 1, 0])).backward()
    assert soft.template_SD.grad.abs().sum() > 0 and soft.words_CD.grad.abs().sum() > 0
    table = soft.encoder.get_input_embeddings().weight
    own = cloze.template_tokens(task.cloze.train, task)
    assert table.grad[own].abs().sum() == 0, "the template's words stand nowhere in these texts"


@torch.no_grad()
def test_soft_prompts_are_those_of_peft(base, task):
    """Vectors before a text are peft's prompt tuning; ours stand around the mask, here at the
    front, and everything behind them is the same."""
    peft = pytest.importorskip("peft")
    encoder, head = masked_lms.load(base / "model")
    words, mask = torch.from_numpy(task.words_C), task.vocab.mask
    rest = torch.tensor([[mask, 20, 21, 22], [mask, 30, 31, 32]])
    rows = torch.cat([torch.tensor([[9, 10, 11]] * 2), rest], dim=1)
    soft = cloze.SoftCloze(encoder, head, words, mask, torch.tensor([9, 10, 11]), (-3, -2, -1))
    soft.template_SD.normal_()
    ours = soft.eval()(batch_of(rows))
    config = peft.PromptTuningConfig(task_type="FEATURE_EXTRACTION", num_virtual_tokens=3)
    wrapped = peft.get_peft_model(encoder, config).eval()
    wrapped.prompt_encoder["default"].embedding.weight.copy_(soft.template_SD)
    hidden = wrapped(input_ids=rest, attention_mask=torch.ones_like(rest)).last_hidden_state[:, 3]
    theirs = F.linear(head.transform(hidden), soft.words_CD, head.bias[words])
    torch.testing.assert_close(ours, theirs)


def test_rows_whose_template_differs_are_refused(task):
    rows = task.cloze.train.input_ids[:].copy()
    places = np.argwhere(rows[1] == task.vocab.mask)[0, 0]
    rows[1, places - 1] = 7
    split = type(task.cloze.train)(rows, task.cloze.train.segments, task.cloze.train.labels)
    with pytest.raises(UserError, match="not the same in every row"):
        cloze.template_tokens(split, task)


def test_a_fresh_head_reads_the_first_token_of_the_plain_text(task, base):
    model = cloze.classed(*masked_lms.load(base / "model"), task).eval()
    _, pool = few_shot.draw(task, model.form, 0)
    batch = gather(pool, torch.arange(4))
    assert not bool((batch.input_ids_BT == task.vocab.mask).any())
    with torch.no_grad():
        hidden = model.encoder(batch.input_ids_BT, attention_mask=batch.keep_BT)
        torch.testing.assert_close(model(batch), model.head(hidden.last_hidden_state[:, 0]))
