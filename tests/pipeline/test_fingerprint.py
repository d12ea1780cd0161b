"""The digests of small operations: the same for the same arithmetic, another for another."""

import numpy as np
import pytest
import torch

from repro.errors import UserError
from repro.pipeline import environment, fingerprint, machine


def test_every_operation_gives_the_same_bytes_twice():
    first = {name: fingerprint._digest(function()) for name, function in fingerprint.CASES.items()}
    again = {name: fingerprint._digest(function()) for name, function in fingerprint.CASES.items()}
    assert first == again
    assert len(set(first.values())) == len(first) > 20


def test_the_global_random_streams_are_left_alone():
    before = torch.get_rng_state()
    for function in fingerprint.CASES.values():
        list(function())
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", ["linear", "gelu", "embedding"])
def test_one_bit_in_one_result_changes_its_digest_alone(name):
    values = [value.detach().clone() for value in fingerprint.CASES[name]()]
    same = fingerprint._digest(values)
    assert same == fingerprint._digest(fingerprint.CASES[name]())
    values[0].view(torch.int32).flatten()[0] ^= 1
    assert fingerprint._digest(values) != same


def test_inputs_are_exact_fractions_of_full_width():
    x = fingerprint.fractions(4096).double().numpy()
    assert np.array_equal(x * 2**23, np.round(x * 2**23))
    assert -1 <= x.min() < -0.99 and 0.99 < x.max() < 1
    assert abs(x.mean()) < 0.05 and len(np.unique(x)) > 4000


def test_the_summary_changes_with_any_operation_and_not_with_their_order():
    cases = {"a": "1", "b": "2"}
    assert fingerprint.summary(cases) == fingerprint.summary({"b": "2", "a": "1"})
    assert fingerprint.summary(cases) != fingerprint.summary({"a": "1", "b": "3"})
    assert len(fingerprint.summary(cases)) == fingerprint.DIGITS


def test_a_process_of_its_own_finds_what_a_job_of_these_numerics_finds(monkeypatch):
    monkeypatch.setenv("MKL_CBWR", "SSE2")  # what the caller has set is not what a job gets
    found = machine.measure("portable")
    assert found["arithmetic"].keys() == fingerprint.CASES.keys()
    assert machine.measure(None) == {**machine.describe(), "arithmetic": None}
    assert {name: found[name] for name in ("cpu", "features", "libc")} == machine.describe()


def test_a_machine_that_cannot_be_measured_is_an_error(monkeypatch):
    machine.measure.cache_clear()
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(UserError, match="cannot be measured: no output"):
        machine.measure("portable")


def test_the_environment_of_no_numerics_drops_every_pin(monkeypatch):
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    assert "ATEN_CPU_CAPABILITY" not in environment.pinned(None)
    assert environment.pinned("portable")["ATEN_CPU_CAPABILITY"] == "avx2"
    assert environment.pinned("portable")["OMP_NUM_THREADS"] == "1"
