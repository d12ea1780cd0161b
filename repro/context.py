"""What a stage's entry function is given: inputs, where to write, and how to report."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from repro.train.distributed import World


def _ignore(**_: Any) -> None:
    return None


@dataclass
class RunContext:
    """One run as its entry function sees it.

    inputs: upstream stage -> artefact directories, one per member of that stage.
    out: the artefact; every byte left here must be a function of the run's key (no clock, no host).
    checkpoints: survives kills and restarts of this run; outside the artefact.
    world: the tasks that make this run together, None = this one alone. All have the same inputs;
    only what task 0 leaves in out is kept.
    """

    stage: str
    arm: str
    seed: int
    out: Path
    checkpoints: Path
    member: int = 0
    inputs: dict[str, list[Path]] = field(default_factory=dict)
    on_report: Callable[..., None] = _ignore
    stop_requested: Callable[[], bool] = lambda: False
    measurements: dict[str, Any] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)
    world: "World | None" = None

    def input(self, stage: str) -> Path:
        """Return the only artefact of an upstream stage. Raises KeyError or ValueError."""
        (path,) = self.inputs[stage]
        return path

    def report(
        self,
        *,
        step: int,
        total: int,
        loss: float | None = None,
        tokens: int = 0,
        phase: str = "",
    ) -> None:
        """Tell how far the run is. tokens: processed so far in this phase, for tokens/s."""
        self.on_report(step=step, total=total, loss=loss, tokens=tokens, phase=phase)

    def measure(self, **values: Any) -> None:
        """Record what is not a function of the key (milliseconds, ...) for run.json."""
        self.measurements.update(values)

    def count(self, *, tokens: int = 0, flops: int = 0) -> None:
        """Add to the run's totals: tokens read and floating-point operations spent."""
        self.totals["tokens"] = self.totals.get("tokens", 0) + tokens
        self.totals["flops"] = self.totals.get("flops", 0) + flops
