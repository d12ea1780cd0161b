import pytest
import torch
from torch.nn import functional as F

from repro.losses.cross_entropy import mean_cross_entropy


@pytest.mark.parametrize("scale", [1.0, 50.0])
def test_value_and_gradient_are_those_of_torch(scale):
    generator = torch.Generator().manual_seed(0)
    logits_NV = (scale * torch.randn(9, 40, generator=generator)).requires_grad_()
    targets_N = torch.randint(40, (9,), generator=generator)
    ours = mean_cross_entropy(logits_NV, targets_N)
    theirs = F.cross_entropy(logits_NV, targets_N)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)
    (found,) = torch.autograd.grad(3.0 * ours, logits_NV)
    (expected,) = torch.autograd.grad(3.0 * theirs, logits_NV)
    torch.testing.assert_close(found, expected)


def test_scores_are_left_as_they_were():
    logits_NV = torch.randn(4, 6, requires_grad=True)
    before_NV = logits_NV.detach().clone()
    mean_cross_entropy(logits_NV, torch.tensor([0, 1, 2, 3])).backward()
    assert torch.equal(logits_NV, before_NV)


def test_a_second_backward_is_refused():
    loss = mean_cross_entropy(torch.randn(2, 3, requires_grad=True), torch.tensor([0, 1]))
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="once only"):
        loss.backward()


def test_bfloat16_scores_are_computed_in_fp32():
    logits_NV = torch.randn(3, 5).bfloat16()
    targets_N = torch.tensor([0, 1, 2])
    found = mean_cross_entropy(logits_NV, targets_N)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(F.cross_entropy(logits_NV.float(), targets_N).item())
