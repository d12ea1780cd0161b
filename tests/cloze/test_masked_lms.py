"""Masked language models with their heads: transformers' own classes with the same weights."""

from functools import partial

import pytest
import torch
from transformers import AutoModel, AutoModelForMaskedLM, RobertaConfig, RobertaModel

from repro.errors import UserError
from repro.losses.masked_lm import MaskedLM
from repro.losses.whole_masked_lm import WholeMaskedLM
from repro.nn import encoders, masked_lms
from repro.nn.heads import masked_lm_head
from repro.text.tokenizer import VocabInfo
from repro.train.streams import Streams

VOCAB = VocabInfo(size=60, pad=0, unk=1, cls=2, sep=3, mask=4, special=(0, 1, 2, 3, 4))
SHAPE = {"hidden": 16, "layers": 2, "heads": 2, "intermediate": 24, "max_positions": 32}
IDS = torch.randint(5, 60, (3, 12), generator=torch.Generator().manual_seed(0))


def roberta(vocab):
    return RobertaModel(RobertaConfig(
        vocab_size=vocab.size, pad_token_id=0, hidden_size=16, num_hidden_layers=2,
        num_attention_heads=2, intermediate_size=24, max_position_embeddings=34,
    ), add_pooling_layer=False)


MAKERS = {"bert": partial(encoders.bert, **SHAPE),
          "electra": partial(encoders.electra, embedding=24, **SHAPE), "roberta": roberta}


def made(family):
    torch.manual_seed(1)
    encoder = MAKERS[family](VOCAB).eval()
    head = masked_lm_head(encoder).eval()
    with torch.no_grad():
        for parameter in (head.bias, *head.transform.parameters()):
            parameter.normal_()
    return encoder, head


@torch.no_grad()
def logits(encoder, head):
    return head(encoder(IDS).last_hidden_state)


@pytest.mark.parametrize("family", MAKERS)
def test_transformers_own_class_gives_the_same_scores(family, tmp_path):
    encoder, head = made(family)
    masked_lms.whole(encoder, head).save_pretrained(tmp_path)
    theirs = AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        torch.testing.assert_close(theirs(IDS).logits, logits(encoder, head))
    torch.testing.assert_close(logits(*masked_lms.load(tmp_path)), logits(encoder, head))
    alone = AutoModel.from_pretrained(tmp_path, add_pooling_layer=False) if (
        family != "electra") else AutoModel.from_pretrained(tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(alone(IDS).last_hidden_state, encoder(IDS).last_hidden_state)


@pytest.mark.parametrize("family", MAKERS)
def test_the_whole_model_shares_its_tensors(family):
    encoder, head = made(family)
    whole = masked_lms.whole(encoder, head)
    ours = {id(p) for part in (encoder, head) for p in part.parameters()}
    assert {id(p) for p in whole.parameters()} == ours


def test_the_head_of_a_loaded_model_is_tied(tmp_path):
    masked_lms.whole(*made("bert")).save_pretrained(tmp_path)
    encoder, head = masked_lms.load(tmp_path)
    assert head.decoder is encoder.get_input_embeddings().weight


def test_an_encoder_whose_head_was_not_kept_is_refused(tmp_path):
    encoder, _ = made("bert")
    encoder.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="head was not kept"):
        masked_lms.load(tmp_path)


def test_weights_of_another_shape_are_refused(tmp_path):
    masked_lms.whole(*made("bert")).save_pretrained(tmp_path)
    encoder = encoders.bert(VOCAB, **(SHAPE | {"intermediate": 32}))
    with pytest.raises(UserError, match="expected"):
        masked_lms.restore(encoder, masked_lm_head(encoder), tmp_path)


def test_restoring_gives_the_saved_scores(tmp_path):
    encoder, head = made("bert")
    masked_lms.whole(encoder, head).save_pretrained(tmp_path)
    torch.manual_seed(7)
    other = MAKERS["bert"](VOCAB).eval()
    other_head = masked_lm_head(other).eval()
    masked_lms.restore(other, other_head, tmp_path)
    torch.testing.assert_close(logits(other, other_head), logits(encoder, head))


def test_keeping_the_head_changes_nothing_in_training():
    keep = torch.ones_like(IDS, dtype=torch.bool)
    models = [one(encoder=MAKERS["bert"]) for one in (MaskedLM, WholeMaskedLM)]
    built = [one.build(VOCAB, Streams(3)) for one in models]
    losses = [one.loss(model.eval(), IDS, keep, Streams(3), 5)["loss"]
              for one, model in zip(models, built, strict=True)]
    assert torch.equal(*losses)
    assert type(models[1].exported(built[1])).__name__ == "BertForMaskedLM"


def test_a_published_head_is_used_where_one_is_given(tmp_path):
    encoder, head = made("roberta")
    masked_lms.whole(encoder, head).save_pretrained(tmp_path)
    found = masked_lms.published_head(encoder, model=str(tmp_path), revision="main")
    torch.testing.assert_close(logits(encoder, found.eval()), logits(encoder, head))
    with torch.device("meta"):
        shape = masked_lms.published_head(roberta(VOCAB), model="nowhere/none", revision="main")
    assert shape.bias.device.type == "meta"
