"""How a process calculates: what is set before the first operation of a job."""

from repro.train import determinism

# Numerics whose matrix products are those of repro/train/products.py -> their definition, which is
# part of the key.
PRODUCTS = {"universal": "chains of 512"}


def configure(numerics: str, threads: int = determinism.THREADS) -> None:
    """Fix everything that changes the bits of a result; call before the first operation.

    numerics: as in params.yaml. threads: inside one operation. Raises UserError (see
    `repro.train.determinism`).
    """
    determinism.configure(numerics, threads)
    if numerics in PRODUCTS:
        from repro.train import products

        products.install()
