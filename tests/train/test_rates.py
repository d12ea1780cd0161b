import pytest
import torch
from torch import nn

from repro.errors import UserError
from repro.train import optimizers, rates


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(3, 4)
        self.block = nn.ModuleDict({"q_proj": nn.Linear(4, 4)})

    def forward(self, x):
        return self.block["q_proj"](self.embed(x))


def one_update(make) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    net = Net()
    before = {name: one.detach().clone() for name, one in net.named_parameters()}
    optimizer = make(net)
    net(torch.ones(2, 3)).square().sum().backward()
    optimizer.step()
    return {name: (one.detach() - before[name]).abs() for name, one in net.named_parameters()}


def test_the_first_update_of_scaled_layers_is_so_much_shorter():
    # Adam's first step is the rate, whatever the gradient.
    moved = one_update(lambda net: rates.adamw(net, lr=0.1, scale=0.25))
    for name, change in moved.items():
        expected = 0.025 if "q_proj" in name else 0.1
        assert torch.allclose(change, torch.full_like(change, expected), rtol=1e-4)


def test_at_scale_one_it_is_adamw():
    ours = one_update(lambda net: rates.adamw(net, lr=0.1, scale=1.0, eps=1e-6))
    plain = one_update(lambda net: optimizers.adamw(net, lr=0.1, weight_decay=0.0))
    assert all(torch.equal(ours[name], plain[name]) for name in ours)


def test_settings_out_of_range_and_patterns_that_fit_nothing_are_refused():
    for wrong in ({"lr": 0.0, "scale": 1.0}, {"lr": 0.1, "scale": -1.0}):
        with pytest.raises(UserError, match="expected a positive number"):
            rates.adamw(Net(), **wrong)
    with pytest.raises(UserError, match="fits no layer"):
        rates.adamw(Net(), lr=0.1, scale=0.5, scaled="none")
