"""Low-rank updates of decoders: peft's own sums, and nothing happens without them."""

from functools import partial

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from repro.errors import UserError
from repro.losses.adapted_lm import AdaptedLM
from repro.losses.causal_lm import CausalLM
from repro.nn import lora
from repro.nn.decoders import llama
from repro.nn.llama3 import llama3
from repro.text.tokenizer import VocabInfo
from repro.train.streams import Streams

VOCAB = VocabInfo(size=40, pad=0, unk=1, cls=2, sep=3, mask=4, special=(0, 1, 2, 3, 4))
DECODER = partial(llama, hidden=16, layers=2, heads=2, intermediate=24, max_positions=32, tied=True)
ADAPTED = AdaptedLM(decoder=partial(lora.lora, decoder=DECODER, rank=3, alpha=6))
TOKENS = torch.randint(5, 40, (3, 10), generator=torch.Generator().manual_seed(0))
KEEP = torch.arange(10).expand(3, 10) >= 4


def adapted(updates: bool):
    model = ADAPTED.build(VOCAB, Streams(0))
    if updates:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(generator=torch.Generator().manual_seed(1))
    return model


def test_updates_of_zero_are_the_decoder_itself() -> None:
    plain = CausalLM(decoder=DECODER)
    base = plain.build(VOCAB, Streams(0))
    losses = [one.loss(model, TOKENS, KEEP, Streams(0), 0)["loss"]
              for one, model in ((ADAPTED, adapted(False)), (plain, base))]
    assert torch.equal(*losses)
    for name, tensor in lora.merged(adapted(False)).state_dict().items():
        assert torch.equal(tensor, base.state_dict()[name]), name


def test_the_merged_decoder_is_the_adapted_one_by_pefts_sum(tmp_path) -> None:
    model = adapted(True)
    base = CausalLM(decoder=DECODER).build(VOCAB, Streams(0))
    merged = ADAPTED.exported(model)
    merged.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    torch.testing.assert_close(loaded(TOKENS).logits, model(TOKENS).logits, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(loaded(TOKENS).logits, base(TOKENS).logits, atol=1e-2)
    layer = model.get_base_model().model.layers[1].mlp.up_proj
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    expected = base.model.layers[1].mlp.up_proj.weight + 6 / 3 * b @ a
    torch.testing.assert_close(merged.model.layers[1].mlp.up_proj.weight, expected)
    assert "lora_A" in dict(model.named_modules())["base_model.model.model.layers.1.mlp.up_proj"
                                                   ]._modules, "the model itself stays adapted"


def test_only_the_updates_are_trained() -> None:
    model = adapted(True)
    ADAPTED.loss(model, TOKENS, KEEP, Streams(0), 0)["loss"].backward()
    trained = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert trained == {name for name, parameter in model.named_parameters()
                       if parameter.requires_grad}
    assert trained and all(".lora_" in name for name in trained)
    assert len(trained) == 2 * 7 * 2


def test_the_question_is_read_and_not_learnt() -> None:
    model, other = adapted(True), TOKENS.clone()
    other[:, 2] = (other[:, 2] - 5 + 7) % 35 + 5
    one, two = (ADAPTED.loss(model, tokens, KEEP, Streams(0), 0)["loss"]
                for tokens in (TOKENS, other))
    assert one != two, "what is asked changes what follows"
    logits = model.get_base_model()(TOKENS).logits[:, 3:-1].flatten(0, 1)
    expected = torch.nn.functional.cross_entropy(logits, TOKENS[:, 4:].flatten())
    torch.testing.assert_close(one, expected)


def test_the_base_is_taken_over_and_the_updates_stay(tmp_path) -> None:
    earlier = CausalLM(decoder=DECODER).build(VOCAB, Streams(7))
    earlier.save_pretrained(tmp_path)
    model = adapted(True)
    before = {name: p.clone() for name, p in model.named_parameters() if ".lora_" in name}
    lora.take_base(model, tmp_path)
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters() if ".lora_" in n)
    with model.disable_adapter():
        torch.testing.assert_close(model(TOKENS).logits, earlier(TOKENS).logits)
    wide = AdaptedLM(decoder=partial(lora.lora, rank=3, alpha=6, decoder=partial(
        DECODER, intermediate=20))).build(VOCAB, Streams(0))
    with pytest.raises(UserError, match="gate_proj.weight is .24, 16., expected .20, 16."):
        lora.take_base(wide, tmp_path)
    with pytest.raises(UserError, match="no readable decoder"):
        lora.take_base(model, tmp_path / "absent")


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(UserError, match="rank = 0"):
        lora.lora(VOCAB, decoder=DECODER, rank=0, alpha=1)
    with pytest.raises(UserError, match="lora.targets"):
        lora.lora(VOCAB, decoder=DECODER, rank=1, alpha=1, targets=("absent",))


def test_operations_are_those_that_torch_counts() -> None:
    """But for gradients of the first layer's inputs, which are embeddings and are not trained."""
    model = adapted(True)
    model.get_base_model().set_attn_implementation("eager")  # the fused kernel is not counted
    keep = torch.ones_like(TOKENS, dtype=torch.bool)
    with FlopCounterMode(display=False) as counter:
        ADAPTED.loss(model, TOKENS, keep, Streams(0), 0)["loss"].backward()
    spared = 3 * 2 * (30 * 16 * 16 + 30 * 16 * 3)
    assert ADAPTED.training_flops(model, 3, 10) == counter.get_total_flops() + spared


def test_llama3_has_the_published_size() -> None:
    with torch.device("meta"):
        model = llama3(VocabInfo(128256, 0, 1, 2, 3, 4, (0, 1, 2, 3, 4)), hidden=3072, layers=28,
                       heads=24, key_heads=8, intermediate=8192)
    assert sum(parameter.numel() for parameter in model.parameters()) == 3212749824


def test_llama3_is_transformers_own_with_the_same_weights() -> None:
    ours = llama3(VOCAB, hidden=16, layers=2, heads=4, key_heads=2, intermediate=24,
                  max_positions=64)
    config = LlamaConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, intermediate_size=24, max_position_embeddings=64, rms_norm_eps=1e-5,
        tie_word_embeddings=True, rope_parameters={
            "rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 8192})
    reference = LlamaForCausalLM(config)
    reference.load_state_dict(ours.state_dict())
    torch.testing.assert_close(reference(TOKENS).logits, ours(TOKENS).logits)
    objective = CausalLM(decoder=lambda vocab: ours)
    keep = torch.ones_like(TOKENS, dtype=torch.bool)
    loss = objective.loss(ours, TOKENS, keep, Streams(0), 0)["loss"]
    torch.testing.assert_close(loss, reference(TOKENS, labels=TOKENS).loss)
    with pytest.raises(UserError, match="key_heads = 3"):
        llama3(VOCAB, hidden=16, layers=1, heads=4, key_heads=3, intermediate=8)
