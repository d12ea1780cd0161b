"""What a run takes of the machine: time, cores, GPUs, memory, energy.

Nothing of this enters a key or an artefact: it goes into progress.json, so that a resumed run goes
on counting, and at the end into run.json. Where a counter is missing, energy is an estimate that
says so.
"""

import resource
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from repro import devices
from repro.pipeline.power import Nvml, Rapl, core_seconds

SAMPLE_S = 20.0  # a counter wraps around after four minutes at the earliest
_HIGH_WATER = "5"  # what /proc/self/clear_refs takes for: forget the peak so far
SUMS = ("seconds", "core_seconds", "gpu_seconds", "cpu_joules", "cpu_counted", "gpu_joules",
        "gpu_counted")
PEAKS = ("peak_memory_mb", "gpu_peak_memory_mb")


class Meter:
    """Counts from its making until `close`. before: what `totals` said at the end of an earlier
    attempt at the run; its sums are added and its peaks kept."""

    def __init__(self, before: dict[str, Any] | None = None) -> None:
        self._before = before or {}
        self._own_peak = _forget_peak()
        _forget_gpu_peaks()
        self._started, self._cores = time.monotonic(), core_seconds()
        self._rapl, self._nvml = Rapl(), Nvml()
        self._boards = self._nvml.joules()
        self._cpu_joules = 0.0
        self._lock, self._closed = threading.Lock(), threading.Event()
        if self._rapl.counts:
            threading.Thread(target=self._keep_sampling, daemon=True).start()

    def seconds(self) -> float:
        """Return the wall time of all attempts."""
        return self._before.get("seconds", 0.0) + time.monotonic() - self._started

    def totals(self) -> dict[str, Any]:
        """Return SUMS and PEAKS over all attempts, and `gpu`, the name of the GPUs used (or None).

        cpu_counted, gpu_counted: core- and GPU-seconds whose energy a counter saw.
        """
        cores = core_seconds() - self._cores
        wall = time.monotonic() - self._started
        used = _gpus_used()
        boards = self._nvml.joules()
        counted = [uuid for uuid in used if uuid in boards and uuid in self._boards]
        now = {
            "seconds": wall,
            "core_seconds": cores,
            "gpu_seconds": wall * len(used),
            "cpu_joules": self._sampled(),
            "cpu_counted": cores if self._rapl.counts else 0.0,
            "gpu_joules": sum(boards[uuid] - self._boards[uuid] for uuid in counted),
            "gpu_counted": wall * len(counted),
            "peak_memory_mb": _peak_mb(self._own_peak),
            "gpu_peak_memory_mb": _gpu_peak_mb(),
        }
        sums = {name: round(now[name] + self._before.get(name, 0.0), 3) for name in SUMS}
        peaks = {name: round(max(now[name], self._before.get(name, 0.0)), 1) for name in PEAKS}
        return {**sums, **peaks, "gpu": next(iter(used.values()), self._before.get("gpu"))}

    def close(self) -> None:
        self._closed.set()

    def _sampled(self) -> float:
        with self._lock:
            self._cpu_joules += self._rapl.joules()
            return self._cpu_joules

    def _keep_sampling(self) -> None:
        while not self._closed.wait(SAMPLE_S):
            self._sampled()


def record(totals: dict[str, Any], tasks: int = 1) -> dict[str, Any]:
    """Return what run.json says of `Meter.totals`: times, peaks and `energy`.

    tasks: of the job; each is taken to have used what the first one did. energy: joules in all,
    and by part joules and method.
    """
    shares = {"core_seconds": totals["core_seconds"] * tasks,
              "gpu_seconds": totals["gpu_seconds"] * tasks}
    parts = {"cpu": _cpu_energy(totals, tasks)}
    if totals["gpu_seconds"]:
        parts["gpu"] = _gpu_energy(totals, tasks)
    known = [part["joules"] for part in parts.values() if part["joules"] is not None]
    return {
        "seconds": totals["seconds"],
        **{name: round(value, 3) for name, value in shares.items()},
        **{name: totals[name] for name in PEAKS},
        "gpu": totals["gpu"],
        "energy": {"joules": round(sum(known), 1), **parts},
    }


def _cpu_energy(totals: dict[str, Any], tasks: int) -> dict[str, Any]:
    guessed = totals["core_seconds"] - totals["cpu_counted"]
    watts = devices.WATTS_PER_CORE
    estimate = f"core-seconds x {watts:g} W ({devices.CORE_SOURCE})"
    counter = "RAPL, by share of the machine's processor time"
    return _energy(totals["cpu_joules"], totals["cpu_counted"], guessed, watts, counter, estimate,
                   tasks)


def _gpu_energy(totals: dict[str, Any], tasks: int) -> dict[str, Any]:
    guessed = totals["gpu_seconds"] - totals["gpu_counted"]
    device = devices.recognise(totals["gpu"] or "")
    if device is None and guessed > 1e-3:
        return {"joules": None, "method": f"unknown: {totals['gpu']} has no counter, and is not "
                                          "in repro/devices.yaml"}
    watts = device.watts if device else 0.0
    estimate = f"GPU-seconds x {watts:g} W ({device.source})" if device else ""
    return _energy(totals["gpu_joules"], totals["gpu_counted"], guessed, watts,
                   "NVML, whole boards", estimate, tasks)


def _energy(joules: float, counted_s: float, guessed_s: float, watts: float, counter: str,
            estimate: str, tasks: int) -> dict[str, Any]:
    """Return joules and how they are known: counted, estimated, or both."""
    guessed_s = guessed_s if guessed_s > 1e-3 else 0.0
    words = [f"counter: {counter}"] if counted_s else []
    if guessed_s or not words:
        words.append(f"estimate: {estimate}")
    if tasks > 1:
        words.append(f"the first of {tasks} tasks, times {tasks}")
    return {"joules": round((joules + guessed_s * watts) * tasks, 1), "method": "; ".join(words)}


def _forget_peak() -> bool:
    """Let the peak of this process's memory begin anew; return whether that could be done."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text(_HIGH_WATER)
        return True
    return False


def _peak_mb(own: bool) -> float:
    """Return the peak memory: of this run, or (where peaks cannot be forgotten) of the process."""
    if own:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _cuda() -> Any | None:
    """Return torch.cuda where this process has begun to use it."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None


def _forget_gpu_peaks() -> None:
    if cuda := _cuda():
        for index in range(cuda.device_count()):
            cuda.reset_peak_memory_stats(index)


def _gpus_used() -> dict[str, str]:
    """Return UUID -> name of the GPUs on which this process has held memory."""
    cuda = _cuda()
    if cuda is None:
        return {}
    held = [index for index in range(cuda.device_count()) if cuda.max_memory_allocated(index)]
    found = [cuda.get_device_properties(index) for index in held]
    return {str(getattr(one, "uuid", one.name)): one.name for one in found}


def _gpu_peak_mb() -> float:
    cuda = _cuda()
    return 0.0 if cuda is None else max(
        (cuda.max_memory_allocated(i) for i in range(cuda.device_count())), default=0) / 2**20
