"""Print operation -> digest, as this process calculates: `python bench/operations.py NUMERICS`.

A program of its own that loads little, since numerics.py runs it on emulated processors. Nothing is
required of the environment: what its variables do is what is measured.
"""

import json
import sys

import torch

from repro.pipeline import fingerprint
from repro.pipeline.arithmetic import PRODUCTS
from repro.train import determinism, products


@fingerprint.case
def sqrt_of_a_tensor() -> fingerprint.Values:
    return [torch.sqrt(fingerprint.fractions(1003).abs())]


@fingerprint.case
def adamw_not_fused() -> fingerprint.Values:
    parameter = torch.nn.Parameter(fingerprint.fractions(65, 33))
    optimizer = torch.optim.AdamW([parameter], foreach=False)
    parameter.grad = fingerprint.fractions(65, 33, salt=3)
    optimizer.step()
    return [parameter]


@fingerprint.case
def lstm() -> fingerprint.Values:
    with torch.random.fork_rng():
        model = torch.nn.LSTM(16, 24)
    for salt, parameter in enumerate(model.parameters()):
        parameter.data.copy_(fingerprint.fractions(*parameter.shape, salt=salt))
    return [model(fingerprint.fractions(3, 11, 16))[0]]


UNUSED = ("sqrt_of_a_tensor", "adamw_not_fused", "lstm")  # by repro; measured beside the others


if __name__ == "__main__":
    determinism.configure("native")  # the switches alone
    if sys.argv[1] in PRODUCTS:
        products.install()
    print(json.dumps(fingerprint.arithmetic()))
