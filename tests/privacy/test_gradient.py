"""Per-example gradients, clipping, noise, sampling, carriers: by loops, by opacus, by hand."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from repro.errors import Interrupted, UserError
from repro.privacy import carriers
from repro.privacy.gradient import Mechanism, PrivateGradient
from repro.privacy.per_example import Carriers, clipped_sum, gradients
from repro.privacy.sampling import PoissonOrder
from repro.train import optimizers
from repro.train.loop import Plan, fit
from repro.train.streams import Streams

INPUTS, WIDTH, CLASSES, LENGTH = 5, 6, 3, 4


class Net(nn.Module):
    """Two linear layers over positions, one over their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(INPUTS, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x_BTI: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.two(torch.tanh(self.one(x_BTI)))).mean(dim=1))


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net()


@pytest.fixture
def data() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(40, LENGTH, INPUTS, generator=generator)
    return x, torch.randint(CLASSES, (40,), generator=generator)


def layers_of(net: nn.Module) -> dict[str, nn.Linear]:
    return {n: m for n, m in net.named_modules() if isinstance(m, nn.Linear)}


def losses_of(net: nn.Module, data):
    return lambda rows: F.cross_entropy(net(data[0][rows]), data[1][rows], reduction="none")


def private(net: Net, data, seed: int = 0, **settings) -> PrivateGradient:
    mechanism = Mechanism(**({"clip_norm": 1.0, "noise": 0.0, "batch_size": 10} | settings))
    lengths = torch.full((len(data[0]),), LENGTH)
    return PrivateGradient(layers_of(net), losses_of(net, data), mechanism, Streams(seed), lengths)


def gradient(net: Net, loss: PrivateGradient, rows: torch.Tensor, step: int = 0):
    net.zero_grad()
    loss(rows, step)["loss"].backward()
    return {name: p.grad.clone() for name, p in net.named_parameters()}


def test_per_example_gradients_are_those_of_a_loop(net, data) -> None:
    rows = torch.arange(7)
    losses, found = gradients(lambda: losses_of(net, data)(rows), layers_of(net), {})
    assert all(p.grad is None for p in net.parameters())
    for i in rows.tolist():
        net.zero_grad()
        one = losses_of(net, data)(rows[i : i + 1])
        one.sum().backward()
        assert torch.allclose(one, losses[i])
        for name, parameter in net.named_parameters():
            assert torch.allclose(found[name][i], parameter.grad, atol=1e-6), name


def test_per_example_gradients_are_those_of_opacus(net, data) -> None:
    from opacus import GradSampleModule

    rows = torch.arange(9)
    _, found = gradients(lambda: losses_of(net, data)(rows), layers_of(net), {})
    wrapped = GradSampleModule(net, loss_reduction="sum")
    F.cross_entropy(wrapped(data[0][rows]), data[1][rows], reduction="sum").backward()
    for name, parameter in wrapped._module.named_parameters():
        assert torch.allclose(found[name], parameter.grad_sample, atol=1e-6), name


def test_carriers_gradients_are_those_of_the_reparametrised_weight(net, data) -> None:
    basis = carriers.choose({"two": net.two.weight.detach()}, {"two": net.two.weight.detach()},
                            2, Streams(0), 0)
    row = torch.tensor([3])
    _, found = gradients(lambda: losses_of(net, data)(row), layers_of(net), basis)
    left, right = (t.clone().requires_grad_() for t in (basis["two"].left_OR,
                                                        basis["two"].right_RI))
    rest = net.two.weight.detach() - (left @ right).detach()
    out = torch.func.functional_call(net, {"two.weight": left @ right + rest}, (data[0][row],))
    F.cross_entropy(out, data[1][row]).backward()
    assert torch.allclose(found["two.left"][0], left.grad, atol=1e-6)
    assert torch.allclose(found["two.right"][0], right.grad, atol=1e-6)


def test_carriers_are_orthonormal_and_of_full_rank_lose_nothing() -> None:
    generator = torch.Generator().manual_seed(2)
    weight, grad = (torch.randn(6, 5, generator=generator) for _ in range(2))
    for rank in (2, 5):
        basis = carriers.choose({"w": weight}, {"w": weight}, rank, Streams(0), 0)["w"]
        eye = torch.eye(rank)
        assert torch.allclose(basis.left_OR.T @ basis.left_OR, eye, atol=1e-5)
        assert torch.allclose(basis.right_RI @ basis.right_RI.T, eye, atol=1e-5)
    rebuilt = basis.rebuild(grad @ basis.right_RI.T, basis.left_OR.T @ grad)
    assert torch.allclose(rebuilt, grad, atol=1e-5)
    # By hand: L = e1, R = e1^T. What is left of G is its first column and its first row.
    unit = Carriers(torch.eye(2)[:, :1], torch.eye(2)[:1])
    full = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    expected = torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    assert torch.equal(unit.rebuild(full[:, :1], full[:1]), expected)


def test_carriers_follow_what_training_did_and_are_the_same_after_a_restart() -> None:
    start = torch.randn(6, 5, generator=torch.Generator().manual_seed(3))
    change = torch.outer(torch.arange(6.0), torch.tensor([1.0, -1.0, 0.0, 2.0, 0.0]))
    found = carriers.choose({"w": start + change}, {"w": start}, 1, Streams(0), 4)["w"]
    direction = torch.arange(6.0) / torch.arange(6.0).norm()
    assert abs(float(found.left_OR[:, 0] @ direction)) == pytest.approx(1.0, abs=1e-5)
    again = carriers.choose({"w": start + change}, {"w": start}, 1, Streams(0), 4)["w"]
    assert torch.equal(found.left_OR, again.left_OR)


def test_one_example_moves_the_sum_by_the_clip_norm_at_most(net, data) -> None:
    _, found = gradients(lambda: losses_of(net, data)(torch.arange(12)), layers_of(net), {})
    limit = 0.05
    with_all, norms = clipped_sum(found, limit)
    without, _ = clipped_sum({n: t[1:] for n, t in found.items()}, limit)
    moved = torch.cat([(with_all[n] - without[n]).flatten() for n in found]).norm()
    assert float(norms[0]) > limit and float(moved) == pytest.approx(limit, rel=1e-3)
    # By hand: norms 5 and 0.5 at limit 1.
    sums, norms = clipped_sum({"w": torch.tensor([[3.0, 4.0], [0.3, 0.4]])}, 1.0)
    assert torch.allclose(sums["w"], torch.tensor([0.9, 1.2]))
    assert norms.tolist() == pytest.approx([5.0, 0.5])


def test_noise_zero_and_no_clipping_is_sgd(net, data) -> None:
    rows = torch.tensor([1, 4, 6, 9, 12, 13, 20, 21, 22, 39])
    found = gradient(net, private(net, data, clip_norm=None), rows)
    net.zero_grad()
    losses_of(net, data)(rows).mean().backward()
    for name, parameter in net.named_parameters():
        assert torch.allclose(found[name], parameter.grad, atol=1e-6), name


def test_microbatches_change_nothing_but_rounding(net, data) -> None:
    rows = torch.arange(10)
    whole = gradient(net, private(net, data, clip_norm=0.1, noise=0.5, microbatch=10), rows)
    parts = gradient(net, private(net, data, clip_norm=0.1, noise=0.5, microbatch=3), rows)
    assert all(torch.allclose(whole[n], parts[n], atol=1e-6) for n in whole)


def test_noise_is_unbiased_of_the_right_size_and_shared_between_arms(net, data) -> None:
    rows = torch.arange(10)
    clean = gradient(net, private(net, data), rows)
    loss = private(net, data, noise=2.0, clip_norm=1.0)
    draws = [gradient(net, loss, rows, step)["two.weight"] - clean["two.weight"]
             for step in range(200)]
    noise = torch.stack(draws)
    expected = 2.0 * 1.0 / 10  # noise * clip_norm / batch_size
    assert float(noise.std()) == pytest.approx(expected, rel=0.03)
    assert abs(float(noise.mean())) < 4 * expected / noise.numel() ** 0.5
    half = gradient(net, private(net, data, noise=1.0), rows, 7)["two.weight"]
    assert torch.allclose(2 * (half - clean["two.weight"]), draws[7], atol=1e-6)
    assert not torch.allclose(draws[0], draws[1])


def test_an_empty_batch_is_noise_alone(net, data) -> None:
    nothing = torch.zeros(0, dtype=torch.int64)
    found = gradient(net, private(net, data, noise=1.0, rank=2), nothing)
    assert float(found["one.weight"].norm()) > 0
    quiet = gradient(net, private(net, data), nothing)
    assert all(float(g.norm()) == 0 for g in quiet.values())


def test_the_head_is_scaled_before_clipping(net, data) -> None:
    rows = torch.arange(10)
    plain = gradient(net, private(net, data, clip_norm=1e6), rows)
    scaled = gradient(net, private(net, data, clip_norm=1e6, head_scale=0.1), rows)
    assert torch.allclose(scaled["head.weight"], 0.1 * plain["head.weight"], atol=1e-7)
    assert torch.allclose(scaled["one.weight"], plain["one.weight"], atol=1e-7)


def test_poisson_batches_have_the_rate_and_are_a_function_of_the_index() -> None:
    order = PoissonOrder(2000, 0.05, Streams(3))
    batches = [order(index) for index in range(60)]
    sizes = torch.tensor([len(b) for b in batches], dtype=torch.float64)
    # Binomial: mean 100, sd 9.7; the mean of 60 within 4 standard errors, the spread within 40 %.
    assert abs(float(sizes.mean()) - 100) < 4 * 9.75 / 60**0.5
    assert 6 < float(sizes.std()) < 14
    assert torch.equal(batches[7], PoissonOrder(2000, 0.05, Streams(3))(7))
    assert not torch.equal(batches[0], batches[1])
    counts = torch.cat(batches).bincount(minlength=2000)
    assert 0 < int(counts.max()) <= 14  # each example on its own: no fixed quota in an epoch


def train(folder, data, stop_at: int | None = None, noise: float = 1.0) -> Net:
    torch.manual_seed(0)
    net = Net()
    loss = private(net, data, noise=noise, rank=2)
    calls = iter(range(100))
    try:
        fit(net, PoissonOrder(40, 0.25, Streams(0)), loss,
            optimizers.adamw(net, lr=0.01, weight_decay=0.0),
            Plan(steps=8, log_every=4, checkpoint_every=3), streams=Streams(0), checkpoints=folder,
            stop_requested=lambda: next(calls) + 1 == stop_at)
    except Interrupted:
        return train(folder, data, noise=noise)
    return net


def test_a_private_run_killed_anywhere_ends_in_the_same_bytes(tmp_path, data) -> None:
    whole = train(tmp_path / "whole", data).state_dict()
    for step in (1, 4, 7):
        found = train(tmp_path / f"{step}", data, stop_at=step).state_dict()
        assert all(torch.equal(whole[name], found[name]) for name in whole)
    other = train(tmp_path / "other", data, noise=0.9).state_dict()
    assert not torch.equal(whole["two.weight"], other["two.weight"])


def test_impossible_mechanisms_are_refused(net, data) -> None:
    for wrong, match in (({"noise": 1.0, "clip_norm": None}, "no noise hides"),
                         ({"clip_norm": 0.0}, "clip_norm = 0.0"), ({"rank": 0}, "rank = 0"),
                         ({"microbatch": 0}, "microbatch = 0")):
        with pytest.raises(UserError, match=match):
            private(net, data, **wrong)
    with pytest.raises(UserError, match="called once"):
        gradients(lambda: losses_of(net, data)(torch.arange(2)),
                  layers_of(net) | {"other": nn.Linear(2, 2)}, {})
