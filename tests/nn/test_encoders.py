import pytest
import torch
from transformers import AutoModel, ElectraForPreTraining

from repro.errors import UserError
from repro.nn.encoders import bert, electra, encode, padding_of, share_embeddings
from repro.nn.heads import discriminator_head, gather, masked_lm_head
from repro.text.tokenizer import VocabInfo

VOCAB = VocabInfo(size=50, pad=0, unk=1, cls=2, sep=3, mask=4, special=(0, 1, 2, 3, 4))
SMALL = {"hidden": 16, "layers": 2, "heads": 2, "intermediate": 24, "max_positions": 12}


@pytest.mark.parametrize("factory", [bert, electra])
def test_settings_reach_the_configuration(factory):
    config = factory(VOCAB, **SMALL, dropout=0.2, attention_dropout=0.3).config
    assert (config.vocab_size, config.pad_token_id) == (50, 0)
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (16, 2, 2)
    assert (config.intermediate_size, config.max_position_embeddings) == (24, 12)
    assert (config.hidden_dropout_prob, config.attention_probs_dropout_prob) == (0.2, 0.3)


def test_impossible_sizes_are_errors_that_name_the_setting():
    with pytest.raises(UserError, match="heads = 3: must divide hidden = 16"):
        bert(VOCAB, **(SMALL | {"heads": 3}))
    with pytest.raises(UserError, match="layers = 0"):
        electra(VOCAB, **(SMALL | {"layers": 0}))


@pytest.mark.parametrize("factory", [bert, electra])
def test_encoding_without_padding_needs_no_mask(factory):
    encoder = factory(VOCAB, **SMALL).eval()
    tokens_BT = torch.arange(5, 17).view(2, 6)
    keep_BT = torch.ones(2, 6, dtype=torch.bool)
    assert padding_of(keep_BT) is None
    torch.testing.assert_close(
        encode(encoder, tokens_BT, keep_BT), encode(encoder, tokens_BT, None)
    )
    keep_BT[0, 4:] = False
    assert padding_of(keep_BT) is keep_BT
    changed_BT = tokens_BT.clone()
    changed_BT[0, 4:] = 9
    torch.testing.assert_close(
        encode(encoder, tokens_BT, keep_BT)[0, :4], encode(encoder, changed_BT, keep_BT)[0, :4]
    )


@pytest.mark.parametrize("factory", [bert, electra])
def test_what_is_saved_loads_with_auto_model(factory, tmp_path):
    encoder = factory(VOCAB, **SMALL).eval()
    encoder.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path).eval()
    tokens_BT = torch.arange(5, 17).view(2, 6)
    assert torch.equal(encode(encoder, tokens_BT, None), encode(loaded, tokens_BT, None))


def test_shared_embeddings_take_both_gradients():
    owner = electra(VOCAB, **SMALL, embedding=8)
    other = electra(VOCAB, **(SMALL | {"hidden": 12}), embedding=8)
    share_embeddings(owner, other)
    tokens_BT = torch.arange(5, 17).view(2, 6)
    encode(other, tokens_BT, None).sum().backward()
    assert owner.embeddings.position_embeddings.weight.grad[:6].any()


def test_mlm_head_scores_gathered_positions_against_the_token_embeddings():
    encoder = electra(VOCAB, **SMALL, embedding=8)
    head = masked_lm_head(encoder)
    assert head.decoder is encoder.get_input_embeddings().weight
    hidden_BTD = torch.randn(2, 6, 16)
    chosen_MD = gather(hidden_BTD, torch.tensor([1, 11]))
    assert torch.equal(chosen_MD, torch.stack([hidden_BTD[0, 1], hidden_BTD[1, 5]]))
    expected_MV = head.transform(chosen_MD) @ head.decoder.T
    torch.testing.assert_close(head(chosen_MD), expected_MV)


def test_heads_start_as_transformers_starts_them():
    torch.manual_seed(0)
    encoder = electra(VOCAB, **(SMALL | {"hidden": 64}), embedding=8)
    reference = ElectraForPreTraining(encoder.config).discriminator_predictions.state_dict()
    head = discriminator_head(encoder).state_dict()
    assert {n: t.shape for n, t in head.items()} == {n: t.shape for n, t in reference.items()}
    assert head["dense.weight"].std().item() == pytest.approx(0.02, rel=0.1)
    assert not head["dense.bias"].any() and not masked_lm_head(encoder).bias.any()
