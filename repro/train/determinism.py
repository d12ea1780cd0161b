"""Numeric modes: the environment a job starts in and the switches it throws before any operation.

The bits of a float sum depend on the instruction set and on the number of threads, so both are
fixed: the first before Python starts (`NUMERICS_ENV`), the second by `configure`.
"""

import os
from typing import TYPE_CHECKING

from repro.errors import UserError

if TYPE_CHECKING:
    import torch

_AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "AVX2",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Haswell",
}
# portable: x86-64 machines of one vendor that have AVX2 agree. universal: of any vendor; MKL takes
# its own way on each unless it is told to use none of their instructions, which costs much speed.
# native: the machine's best instruction set. Evidence: docs/numerics.md.
NUMERICS_ENV: dict[str, dict[str, str]] = {
    "portable": _AVX2,
    "universal": _AVX2 | {"MKL_CBWR": "COMPATIBLE"},
    "native": {},
}
THREADS = 1  # inside one operation: their number changes float sums, so it is the same for all
CUBLAS_WORKSPACE = ":4096:8"


def check(numerics: str) -> None:
    """Raise UserError if the mode is unknown or the environment lacks one of its variables.

    The libraries read them once, when they are loaded: they must be set before Python starts.
    """
    if numerics not in NUMERICS_ENV:
        raise UserError(f"numerics = {numerics!r}: expected one of {', '.join(NUMERICS_ENV)}")
    for name, value in NUMERICS_ENV[numerics].items():
        found = os.environ.get(name)
        if found is None or found.lower() != value.lower():
            raise UserError(
                f"numerics {numerics}: {name} must be {value} before Python starts, it is {found}"
            )


def configure(numerics: str, threads: int = THREADS) -> None:
    """Fix everything that changes the bits of a result; call before the first operation.

    numerics: a key of NUMERICS_ENV. threads: inside one operation. Raises UserError (see `check`).
    """
    check(numerics)
    if threads < 1:
        raise UserError(f"threads = {threads}: expected at least 1")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", CUBLAS_WORKSPACE)
    import torch

    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    # On by default in deterministic mode: it writes NaN into every fresh tensor, for nothing.
    torch.utils.deterministic.fill_uninitialized_memory = False
    # Moments that fade out would otherwise crawl through denormal numbers.
    torch.set_flush_denormal(True)
    torch.backends.cudnn.benchmark = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


def device(name: str) -> "torch.device":
    """Return the torch device called name ("cpu" or "cuda").

    It is a setting, never detected: the same key must not mean other bytes on another machine.
    Raises UserError if it is unknown or this machine lacks it.
    """
    import torch

    if name not in ("cpu", "cuda"):
        raise UserError(f"device = {name!r}: expected cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device = 'cuda': no CUDA device is visible on this machine")
    return torch.device(name)
