"""What GPUs can do at most and draw, by name (devices.yaml), and what a core draws."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from repro import yaml
from repro.errors import UserError
from repro.naming import nearest

# Of a core under full load, where nothing counts energy. Without memory and cooling.
WATTS_PER_CORE = 12.0
CORE_SOURCE = "Lannelongue et al. 2021, default per core"


@dataclass(frozen=True)
class Device:
    """peak: precision -> dense floating-point operations a second. watts: of the whole board."""

    name: str
    peak: dict[str, float]
    watts: float
    source: str

    def peak_of(self, precision: str) -> float:
        """Return the peak rate at a precision. Raises UserError where the device lacks it."""
        if precision not in self.peak:
            raise UserError(f"device {self.name}: has no {precision} rate (it has: "
                            f"{', '.join(self.peak)}); name another --gpu or --precision")
        return self.peak[precision]


@cache
def _all() -> dict[str, tuple[Device, tuple[str, ...]]]:
    content = yaml.load(Path(__file__).with_name("devices.yaml"))
    return {name: (Device(name, {p: 1e12 * rate for p, rate in facts["peak"].items()},
                          float(facts["watts"]), facts["source"]), tuple(facts["names"]))
            for name, facts in content.items()}


def find(name: str) -> Device:
    """Return the device that a driver, a paper or a user calls so: `V100`, `NVIDIA A100-SXM4-80GB`.

    Raises UserError for one that is not listed, with the nearest name.
    """
    found = recognise(name)
    if found is None:
        raise UserError(f"device {name!r}: not in repro/devices.yaml{nearest(name, _all())}")
    return found


def recognise(name: str) -> Device | None:
    """Return the device whose name occurs in another as words, None if none does."""
    words = f" {' '.join(re.split(r'[^a-z0-9]+', name.lower()))} "
    for device, names in _all().values():
        if any(f" {known} " in words for known in names):
            return device
    return None
