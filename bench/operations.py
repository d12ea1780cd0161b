"""Print operation -> digest, as this process calculates: `python bench/operations.py NUMERICS`.

A program of its own that loads little, since numerics.py runs it on emulated processors. Nothing is
required of the environment: what its variables do is what is measured.
"""

import json
import sys

from repro.pipeline import fingerprint
from repro.pipeline.arithmetic import PRODUCTS
from repro.train import determinism, products

if __name__ == "__main__":
    determinism.configure("native")  # the switches alone
    if sys.argv[1] in PRODUCTS:
        products.install()
    print(json.dumps(fingerprint.arithmetic()))
