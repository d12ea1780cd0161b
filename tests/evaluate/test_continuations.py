"""Prompts continued: against greedy decoding, and by hand; multiple choice by the letters."""

from functools import partial

import pytest
import torch

from repro.context import RunContext
from repro.errors import UserError
from repro.evaluate import continuations, language_models, multiple_choice
from repro.nn import published as weights
from repro.nn import published_decoders
from repro.nn.decoders import llama
from repro.text import llama as published
from repro.text import tokenizer as tokenizers

TEXTS = [f"copy {a} {b} : {a} {b}" for a in ("ba", "ke", "lo") for b in ("mi", "tu")] * 5
TOKENIZER = tokenizers.byte_bpe(TEXTS, vocab_size=290)
VOCAB = tokenizers.vocab_info(TOKENIZER)
TINY = partial(llama, hidden=16, layers=1, heads=2, intermediate=24, max_positions=32)


def model(seed=0, **settings):
    torch.manual_seed(seed)
    return TINY(VOCAB, initializer_range=0.5, **settings).eval()


def test_exact_match_is_what_greedy_decoding_finds():
    decoder, right = model(), []
    prompts = ["copy ba mi :", "ke", "lo tu ba"]
    items = []
    for prompt in prompts:
        (ids,) = tokenizers.encode(TOKENIZER, [prompt])
        start = torch.tensor([[VOCAB.sep, *ids]])
        for answer in ("ba mi", "tu", "ke"):
            (whole,) = tokenizers.encode(TOKENIZER, [f"{prompt} {answer}"])
            wanted = whole[len(ids):]
            found = decoder.generate(start, attention_mask=torch.ones_like(start), do_sample=False,
                                     max_new_tokens=len(wanted), eos_token_id=None)
            right.append(found[0, start.shape[1]:].tolist() == wanted)
            items.append((prompt, answer))
    # One item that is right by construction: what the model itself says after "ke".
    found = continuations.score(decoder, TOKENIZER, items, batch_size=4)
    assert found["exact_match"] == sum(right) / len(right)
    alone = [continuations.score(decoder, TOKENIZER, [item]) for item in items]
    assert [bool(one["exact_match"]) for one in alone] == right
    assert sum(one["nll"] for one in alone) / len(alone) == pytest.approx(found["nll"], abs=1e-5)


def test_the_loss_is_that_of_transformers_on_the_answers_tokens():
    decoder = model(1)
    (prompt,), (whole,) = (tokenizers.encode(TOKENIZER, [text])
                           for text in ("copy ba mi :", "copy ba mi : ba mi"))
    tokens = torch.tensor([[VOCAB.sep, *whole]])
    labels = tokens.clone()
    labels[:, : 1 + len(prompt)] = -100
    with torch.no_grad():
        expected = decoder(tokens, labels=labels).loss.item()
    found = continuations.score(decoder, TOKENIZER, [("copy ba mi :", "ba mi")])
    assert found["nll"] == pytest.approx(expected, abs=1e-5)


def test_a_uniform_model_knows_nothing():
    decoder = model()
    torch.nn.init.zeros_(decoder.lm_head.weight)
    found = continuations.score(decoder, TOKENIZER, [("copy ba :", "ba"), ("lo", "mi")])
    assert found["nll"] == pytest.approx(torch.tensor(float(VOCAB.size)).log().item())
    assert found["exact_match"] == 0


def test_no_items_are_refused():
    with pytest.raises(UserError, match="no items"):
        continuations.score(model(), TOKENIZER, [])


ROW = {"subject": "high_school_physics", "question": "ba ?", "choices": ["ke", "lo", "mi", "tu"],
       "answer": 2}


def test_questions_are_asked_as_the_authors_do():
    assert multiple_choice.prompt(ROW) == (
        "The following are multiple choice questions (with answers) about high school physics.\n\n"
        "ba ?\nA. ke\nB. lo\nC. mi\nD. tu\nAnswer:")


def test_the_most_probable_letter_is_the_answer():
    decoder = model(max_positions=512)
    letters = [ids[-1] for ids in tokenizers.encode(TOKENIZER, [f" {c}" for c in "ABCD"])]
    (ids,) = tokenizers.encode(TOKENIZER, [multiple_choice.prompt(ROW)])
    with torch.no_grad():
        logits = decoder(torch.tensor([[VOCAB.cls, *ids]])).logits[0, -1, letters]
    rows = [{**ROW, "answer": k} for k in range(4)]
    for row in rows:
        found = multiple_choice.accuracy(decoder, TOKENIZER, [row], longest=512)
        assert found == (row["answer"] == int(logits.argmax()))
    assert multiple_choice.accuracy(decoder, TOKENIZER, rows, longest=512) == 0.25


def test_published_weights_must_have_the_shape_that_is_said():
    one, two = model(0), model(1)
    weights.fill(two, one.state_dict(), "name")
    assert torch.equal(two.lm_head.weight, one.lm_head.weight)
    with pytest.raises(UserError, match="model name: .*gate_proj.* expected \\(32, 16\\)"):
        weights.fill(model(intermediate=32), one.state_dict(), "name")
    with torch.device("meta"):
        made = published_decoders.from_hub(VOCAB, decoder=TINY, model="no/where", revision="main")
    assert made.device.type == "meta"


def test_a_missing_model_is_named(tmp_path):
    ctx = RunContext(stage="eval", arm="a", seed=0, out=tmp_path, checkpoints=tmp_path,
                     inputs={"pretrain": [tmp_path]})
    with pytest.raises(UserError, match="no readable model"):
        language_models.load(ctx)


def test_llamas_tokenizer_keeps_its_ids_under_our_names():
    pieces = ["<unk>", "<s>", "</s>", "<0x00>", "<0x01>", "a", "b", "ab"]
    content = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
               "normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None,
               "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>",
                         "vocab": {piece: i for i, piece in enumerate(pieces)},
                         "merges": [["a", "b"]]}}
    found = published.renamed(content, "toy")
    info = tokenizers.vocab_info(found)
    assert (info.unk, info.cls, info.sep, info.pad, info.mask, info.size) == (0, 1, 2, 3, 4, 8)
    assert tokenizers.encode(found, ["ab"]) == [[7]]
    del content["model"]["vocab"]["<0x01>"]
    with pytest.raises(UserError, match="tokenizer toy: has no piece '<0x01>'"):
        published.renamed(content, "toy")
