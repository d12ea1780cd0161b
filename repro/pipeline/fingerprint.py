"""What the floating point of this machine does: digests of small operations.

Two machines whose digests differ cannot promise each other the same bytes; which operation differs
says why. Inputs are exact fractions, so that only the operation under test can differ.
"""

import hashlib
import json
import math
import sys
from collections.abc import Callable, Iterable
from functools import cache

import numpy as np
import torch
from torch.nn import functional as F

from repro.pipeline.arithmetic import configure

DIGITS = 12
Values = Iterable[torch.Tensor | np.ndarray]

CASES: dict[str, Callable[[], Values]] = {}


def case(function: Callable[[], Values]) -> Callable[[], Values]:
    """Register an operation under its function's name."""
    CASES[function.__name__] = function
    return function


def fractions(*shape: int, salt: int = 1) -> torch.Tensor:
    """Return float32 of a shape in [-1, 1): multiples of 2^-23, scattered, the same everywhere."""
    index = np.arange(1, math.prod(shape) + 1, dtype=np.uint64)
    scattered = index * np.uint64(2654435761 * (2 * salt + 1)) % np.uint64(2**32) >> np.uint64(8)
    return torch.from_numpy((scattered / 2.0**23 - 1.0).astype(np.float32).reshape(shape))


def leaf(*shape: int, salt: int = 1) -> torch.Tensor:
    """Return `fractions` that gradients are taken for."""
    return fractions(*shape, salt=salt).requires_grad_()


def backward(result: torch.Tensor, *inputs: torch.Tensor) -> Values:
    """Return a result and the gradients of its inputs."""
    result.backward(fractions(*result.shape, salt=11).to(result.dtype))
    return [result, *(one.grad for one in inputs)]


@case
def matmul() -> Values:
    shapes = ((8, 64, 64), (17, 33, 65), (150, 64, 1024), (1, 768, 96), (96, 700, 48))
    for rows, inner, columns in shapes:
        a, b = fractions(rows, inner), fractions(inner, columns, salt=2)
        yield from (a @ b, b.T @ a.T)
    yield fractions(65, 129).double() @ fractions(129, 33, salt=2).double()


@case
def linear() -> Values:
    x, weight, bias = leaf(256, 64), leaf(256, 64, salt=2), leaf(256, salt=3)
    return backward(F.linear(x, weight, bias), x, weight, bias)


@case
def linear_bf16() -> Values:
    x, weight = leaf(128, 64), leaf(96, 64, salt=2)
    with torch.autocast("cpu", torch.bfloat16):
        result = F.linear(x, weight)
    return [value.float() for value in backward(result, x, weight)]


def _attention(mask: torch.Tensor | None = None, causal: bool = False) -> Values:
    query, key, value = (leaf(4, 2, 48, 32, salt=salt) for salt in (1, 2, 3))
    result = F.scaled_dot_product_attention(query, key, value, mask, is_causal=causal)
    return backward(result, query, key, value)


@case
def attention() -> Values:
    return _attention()


@case
def attention_masked() -> Values:
    return _attention(fractions(4, 1, 48, 48, salt=4) > -0.5)


@case
def attention_causal() -> Values:
    return _attention(causal=True)


@case
def layer_norm() -> Values:
    x, weight, bias = leaf(128, 65), leaf(65, salt=2), leaf(65, salt=3)
    return backward(F.layer_norm(x, (65,), weight, bias), x, weight, bias)


@case
def rms_norm() -> Values:
    x, weight = leaf(128, 65), leaf(65, salt=2)
    return backward(F.rms_norm(x, (65,), weight), x, weight)


@case
def softmax() -> Values:
    x = leaf(32, 301)
    return [*backward(F.softmax(4 * x, -1), x), F.log_softmax(4 * x, -1)]


@case
def cross_entropy() -> Values:
    x = leaf(50, 1001)
    return backward(F.cross_entropy(5 * x, torch.arange(50) * 7), x)


@case
def gelu() -> Values:
    x, y = leaf(1003), leaf(1003)
    return [*backward(F.gelu(4 * x), x), *backward(F.gelu(4 * y, approximate="tanh"), y)]


@case
def embedding() -> Values:
    weight = leaf(128, 32)
    return backward(F.embedding(torch.arange(512) * 37 % 1024 // 8, weight), weight)


@case
def elementwise() -> Values:
    for size in (3, 1003):  # the few that fill no vector go another way
        x, above = 4 * fractions(size), fractions(size).abs() + 0.1
        yield from (f(x) for f in (torch.exp, torch.tanh, torch.sigmoid, torch.erf, torch.sin,
                                   torch.cos, torch.expm1, F.logsigmoid, F.softplus, F.silu))
        yield from (f(above) for f in (torch.log, torch.log1p, torch.rsqrt, torch.reciprocal))
        yield from (above**1.7, above.double().exp(), above.double().log())


@case
def reductions() -> Values:
    x = fractions(70001)
    table = x[:70000].view(100, 700)
    yield from (x.sum(), x.mean(), x.var(), x.double().sum(), torch.linalg.vector_norm(x))
    yield from (table.sum(0), table.sum(1), x.cumsum(0), torch.logsumexp(x, 0))


@case
def adamw_fused() -> Values:
    parameter = torch.nn.Parameter(fractions(65, 33))
    optimizer = torch.optim.AdamW([parameter], lr=1e-3, fused=True)
    for step in range(3):
        parameter.grad = 0.01 * fractions(65, 33, salt=3 + step)
        optimizer.step()
    return [parameter, *optimizer.state[parameter].values()]


@case
def clipping() -> Values:
    parameters = [torch.nn.Parameter(fractions(size)) for size in (65, 4097, 333)]
    for salt, parameter in enumerate(parameters):
        parameter.grad = fractions(len(parameter), salt=salt)
    return [torch.nn.utils.clip_grad_norm_(parameters, 0.1), *(p.grad for p in parameters)]


@case
def draws() -> Values:
    generator = torch.Generator().manual_seed(3)
    yield from (torch.rand(103, generator=generator), torch.randperm(103, generator=generator))
    yield from (torch.randn(size, generator=generator) for size in (7, 1003))
    yield torch.empty(103).bernoulli_(0.1, generator=generator)


@case
def numpy_functions() -> Values:
    for x in (4 * fractions(1003).numpy(), 4 * fractions(1003).double().numpy()):
        yield from (f(x) for f in (np.exp, np.tanh, np.sin, np.expm1))
        yield from (f(np.abs(x) + 0.5) for f in (np.log, np.log2, np.log1p, np.sqrt))


@case
def numpy_sums() -> Values:
    x = fractions(70000).numpy().reshape(100, 700)
    return [x.sum(), x.sum(0), x.sum(1), x.mean(), x.std(), x.astype(np.float64).var()]


@case
def numpy_products() -> Values:
    x, y = (fractions(50, 200, salt=salt).double().numpy() for salt in (1, 2))
    singular, solved = np.linalg.svd(x[:20, :10])[1], np.linalg.solve(x[:, :50], y[:, 0])
    return [x @ y.T, x[0] @ y[0], singular, solved]


@case
def numpy_draws() -> Values:
    generator = np.random.Generator(np.random.Philox(key=3))
    return [generator.random(103), generator.standard_normal(103), generator.permutation(103)]


@case
def python_math() -> Values:
    functions = (math.exp, math.log, math.sin, math.tanh, math.erf, math.sqrt, math.lgamma)
    return [np.array([[f(n / 37) for f in functions] + [(n / 37) ** 1.7, 0.999**n]
                      for n in range(1, 200)])]


@cache
def arithmetic() -> dict[str, str]:
    """Return operation -> 12 hex digits of its result's bytes, in this process as it is set up."""
    return {name: _digest(function()) for name, function in CASES.items()}


def summary(cases: dict[str, str]) -> str:
    """Return one digest (12 hex digits) of what `arithmetic` returned."""
    text = json.dumps(cases, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def _digest(values: Values) -> str:
    digest = hashlib.sha256()
    for value in values:
        array = value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
        digest.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    return digest.hexdigest()[:DIGITS]


if __name__ == "__main__":
    configure(sys.argv[1])
    print(json.dumps(arithmetic()))
