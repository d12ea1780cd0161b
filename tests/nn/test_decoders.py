"""Decoders against transformers' own forward pass; replaced layers; operations by torch's count."""

from functools import partial

import pytest
import torch
import transformers
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM

from papers.sltrain.method import sparse_low_rank
from repro.errors import UserError
from repro.losses.causal_lm import CausalLM
from repro.nn.decoders import PARTS, hidden_states, llama
from repro.nn.low_rank import FrozenPlusLowRank, LowRankLinear, factorised
from repro.nn.swap import merged, swap_linears, swapped
from repro.text.tokenizer import VocabInfo
from repro.train.streams import Streams

VOCAB = VocabInfo(size=50, pad=0, unk=1, cls=2, sep=3, mask=4, special=(0, 1, 2, 3, 4))
TINY = partial(llama, hidden=16, layers=2, heads=2, intermediate=24, max_positions=16)
KINDS = {
    "dense": TINY,
    "lowrank": partial(factorised, decoder=TINY, rank=4, alpha=8.0),
    "frozen": partial(factorised, decoder=TINY, rank=4, alpha=8.0, frozen=True),
    "sparse": partial(sparse_low_rank, decoder=TINY, rank=4, alpha=8.0, density=0.1),
}
TOKENS = torch.randint(5, 50, (3, 12), generator=torch.Generator().manual_seed(0))
KEEP = torch.ones_like(TOKENS, dtype=torch.bool)


def test_hidden_states_are_those_of_transformers_padding_or_not():
    model = CausalLM(decoder=TINY).build(VOCAB, Streams(0))
    theirs = transformers.LlamaForCausalLM(model.config)
    theirs.load_state_dict(model.state_dict())
    keep = KEEP.clone()
    keep[1, 7:] = False
    with torch.no_grad():
        ours = hidden_states(model, TOKENS)
        expected = theirs.model(input_ids=TOKENS, attention_mask=keep.long()).last_hidden_state
    torch.testing.assert_close(ours[keep], expected[keep])
    with pytest.raises(UserError, match="max_positions = 16"):
        hidden_states(model, torch.zeros(1, 17, dtype=torch.int64))


@pytest.mark.parametrize("kind", KINDS)
def test_the_export_is_the_same_function_and_loads_with_the_auto_class(kind, tmp_path):
    objective = CausalLM(decoder=KINDS[kind])
    model = objective.build(VOCAB, Streams(0))
    for made in swapped(model).values():
        nn.init.normal_(made.up, std=0.1)
    before = model.lm_head(hidden_states(model, TOKENS))
    objective.exported(model).save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(loaded) is transformers.LlamaForCausalLM
    with torch.no_grad():
        torch.testing.assert_close(loaded(TOKENS).logits, before)
    assert (tmp_path / PARTS).exists() == (kind != "dense")
    assert bool(swapped(model)) == (kind != "dense")  # the trained model is left as it was


@pytest.mark.parametrize("kind", KINDS)
def test_operations_are_those_that_torch_counts(kind):
    objective = CausalLM(decoder=KINDS[kind])
    model = objective.build(VOCAB, Streams(0))
    # Only this kernel is counted on the CPU.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        objective.loss(model, TOKENS, KEEP, Streams(0), 0)["loss"].backward()
    # The gradient of the first layer's input is needed, for the embeddings.
    assert objective.training_flops(model, 3, 12) == counter.get_total_flops()


def test_layers_are_replaced_by_whole_name():
    model = CausalLM(decoder=TINY).build(VOCAB, Streams(0))
    names = swap_linears(model, lambda linear: LowRankLinear(linear, 2, 1.0), r".*\.q_proj")
    assert names == [f"model.layers.{i}.self_attn.q_proj" for i in range(2)]
    with pytest.raises(UserError, match="no linear layer is called 'q_proj'"):
        swap_linears(model, lambda linear: linear, "q_proj")
    biased = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(UserError, match="0 has a bias"):
        swap_linears(biased, lambda linear: linear, ".*")


def test_a_low_rank_layer_by_hand():
    made = LowRankLinear(nn.Linear(2, 2, bias=False), 1, 2.0)
    made.load_state_dict({"down": torch.tensor([[3.0, 4.0]]), "up": torch.tensor([[1.0], [2.0]])})
    assert made.dense().tolist() == [[6.0, 8.0], [12.0, 16.0]]
    assert made(torch.tensor([1.0, 10.0])).tolist() == [86.0, 172.0]


def test_low_rank_layers_begin_with_a_signal_and_gradients_everywhere():
    model = CausalLM(decoder=KINDS["lowrank"]).build(VOCAB, Streams(0))
    CausalLM(decoder=TINY).loss(model, TOKENS, KEEP, Streams(0), 0)["loss"].backward()
    for name, made in swapped(model).items():
        assert made.down.grad.abs().sum() > 0 and made.up.grad.abs().sum() > 0, name


def test_a_frozen_layer_begins_as_the_linear_one_and_keeps_its_weight():
    linear = nn.Linear(6, 4, bias=False)
    made = FrozenPlusLowRank(linear, 2, 1.0)
    x = torch.randn(3, 6)
    torch.testing.assert_close(made(x), linear(x))
    made(x).sum().backward()
    assert made.frozen.grad is None and made.up.grad is not None


def test_a_restart_keeps_the_function_and_draws_anew():
    made = FrozenPlusLowRank(nn.Linear(6, 4, bias=False), 2, 0.5)
    nn.init.normal_(made.up)
    x, down = torch.randn(3, 6), made.down.detach().clone()
    before = made(x)
    made.restart(10)
    torch.testing.assert_close(made(x), before)
    assert made.up.abs().max() == 0 and not torch.equal(made.down, down)
    assert made.down.abs().max() <= 6**-0.5
    first = made.down.detach().clone()
    made.restart(10)
    assert torch.equal(made.down, first)  # of the run and the step only
    made.restart(20)
    assert not torch.equal(made.down, first)


def test_a_model_without_replaced_layers_is_its_own_export():
    model = CausalLM(decoder=TINY).build(VOCAB, Streams(0))
    assert merged(model) is model


@pytest.mark.parametrize("rank", [0, 5])
def test_a_rank_that_does_not_fit_is_refused(rank):
    with pytest.raises(UserError, match=f"rank = {rank}: expected 1 to 4"):
        LowRankLinear(nn.Linear(6, 4, bias=False), rank, 1.0)


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match="heads = 3: must divide hidden = 16"):
        llama(VOCAB, hidden=16, layers=1, heads=3, intermediate=8)
    with pytest.raises(UserError, match="layers = 0"):
        llama(VOCAB, hidden=16, layers=0, heads=2, intermediate=8)
