"""GaLore's optimiser by hand, and against torch's AdamW where nothing is projected."""

from functools import partial

import pytest
import torch
from torch import nn

from repro.errors import UserError
from repro.train import galore, optimizers


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.q_proj = nn.Linear(3, 4, bias=False)
        self.other = nn.Linear(4, 2)

    def forward(self, x):
        return self.other(self.q_proj(x).tanh())


def net(seed=0):
    torch.manual_seed(seed)
    return Net()


ADAMW = partial(galore.adamw, lr=0.1, rank=1, projected="q_proj")


def train(model, optimizer, steps=5):
    x, y = torch.randn(8, 3, generator=torch.Generator().manual_seed(1)), torch.ones(8, 2)
    for _ in range(steps):
        (model(x) - y).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()


def test_the_first_step_by_hand():
    # G = 6 u v^T with u = (1, 1)/sqrt 2, v = (1, 0, 0): M < N, so P = +-u and P^T G = +-6 v^T.
    # Adam's first step is the sign: -lr scale P sign(P^T G), whatever the sign of P.
    weight = nn.Parameter(torch.zeros(2, 3))
    root = 2**-0.5
    weight.grad = 6 * torch.tensor([[root], [root]]) @ torch.tensor([[1.0, 0.0, 0.0]])
    group = {"params": [weight], "lr": 0.1, "initial_lr": 0.1, "weight_decay": 0.0,
             "rank": 1, "scale": 0.25, "refresh_every": 10}
    galore.ProjectedAdamW([group], (0.9, 0.999), 1e-8).step()
    expected = -0.1 * 0.25 * root
    torch.testing.assert_close(weight[:, 0].detach(), torch.full((2,), expected))
    assert weight[:, 1:].abs().max() < 1e-3


def test_what_is_not_projected_is_updated_as_by_adamw():
    one, two = net(), net()
    two.q_proj.requires_grad_(False)
    one.q_proj.weight.register_hook(torch.zeros_like)
    train(one, ADAMW(one))
    train(two, optimizers.adamw(two, lr=0.1, eps=1e-8, weight_decay=0.0))
    torch.testing.assert_close(one.other.weight, two.other.weight)
    torch.testing.assert_close(one.other.bias, two.other.bias)


@pytest.mark.parametrize("shape", [(4, 3), (3, 4)])
def test_at_full_rank_no_gradient_is_lost(shape):
    gradient = torch.randn(shape)
    basis = galore.projection(gradient, 3)
    back = galore.project_back(galore.project(gradient, basis), basis, gradient.shape)
    torch.testing.assert_close(back, gradient)


@pytest.mark.parametrize("shape", [(4, 3), (3, 4)])
def test_a_subspace_keeps_the_best_part_of_a_gradient(shape):
    gradient = torch.randn(shape)
    basis = galore.projection(gradient, 1)
    back = galore.project_back(galore.project(gradient, basis), basis, gradient.shape)
    left, sigma, right = torch.linalg.svd(gradient, full_matrices=False)
    torch.testing.assert_close(back, sigma[0] * left[:, :1] @ right[:1])


def test_moments_are_small_and_the_subspace_is_renewed():
    model = net()
    optimizer = ADAMW(model, refresh_every=2)
    bases = []
    for _ in range(4):
        train(model, optimizer, 1)
        state = optimizer.state[model.q_proj.weight]
        bases.append(state["projection"].clone())
    assert state["exp_avg"].shape == state["exp_avg_sq"].shape == (4, 1)
    assert state["projection"].shape == (1, 3)
    assert torch.equal(bases[0], bases[1]) and torch.equal(bases[2], bases[3])
    assert not torch.equal(bases[1], bases[2])


def test_its_state_survives_a_checkpoint():
    one, two = net(), net()
    first = ADAMW(one, refresh_every=3)
    train(one, first, 4)
    two.load_state_dict(one.state_dict())
    second = ADAMW(two, refresh_every=3)
    state = {n: t.clone() for n, t in optimizers.named_state(first, one).items()}
    optimizers.load_named_state(second, two, state)
    train(one, first, 4)
    train(two, second, 4)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_settings_that_fit_nothing_are_refused():
    with pytest.raises(UserError, match="fits no weight"):
        galore.adamw(net(), lr=0.1, rank=1, projected="k_proj")
    with pytest.raises(UserError, match="rank = 0"):
        galore.adamw(net(), lr=0.1, rank=0)
