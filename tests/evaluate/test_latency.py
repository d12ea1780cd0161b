import time

import pytest

from repro.errors import UserError
from repro.evaluate import latency


def test_sequential_latency_adds_up_and_members_alternate():
    calls = []

    def member(name: str, seconds: float):
        def call() -> None:
            calls.append(name)
            time.sleep(seconds)

        return call

    found = latency.probe([member("a", 0.002), member("b", 0.006)], repeats=4)
    assert calls == ["a", "b"] * (latency.WARM_UP + 4)
    assert found["latency_ms_member"] >= 6
    assert found["latency_ms_sequential"] >= 8
    assert found["latency_ms_sequential"] > found["latency_ms_member"]


def test_nothing_to_measure_is_refused():
    with pytest.raises(UserError, match="0 members"):
        latency.probe([], repeats=3)
