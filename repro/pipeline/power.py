"""Counters of energy: Linux RAPL for processors, NVML for GPUs. Where there is none, no guess."""

import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

POWERCAP = Path("/sys/class/powercap")
STAT = Path("/proc/stat")


def core_seconds() -> float:
    """Return the processor time of this process, its threads and its ended children so far."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


class Rapl:
    """Joules of the packages and their memory, shared out by processor time.

    A package counts what everybody on it uses; this process gets the share that its processor time
    has in the machine's. The counters wrap around (after minutes under load), so ask often.
    """

    def __init__(self, root: Path = POWERCAP, stat: Path = STAT) -> None:
        self._zones = {path: _number(path / "max_energy_range_uj") for path in _zones(root)}
        self._stat = stat
        self._last = self._read()
        self._own = core_seconds()

    @property
    def counts(self) -> bool:
        """Whether there is a counter that may be read."""
        return bool(self._last[0])

    def joules(self) -> float:
        """Return this process's share since the last call (0 where nothing counts)."""
        (before, busy_before), own_before = self._last, self._own
        self._last, self._own = self._read(), core_seconds()
        now, busy = self._last
        spent = sum((now[zone] - before[zone]) % (self._zones[zone] + 1)
                    for zone in now.keys() & before.keys()) / 1e6
        own = self._own - own_before
        return spent * own / max(busy - busy_before, own) if own > 0 else 0.0

    def _read(self) -> tuple[dict[Path, int], float]:
        found = {}
        for zone in self._zones:
            with suppress(OSError, ValueError):  # only root may read it, on many machines
                found[zone] = _number(zone / "energy_uj")
        return found, _busy_seconds(self._stat) if found else 0.0


def _zones(root: Path) -> Iterator[Path]:
    """Yield the zones that add up: packages, and memory where it is counted apart."""
    for path in sorted(root.glob("intel-rapl:*")):
        with suppress(OSError, ValueError):
            name = (path / "name").read_text().strip()
            _number(path / "max_energy_range_uj")
            if name.startswith("package") or name == "dram":
                yield path


def _number(path: Path) -> int:
    return int(path.read_text())


def _busy_seconds(stat: Path) -> float:
    """Return the processor time of everybody on this machine since it started."""
    user, nice, system, _, _, interrupts, soft, *_ = map(int, stat.read_text().split()[1:9])
    return (user + nice + system + interrupts + soft) / os.sysconf("SC_CLK_TCK")


class Nvml:
    """Joules of whole GPU boards since the driver was loaded, by UUID."""

    def __init__(self) -> None:
        self._handles: dict[str, Any] = {}
        with suppress(Exception):  # no library, no driver, no right to ask: then nothing counts
            import pynvml

            pynvml.nvmlInit()
            self._library = pynvml
            for index in range(pynvml.nvmlDeviceGetCount()):
                handle = pynvml.nvmlDeviceGetHandleByIndex(index)
                self._handles[_plain(pynvml.nvmlDeviceGetUUID(handle))] = handle

    def joules(self) -> dict[str, float]:
        """Return what each board that counts has used; boards before Volta do not."""
        found = {}
        for uuid, handle in self._handles.items():
            with suppress(Exception):
                found[uuid] = self._library.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000
        return found


def _plain(uuid: str | bytes) -> str:
    text = uuid.decode() if isinstance(uuid, bytes) else uuid
    return text.removeprefix("GPU-")
