"""What is particular to the paper's training script; its methods are plain MLM and a soft vote."""


def linear_by_epoch(step: int, total: int, /, *, epochs: int = 50) -> float:
    """Return the rate factor at `step` of `total` (from 0): a linear fall, moved once per epoch.

    There is no warm-up: the script asks for epochs // 100 of them, which is 0 for 50.
    Source: Gross et al. 2025, code (the scheduler is stepped once after each epoch).
    """
    return 1.0 - (step * epochs // max(1, total)) / epochs
