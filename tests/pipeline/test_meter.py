"""What a run takes: counters where the machine has them, estimates that say so elsewhere."""

import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from repro import devices
from repro.errors import UserError
from repro.pipeline import meter, power
from repro.pipeline.meter import Meter, record


class Machine:
    """A powercap tree and a /proc/stat, whose figures a test sets."""

    def __init__(self, root, zones):
        self.root, self.stat = root / "powercap", root / "stat"
        for name, kind in zones.items():
            folder = self.root / name
            folder.mkdir(parents=True)
            (folder / "name").write_text(kind + "\n")
            (folder / "max_energy_range_uj").write_text("999999999\n")
            self.energy(name, 0)
        self.busy(0)

    def energy(self, zone, joules):
        (self.root / zone / "energy_uj").write_text(f"{round(joules * 1e6)}\n")

    def busy(self, seconds):
        self.stat.write_text(f"cpu  {round(100 * seconds)} 0 0 5000 7 0 0 0 0 0\n")


@pytest.fixture
def clock(monkeypatch):
    """The processor time of this process, as a test sets it."""
    now = SimpleNamespace(cores=0.0)
    monkeypatch.setattr(power, "core_seconds", lambda: now.cores)
    monkeypatch.setattr(power.os, "sysconf", lambda _: 100)
    return now


def test_a_package_is_shared_out_by_processor_time(tmp_path, clock):
    machine = Machine(tmp_path, {"intel-rapl:0": "package-0", "intel-rapl:0:0": "core",
                                 "intel-rapl:0:1": "dram", "intel-rapl:1": "psys"})
    counter = power.Rapl(machine.root, machine.stat)
    assert counter.counts
    machine.energy("intel-rapl:0", 90)
    machine.energy("intel-rapl:0:1", 10)
    # Parts of the package and the whole board must not be counted again.
    machine.energy("intel-rapl:0:0", 60)
    machine.energy("intel-rapl:1", 500)
    machine.busy(4)
    clock.cores = 1.0
    assert counter.joules() == pytest.approx(100 / 4)
    assert counter.joules() == 0.0


def test_a_counter_that_wraps_around_goes_on(tmp_path, clock):
    machine = Machine(tmp_path, {"intel-rapl:0": "package-0"})
    machine.energy("intel-rapl:0", 990)
    counter = power.Rapl(machine.root, machine.stat)
    machine.energy("intel-rapl:0", 15)
    machine.busy(2)
    clock.cores = 2.0
    assert counter.joules() == pytest.approx(25)


def test_alone_on_the_machine_the_share_is_all_and_never_more(tmp_path, clock):
    machine = Machine(tmp_path, {"intel-rapl:0": "package-0"})
    counter = power.Rapl(machine.root, machine.stat)
    machine.energy("intel-rapl:0", 50)
    machine.busy(0.9)  # ticks of the machine lag behind
    clock.cores = 1.0
    assert counter.joules() == pytest.approx(50)


def test_without_a_counter_there_is_no_guess(tmp_path, clock):
    counter = power.Rapl(tmp_path / "none", tmp_path / "stat")
    clock.cores = 5.0
    assert not counter.counts and counter.joules() == 0.0


def burn(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def no_counters(monkeypatch):
    monkeypatch.setattr(meter, "Rapl", lambda: power.Rapl(Path("/none"), Path("/none")))
    monkeypatch.setattr(meter, "Nvml", lambda: SimpleNamespace(joules=dict))


def test_core_seconds_are_those_of_the_run_and_energy_is_an_estimate(monkeypatch):
    no_counters(monkeypatch)
    counting = Meter()
    burn(0.2)
    found = counting.totals()
    assert 0.2 <= found["core_seconds"] < 2.0
    assert found["gpu_seconds"] == 0.0 and found["gpu"] is None
    said = record(found | {"core_seconds": 10.0})
    assert said["energy"]["joules"] == 120.0
    assert said["energy"]["cpu"]["method"] == (
        "estimate: core-seconds x 12 W (Lannelongue et al. 2021, default per core)")
    assert "gpu" not in said["energy"]


def test_a_resumed_run_goes_on_counting_and_keeps_its_peak(monkeypatch):
    no_counters(monkeypatch)
    before = dict.fromkeys(meter.SUMS, 100.0) | {"peak_memory_mb": 1e6, "gpu_peak_memory_mb": 2.0,
                                                 "gpu": "NVIDIA A100-SXM4-80GB"}
    found = Meter(before).totals()
    assert 100.0 <= found["seconds"] < 101 and found["core_seconds"] >= 100.0
    assert (found["peak_memory_mb"], found["gpu_peak_memory_mb"]) == (1e6, 2.0)
    assert found["gpu"] == "NVIDIA A100-SXM4-80GB"


def test_the_peak_of_a_run_is_not_that_of_the_run_before_it(monkeypatch):
    no_counters(monkeypatch)
    first = Meter()
    np.ones(40_000_000)  # 320 MB, given back at once
    high = first.totals()["peak_memory_mb"]
    if not meter._forget_peak():
        pytest.skip("this kernel keeps the peaks of processes")
    low = Meter().totals()["peak_memory_mb"]
    assert low < high - 250


class Cuda:
    """As much of torch.cuda as the meter asks for: two boards, of which the run held the second."""

    def __init__(self):
        self.held = {0: 0, 1: 3 * 2**20}

    def is_initialized(self):
        return True

    def device_count(self):
        return 2

    def reset_peak_memory_stats(self, index):
        pass

    def max_memory_allocated(self, index):
        return self.held[index]

    def get_device_properties(self, index):
        return SimpleNamespace(name="NVIDIA A100-SXM4-80GB", uuid=f"uuid-{index}")


def with_gpus(monkeypatch, readings):
    """Let the boards' counters say `readings`, one after the other."""
    monkeypatch.setattr(meter, "Rapl", lambda: power.Rapl(Path("/none"), Path("/none")))
    left = iter(readings)
    monkeypatch.setattr(meter, "Nvml", lambda: SimpleNamespace(joules=lambda: next(left)))
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=Cuda()))


def test_a_gpu_counts_where_the_run_held_memory(monkeypatch):
    with_gpus(monkeypatch, [{"uuid-0": 5.0, "uuid-1": 1000.0}, {"uuid-0": 99.0, "uuid-1": 1250.0}])
    counting = Meter()
    time.sleep(0.05)
    found = counting.totals()
    assert found["gpu_seconds"] == found["seconds"] == found["gpu_counted"] > 0.04
    assert (found["gpu_joules"], found["gpu_peak_memory_mb"]) == (250.0, 3.0)
    energy = record(found)["energy"]
    assert energy["gpu"] == {"joules": 250.0, "method": "counter: NVML, whole boards"}
    assert energy["joules"] == pytest.approx(250 + energy["cpu"]["joules"])


def test_a_board_that_does_not_count_is_estimated_from_its_power(monkeypatch):
    with_gpus(monkeypatch, [{}, {}])
    found = Meter().totals() | {"gpu_seconds": 10.0}
    assert record(found)["energy"]["gpu"] == {
        "joules": 4000.0, "method": "estimate: GPU-seconds x 400 W (NVIDIA A100 data sheet (SXM))"}
    unknown = record(found | {"gpu": "Brand New"})["energy"]
    assert unknown["gpu"]["joules"] is None and "Brand New" in unknown["gpu"]["method"]


def test_counted_and_estimated_parts_of_a_run_add_up_over_attempts_and_tasks():
    totals = dict.fromkeys(meter.SUMS, 0.0) | dict.fromkeys(meter.PEAKS, 1.0) | {
        "core_seconds": 30.0, "cpu_counted": 10.0, "cpu_joules": 55.0, "gpu": None}
    part = record(totals, tasks=4)["energy"]["cpu"]
    assert part["joules"] == (55 + 20 * 12) * 4
    assert part["method"].startswith("counter: RAPL") and "estimate: core-seconds" in part["method"]
    assert part["method"].endswith("the first of 4 tasks, times 4")
    assert record(totals, tasks=4)["core_seconds"] == 120.0


@pytest.mark.parametrize(("said", "name"), [
    ("V100", "V100"), ("Tesla V100-SXM2-32GB", "V100"), ("NVIDIA A100-SXM4-80GB", "A100"),
    ("NVIDIA A10G", "A10"), ("NVIDIA H200", "H200"), ("NVIDIA GeForce RTX 4090", "RTX4090"),
    ("NVIDIA L40S", None), ("AMD EPYC", None)])
def test_devices_are_known_by_whole_words(said, name):
    found = devices.recognise(said)
    assert (found.name if found else None) == name


def test_an_unknown_device_or_precision_is_one_line():
    with pytest.raises(UserError, match=r"device 'A1000': not in .*\(did you mean 'A100'\?\)"):
        devices.find("A1000")
    with pytest.raises(UserError, match="device V100: has no bf16 rate"):
        devices.find("V100").peak_of("bf16")
    assert devices.find("V100").peak_of("fp32") == 15.7e12
