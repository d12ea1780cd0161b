"""The rate of a large matrix product: what MFU is measured against."""

import time

import torch

from loops.setting import How

SIDES = {"cpu": 2048, "cuda": 8192}
SECONDS = 1.0


def rate(how: How) -> dict[str, float]:
    """Return {flops: operations per second}, the best of a second of products."""
    torch.set_num_threads(how.threads)
    side, dtype = SIDES[how.device], {"fp32": torch.float32, "bf16": torch.bfloat16}[how.precision]
    left, right = (torch.randn(side, side, device=how.device, dtype=dtype) for _ in range(2))
    best, began = 0.0, time.perf_counter()
    while time.perf_counter() - began < SECONDS or not best:
        start = time.perf_counter()
        left @ right
        if how.device != "cpu":
            torch.cuda.synchronize()
        best = max(best, 2 * side**3 / (time.perf_counter() - start))
    return {"flops": best}
