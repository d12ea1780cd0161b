"""What papers/sltrain adds to the core: hand-made cases, limits, and what it keeps in memory."""

import math
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from papers.sltrain.method import (
    SparseLowRankLinear,
    compose,
    low_rank_share,
    sparse_low_rank,
)
from repro.check.footprint import measure
from repro.config import resolved
from repro.config.build import build
from repro.data.causal import CausalRows
from repro.errors import UserError
from repro.losses.causal_lm import CausalLM
from repro.nn.decoders import llama
from repro.nn.low_rank import LowRankLinear, factorised
from repro.nn.swap import swapped
from repro.text.tokenizer import VocabInfo
from repro.train.optimizers import adamw
from repro.train.streams import Streams

ROOT = Path(__file__).parents[2]
VOCAB = VocabInfo(size=60, pad=0, unk=1, cls=2, sep=3, mask=4, special=(0, 1, 2, 3, 4))
TINY = partial(llama, hidden=16, layers=2, heads=2, intermediate=24, max_positions=32)
METHOD = partial(sparse_low_rank, decoder=TINY, rank=4, alpha=2.0, density=0.1)


def layer(inputs=12, outputs=20, rank=3, density=0.25, scale=0.5, seed=0):
    torch.manual_seed(seed)
    made = SparseLowRankLinear(nn.Linear(inputs, outputs, bias=False), rank, density, scale)
    made.draw_support()
    nn.init.normal_(made.up)
    return made


def built(decoder, seed=0):
    return CausalLM(decoder=decoder).build(VOCAB, Streams(seed))


def test_the_weight_by_hand():
    # s B A = 2 (1, 2)^T (3, 4) = ((6, 8), (12, 16)); S adds 5 at place 1 and 7 at place 2.
    up, down = torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0, 4.0]])
    found = compose(up, down, torch.tensor([5.0, 7.0]), torch.tensor([1, 2]), 2.0)
    assert found.tolist() == [[6.0, 13.0], [19.0, 16.0]]


def test_the_backward_pass_is_the_derivative():
    made = layer().double()
    x = torch.randn(2, 5, 12, dtype=torch.float64, requires_grad=True)

    def output(x, up, down, values):
        made_now = {"up": up, "down": down, "values": values}
        return torch.func.functional_call(made, made_now, (x,))

    inputs = (x, made.up.detach(), made.down.detach(), made.values.detach())
    assert torch.autograd.gradcheck(output, tuple(t.clone().requires_grad_() for t in inputs))


def test_gradients_are_those_of_a_dense_weight_put_together_with_autograd():
    made = layer()
    x = torch.randn(7, 12, requires_grad=True)
    target = torch.randn(7, 20)
    found = torch.autograd.grad(
        F.mse_loss(made(x), target), [x, made.up, made.down, made.values])
    dense = 0.5 * made.up @ made.down
    dense = dense.flatten().index_add(0, made.support, made.values).view(20, 12)
    expected = torch.autograd.grad(
        F.mse_loss(F.linear(x, dense), target), [x, made.up, made.down, made.values])
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_backward_keeps_no_dense_weight():
    made = layer(inputs=64, outputs=48, rank=2, density=0.03)
    x = torch.randn(5, 64, requires_grad=True)
    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        made(x).sum()
    sizes = sorted(tensor.numel() for tensor in kept)
    count = int(0.03 * 64 * 48)
    assert sizes == sorted([5 * 64, 2 * 64, 48 * 2, count, count])
    assert max(sizes) < 64 * 48


def test_the_optimizer_sees_a_vector_of_values_and_no_dense_weight():
    model = built(METHOD)
    for name, made in swapped(model).items():
        assert made.values.ndim == 1, name
        assert len(made.values) == len(made.support) == int(
            0.1 * made.in_features * made.out_features)
        assert sum(p.numel() for p in made.parameters()) == (
            len(made.values) + 4 * (made.in_features + made.out_features))
    optimizer = adamw(model, lr=0.1)
    CausalLM(decoder=METHOD).loss(model, *rows(), Streams(0), 0)["loss"].backward()
    optimizer.step()
    states = [optimizer.state[made.values] for made in swapped(model).values()]
    assert all(state["exp_avg"].shape == state["exp_avg_sq"].shape for state in states)
    assert all(state["exp_avg"].ndim == 1 for state in states)


def rows(count=3, length=10):
    generator = torch.Generator().manual_seed(5)
    tokens = torch.randint(5, 60, (count, length), generator=generator)
    return tokens, torch.ones_like(tokens, dtype=torch.bool)


def test_the_support_is_random_without_repetition_and_never_changes():
    model = built(METHOD)
    before = {n: made.support.clone() for n, made in swapped(model).items()}
    assert all(len(s.unique()) == len(s) and (s.diff() > 0).all() for s in before.values())
    optimizer = adamw(model, lr=0.1)
    for step in range(3):
        CausalLM(decoder=METHOD).loss(model, *rows(), Streams(0), step)["loss"].backward()
        optimizer.step()
    assert all(torch.equal(made.support, before[n]) for n, made in swapped(model).items())
    assert all("support" in n for n, _ in model.named_buffers() if "proj" in n)
    # Every place is as likely as any other: 400 draws of 2 of 8.
    counts = torch.zeros(8)
    drawn = layer(inputs=2, outputs=4, rank=1)
    for _ in range(400):
        drawn.draw_support()
        counts[drawn.support] += 1
    assert (counts - 100).abs().max() < 40


def test_another_support_changes_nothing_else():
    one, two = (built(partial(METHOD, support=k)) for k in (0, 1))
    state_one, state_two = one.state_dict(), two.state_dict()
    differing = {n for n in state_one if not torch.equal(state_one[n], state_two[n])}
    assert differing == {n for n in state_one if n.endswith(".support")}


def test_only_attention_and_mlp_are_replaced_all_of_them_and_the_rest_begins_as_dense():
    model, dense = built(METHOD), built(TINY)
    assert len(swapped(model)) == 2 * 7
    linears = {n for n, m in model.named_modules() if type(m) is nn.Linear}
    assert linears == {"lm_head"}
    for name in ("model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"):
        assert torch.equal(model.state_dict()[name], dense.state_dict()[name])


def test_initial_values_are_those_of_the_released_code():
    made = SparseLowRankLinear(nn.Linear(256, 128, bias=False), 16, 0.2, 1.0)
    bound = 1 / math.sqrt(256)
    assert made.up.abs().max() == 0
    for tensor in (made.down, made.values):
        assert tensor.abs().max() <= bound
        assert tensor.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)


def test_without_its_sparse_part_it_is_the_low_rank_layer():
    sparse = layer()
    nn.init.zeros_(sparse.values)
    plain = LowRankLinear(nn.Linear(12, 20, bias=False), 3, 0.5)
    plain.load_state_dict({"up": sparse.up.detach(), "down": sparse.down.detach()})
    x = torch.randn(4, 12)
    torch.testing.assert_close(sparse(x), plain(x))
    ours = torch.autograd.grad(sparse(x).square().sum(), [sparse.up, sparse.down])
    theirs = torch.autograd.grad(plain(x).square().sum(), [plain.up, plain.down])
    for one, two in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, two)


def test_with_every_place_and_no_low_rank_part_it_is_a_dense_layer():
    full = SparseLowRankLinear(nn.Linear(6, 5, bias=False), 1, 1.0, 1.0)
    full.draw_support()
    linear = nn.Linear(6, 5, bias=False)
    with torch.no_grad():
        full.values.copy_(linear.weight.flatten())
    x = torch.randn(3, 6)
    torch.testing.assert_close(full(x), linear(x))


def test_settings_out_of_range_are_refused():
    with pytest.raises(UserError, match="density = 0"):
        SparseLowRankLinear(nn.Linear(4, 4, bias=False), 2, 0.0, 1.0)
    with pytest.raises(UserError, match="rank = 5: expected 1 to 4"):
        SparseLowRankLinear(nn.Linear(4, 8, bias=False), 5, 0.1, 1.0)


def test_under_autocast_it_runs_in_bfloat16_and_gives_gradients_in_the_weights_type():
    made = layer()
    with torch.autocast("cpu", torch.bfloat16):
        found = made(torch.randn(4, 12))
    assert found.dtype == torch.bfloat16
    found.float().sum().backward()
    assert {p.grad.dtype for p in made.parameters()} == {torch.float32}


def test_the_spectrum_by_hand():
    # W = diag(3, 1): its head (rank 1) is all low-rank, its tail half of it.
    weight, sparse = torch.diag(torch.tensor([3.0, 1.0])), torch.diag(torch.tensor([0.0, 0.5]))
    assert low_rank_share(weight, sparse, 1, "head") == pytest.approx(1.0)
    assert low_rank_share(weight, sparse, 1, "tail") == pytest.approx(0.5)


# Parameters in millions: GaLore's configurations, the paper's ranks; its Table 2.
SIZES = {
    "60M": ((512, 8, 8, 1376), 128, 58, 44),
    "130M": ((768, 12, 12, 2048), 256, 134, 97),
    "350M": ((1024, 24, 16, 2736), 256, 368, 194),
    "1B": ((2048, 24, 32, 5461), 512, 1339, 646),
}


@pytest.mark.parametrize("size", SIZES)
def test_parameters_are_those_of_the_papers_table(size):
    (hidden, layers, heads, intermediate), rank, full, ours = SIZES[size]
    dense = partial(llama, hidden=hidden, layers=layers, heads=heads, intermediate=intermediate)
    vocab = VocabInfo(32000, pad=0, unk=1, cls=2, sep=3, mask=4, special=(0, 1, 2, 3, 4))
    method = partial(sparse_low_rank, decoder=dense, rank=rank, alpha=1.0, density=0.03)
    for decoder, expected in ((dense, full), (method, ours)):
        with torch.device("meta"):
            model = CausalLM(decoder=decoder).build(vocab, Streams(0))
        found = sum(p.numel() for p in model.parameters()) / 1e6
        assert found == pytest.approx(expected, rel=0.012)


def test_training_holds_less_than_at_full_rank_and_the_working_memory_is_known():
    batches = CausalRows(corpus="text", batch_size=2, sequence_length=8)
    wide = partial(llama, hidden=64, layers=1, heads=2, intermediate=96)
    found = {}
    for name, decoder in {
        "full": wide,
        "lowrank": partial(factorised, decoder=wide, rank=8, alpha=8.0),
        "sltrain": partial(sparse_low_rank, decoder=wide, rank=8, alpha=8.0, density=0.03),
    }.items():
        found[name], _ = measure(
            CausalLM(decoder=decoder), partial(adamw, lr=1e-3), batches, VOCAB, bf16=True)
    assert found["lowrank"].optimizer < found["sltrain"].optimizer < found["full"].optimizer
    assert found["sltrain"].optimizer < 1.15 * found["lowrank"].optimizer
    assert all(one.working is not None for one in found.values())


def test_arms_of_a_claim_share_data_tokens_and_all_but_the_rate():
    for profile in ("mini", "paper"):
        arms = resolved.load(ROOT / f"papers/sltrain/resolved/{profile}")["arms"]
        full = arms["full"]["pretrain"]["config"]
        for name, stages in arms.items():
            if "pretrain" not in stages:
                continue
            config = stages["pretrain"]["config"]
            for setting in ("batches", "steps", "accumulation", "clip_norm", "precision"):
                assert config[setting] == full[setting], f"{name}.{setting}"
            schedule, theirs = config["schedule"], full["schedule"]
            assert schedule["warmup_steps"] == theirs["warmup_steps"]
            assert schedule["floor"] == theirs["floor"]
            assert stages["eval"]["config"]["tasks"]["held_out"] == (
                arms["full"]["eval"]["config"]["tasks"]["held_out"])


def test_the_variants_differ_from_the_sltrain_arm_in_one_thing():
    arms = resolved.load(ROOT / "papers/sltrain/resolved/mini")["arms"]
    base = arms["sltrain"]["pretrain"]["config"]
    expected = {
        "sltrain_other_support": {"support"}, "sltrain_d01": {"density"},
        "sltrain_d05": {"density"}, "sltrain_d10": {"density"},
        "sltrain_half_rank": {"rank", "alpha"}, "sltrain_double_rank": {"rank", "alpha"},
    }
    for arm, names in expected.items():
        config = arms[arm]["pretrain"]["config"]
        differing = {k for k in base["objective"]["decoder"]
                     if config["objective"]["decoder"][k] != base["objective"]["decoder"][k]}
        assert differing == names, arm
        decoder = config["objective"]["decoder"]
        assert decoder["alpha"] / decoder["rank"] == (
            base["objective"]["decoder"]["alpha"] / base["objective"]["decoder"]["rank"])
        assert config["optimizer"] == base["optimizer"]


def test_an_export_can_be_built_from_the_resolved_settings():
    config = resolved.load(ROOT / "papers/sltrain/resolved/smoke")["arms"]["sltrain"]
    objective = build(config["pretrain"]["config"]["objective"], ROOT)()
    vocab = VocabInfo(2048, pad=0, unk=1, cls=2, sep=3, mask=4, special=(0, 1, 2, 3, 4))
    model = objective.build(vocab, Streams(0))
    plain = objective.exported(model)
    tokens, _ = rows()
    with torch.no_grad():
        torch.testing.assert_close(plain(tokens).logits, model(tokens).logits)
    assert not swapped(plain) and len(plain.parts) == 4 * len(swapped(model))
