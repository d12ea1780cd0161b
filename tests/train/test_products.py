"""Products of float32 matrices are the chains that their definition says, whatever the shape."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from repro.pipeline.environment import pinned
from repro.train import products

SHAPES = [(2, 1, 1), (1, 64, 64), (1, 1300, 7), (7, 500, 5), (32, 64, 128), (256, 128, 512),
          (33, 512, 9), (33, 513, 9), (16, 1024, 130), (64, 2048, 3), (1000, 3, 5), (5, 700, 1),
          (1, 9, 1)]


def chains(a_MK, b_KN):
    """Return the definition, calculated term by term: float64 holds a product of two float32
    exactly, so that one rounding of the sum to float32 is a fused multiply-add."""
    total_MN = None
    for first in range(0, a_MK.shape[1], products.CHAIN):
        chain_MN = np.zeros((len(a_MK), b_KN.shape[1]), np.float32)
        for k in range(first, min(first + products.CHAIN, a_MK.shape[1])):
            terms_MN = np.outer(a_MK[:, k].astype(np.float64), b_KN[k].astype(np.float64))
            chain_MN = (terms_MN + chain_MN).astype(np.float32)
        total_MN = chain_MN if total_MN is None else total_MN + chain_MN
    return total_MN


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(("rows", "terms", "columns"), SHAPES)
def test_an_element_is_a_chain_of_fused_multiply_adds(rows, terms, columns):
    a_MK, b_KN = normal(rows, terms), normal(terms, columns, seed=1)
    found_MN = products.product(torch.from_numpy(a_MK), torch.from_numpy(b_KN))
    assert found_MN.is_contiguous()
    np.testing.assert_array_equal(found_MN.numpy(), chains(a_MK, b_KN))


@pytest.mark.parametrize(("rows", "terms", "columns"), SHAPES)
def test_how_a_matrix_lies_in_memory_changes_nothing(rows, terms, columns):
    a_MK, b_KN = (torch.from_numpy(normal(*shape)) for shape in ((rows, terms), (terms, columns)))
    plain_MN = products.product(a_MK, b_KN)
    wide_MK = torch.zeros(rows, terms + 3)[:, 2:-1].copy_(a_MK)  # rows with gaps
    for a, b in ((a_MK.t().contiguous().t(), b_KN), (a_MK, b_KN.t().contiguous().t()),
                 (a_MK.t().contiguous().t(), b_KN.t().contiguous().t()), (wide_MK, b_KN)):
        assert torch.equal(products.product(a, b), plain_MN)


def test_a_row_does_not_depend_on_the_others():
    a_MK, b_KN = torch.from_numpy(normal(40, 300)), torch.from_numpy(normal(300, 50))
    whole_MN = products.product(a_MK, b_KN)
    for rows in (slice(0, 1), slice(3, 10), slice(7, 40)):
        assert torch.equal(products.product(a_MK[rows], b_KN), whole_MN[rows])


INSTALLED = """
import torch
from repro.pipeline import arithmetic
from repro.train import products
x, w, b = (torch.randn(*s, requires_grad=True) for s in ((6, 5, 700), (9, 700), (9,)))
before = torch.nn.functional.linear(x.double(), w.double(), b.double())
arithmetic.configure("universal")
arithmetic.configure("universal")
after = torch.nn.functional.linear(x, w, b)
flat = x.detach().reshape(30, 700)
assert torch.equal(after.reshape(30, 9), products.product(flat, w.detach().t()) + b)
after.sum().backward()
one = torch.ones(30, 9)
assert torch.equal(w.grad, products.product(one.t(), flat))
assert torch.equal(x.grad.reshape(30, 700), products.product(one, w.detach()))
assert torch.allclose(after.double(), before, atol=1e-4)
assert torch.equal(torch.nn.functional.linear(x.double(), w.double(), b.double()), before)
assert torch.mm(torch.ones(0, 3), torch.ones(3, 2)).shape == (0, 2)
assert torch.mm(torch.ones(2, 0), torch.ones(0, 2)).tolist() == [[0, 0], [0, 0]]
a = torch.arange(6.0).reshape(2, 3)
assert torch.addmm(torch.ones(2, 2), a, a.t(), beta=2, alpha=3).tolist() == [[17, 44], [44, 152]]
assert (torch.ones(4, 8, dtype=torch.int64) @ torch.ones(8, 2, dtype=torch.int64) == 8).all()
assert torch.mm(torch.ones(2, 8).bfloat16(), torch.ones(8, 2).bfloat16()).dtype == torch.bfloat16
"""


def test_universal_numerics_make_linear_layers_use_them_forward_and_backward():
    done = subprocess.run([sys.executable, "-c", INSTALLED], env=pinned("universal"),
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
