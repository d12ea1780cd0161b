"""This machine as far as it can change bytes: processor, the features sums depend on, C library,
and what its floating point does."""

import json
import platform
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from repro.errors import UserError
from repro.pipeline.environment import pinned

FEATURES = ("sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512dq", "avx512bw", "avx512vl",
            "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_tile")


@cache
def describe() -> dict[str, Any]:
    """Return {cpu: its name, features: those of FEATURES it has, libc: name and version}."""
    said = _cpuinfo()
    flags = said.get("flags", "").split()
    return {
        "cpu": said.get("model name") or platform.processor() or platform.machine(),
        "features": [name for name in FEATURES if name in flags],
        "libc": " ".join(platform.libc_ver()),
    }


@cache
def measure(numerics: str | None) -> dict[str, Any]:
    """Return `describe` and arithmetic: operation -> digest, as a job of these numerics finds it
    (see `fingerprint`), in a process of its own; None for numerics None, which do no arithmetic.
    Raises UserError when that process fails."""
    if numerics is None:
        return {**describe(), "arithmetic": None}
    done = subprocess.run([sys.executable, "-m", "repro.pipeline.fingerprint", numerics],
                          env=pinned(numerics), capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise UserError(f"the arithmetic of this machine cannot be measured: {last}")
    return {**describe(), "arithmetic": json.loads(done.stdout)}


def differing(now: dict[str, Any], then: dict[str, Any]) -> list[str]:
    """Return the operations that two measurements both have, and that calculate otherwise."""
    ours, theirs = now["arithmetic"] or {}, then["arithmetic"] or {}
    return sorted(name for name in ours.keys() & theirs.keys() if ours[name] != theirs[name])


def shown(measured: dict[str, Any]) -> str:
    """Return a machine in a few words."""
    widest = (measured["features"] or ["no vectors"])[-1]
    return f"{measured['cpu']}, {widest}, {measured['libc']}"


def _cpuinfo() -> dict[str, str]:
    """Return what Linux says of the first processor; nothing elsewhere."""
    with suppress(OSError):
        first = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
        pairs = (line.partition(":") for line in first.splitlines())
        return {name.strip(): value.strip() for name, _, value in pairs}
    return {}
