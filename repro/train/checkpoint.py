"""Checkpoints: named tensors (safetensors) and scalars (JSON), atomic, verified, two kept.

    <folder>/step-000000400/tensors.safetensors   model, optimiser, averages
                            state.json            history, running sums
                            manifest.json         sha256 of the two files above

Nothing is ever unpickled. A checkpoint appears by a rename after its bytes are on disk, so a kill
leaves either the whole checkpoint or none; what a broken disk leaves behind fails its digest.
"""

import hashlib
import json
import logging
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from repro.errors import UserError

KEPT = 2
TENSORS, STATE, MANIFEST = "tensors.safetensors", "state.json", "manifest.json"
_NAME = re.compile(r"step-(\d{9})")
_log = logging.getLogger(__name__)


@dataclass
class Checkpoint:
    """step: updates done. tensors: by name, on the CPU. state: plain values, as JSON holds them."""

    step: int
    tensors: dict[str, torch.Tensor]
    state: dict[str, Any]


def save(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint atomically, drop all but the newest two, return its path.

    Tensors must not share memory. Finite floats in state come back bit by bit.
    Raises UserError naming the path when the disk refuses (full, read-only); the checkpoints
    before it are then untouched.
    """
    target = _path(folder, checkpoint.step)
    scratch = folder / f".{target.name}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(".step-*.tmp"):
            shutil.rmtree(leftover)
        scratch.mkdir()
        save_file(checkpoint.tensors, scratch / TENSORS)
        (scratch / STATE).write_text(json.dumps(checkpoint.state), encoding="utf-8")
        digests = {name: _sha256(scratch / name) for name in (TENSORS, STATE)}
        (scratch / MANIFEST).write_text(json.dumps(digests), encoding="utf-8")
        for path in (*scratch.iterdir(), scratch):
            _sync(path)
        if target.exists():
            shutil.rmtree(target)
        os.replace(scratch, target)
        _sync(folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(scratch, ignore_errors=True)
        raise UserError(f"{target}: the checkpoint cannot be written: {error}") from error
    for step in _steps(folder)[KEPT:]:
        shutil.rmtree(_path(folder, step), ignore_errors=True)
    return target


def load_latest(folder: Path) -> Checkpoint | None:
    """Return the newest readable checkpoint, or None when there is none at all.

    A truncated or altered one is passed over with a logged warning. Raises UserError when
    checkpoints exist but none is readable: starting over silently could hide a broken disk.
    """
    steps = _steps(folder)
    for step in steps:
        path = _path(folder, step)
        try:
            return _load(path, step)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            _log.warning("%s: unreadable checkpoint passed over: %s", path, error)
    if steps:
        raise UserError(
            f"{folder}: none of its {len(steps)} checkpoints is readable; "
            "delete the folder to start from the first step"
        )
    return None


def _load(path: Path, step: int) -> Checkpoint:
    digests = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    for name in (TENSORS, STATE):
        if _sha256(path / name) != digests[name]:
            raise ValueError(f"sha256 of {name} differs from the manifest")
    state = json.loads((path / STATE).read_text(encoding="utf-8"))
    return Checkpoint(step, load_file(path / TENSORS), state)


def _path(folder: Path, step: int) -> Path:
    return folder / f"step-{step:09d}"


def _steps(folder: Path) -> list[int]:
    """Return the steps that have a checkpoint, newest first."""
    if not folder.is_dir():
        return []
    found = (_NAME.fullmatch(path.name) for path in folder.iterdir())
    return sorted((int(match[1]) for match in found if match), reverse=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
