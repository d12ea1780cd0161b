"""Matrix products of float32 on the CPU whose bits are defined, so that any processor finds them.

Libraries choose the order of a product's sums by maker, instruction set and size of the caches, and
MKL by the processor's maker above all. Here an element is a *chain*: fused multiply-adds in the
order of k, started anew every CHAIN terms, the chains added up in their order. oneDNN's kernels
keep one accumulator an element and therefore are such a chain as long as they do not cut the sum,
which they do only for longer ones; tests/train/test_products.py compares them with chains
calculated elsewhere. A M x K, B K x N.
"""

import warnings

import torch
from torch import Tensor

CHAIN = 512
_linear = torch.ops.mkldnn._linear_pointwise.default  # x w^T, oneDNN's inner product
_installed: list[torch.library.Library] = []


def product(a_MK: Tensor, b_KN: Tensor) -> Tensor:
    """Return a b, float32 (M, N), as defined above. Both float32 on the CPU, no dimension 0."""
    (rows, terms), columns = a_MK.shape, b_KN.shape[1]
    if 1 in (rows, columns):  # vectors go to kernels of another order
        twice_MN = product(a_MK.expand(max(rows, 2), terms), b_KN.expand(terms, max(columns, 2)))
        return twice_MN[:rows, :columns].clone(memory_format=torch.contiguous_format)
    if rows > columns and not a_MK.is_contiguous():  # oneDNN likes the long side in its columns
        return product(b_KN.t(), a_MK.t()).t().contiguous()
    found_MN = _chain(a_MK[:, :CHAIN], b_KN[:CHAIN]) if terms > CHAIN else _chain(a_MK, b_KN)
    for first in range(CHAIN, terms, CHAIN):
        found_MN += _chain(a_MK[:, first : first + CHAIN], b_KN[first : first + CHAIN])
    return found_MN


def install() -> None:
    """Let every product of float32 matrices on the CPU in this process be `product`: aten::mm and
    aten::addmm, so those of linear layers, forward and backward. Other kinds of number and
    products of batches (aten::bmm, attention) stay as they are. Again is a no-op."""
    if _installed:
        return
    library = torch.library.Library("aten", "IMPL")
    with warnings.catch_warnings():  # that kernels are replaced is the purpose
        warnings.simplefilter("ignore")
        library.impl("mm", _mm, "CPU")
        library.impl("addmm", _addmm, "CPU")
    _installed.append(library)


def _chain(a_MK: Tensor, b_KN: Tensor) -> Tensor:
    return _linear(_dense(a_MK), _dense(b_KN).t(), None, "none", [], "")


def _mm(a_MK: Tensor, b_KN: Tensor) -> Tensor:
    if _defined(a_MK, b_KN):
        return product(a_MK, b_KN)
    return torch.ops.aten.mm.out(a_MK, b_KN, out=_empty(a_MK, b_KN))


def _addmm(c: Tensor, a_MK: Tensor, b_KN: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    if _defined(c, a_MK, b_KN) and beta == alpha == 1:
        return product(a_MK, b_KN).add_(c)
    return torch.ops.aten.addmm.out(c, a_MK, b_KN, beta=beta, alpha=alpha,
                                    out=_empty(a_MK, b_KN))


def _defined(*tensors: Tensor) -> bool:
    return all(one.dtype == torch.float32 and one.numel() for one in tensors)


def _empty(a_MK: Tensor, b_KN: Tensor) -> Tensor:
    return a_MK.new_empty(a_MK.shape[0], b_KN.shape[1])


def _dense(matrix: Tensor) -> Tensor:
    """Return a matrix without gaps, by rows or by columns: with gaps oneDNN may take a reference
    kernel, a thousand times slower."""
    return matrix if matrix.is_contiguous() or matrix.t().is_contiguous() else matrix.contiguous()
