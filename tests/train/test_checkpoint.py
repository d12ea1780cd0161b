import hashlib
import json
import logging
import os
import pickle

import pytest
import torch

from repro.errors import UserError
from repro.train.checkpoint import Checkpoint, load_latest, save

TENSORS = {"model/w": torch.tensor([1.5, -0.0, 1e-40]), "optimizer/step/w": torch.tensor(3.0)}
STATE = {"history": [{"step": 1, "loss": 0.1}], "sums": {"loss": 0.1 + 0.2}}


def write(folder, *steps):
    for step in steps:
        save(folder, Checkpoint(step, TENSORS, STATE))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_is_saved_comes_back_bit_by_bit(tmp_path):
    write(tmp_path, 7)
    loaded = load_latest(tmp_path)
    assert (loaded.step, loaded.state) == (7, STATE)
    for name, tensor in TENSORS.items():
        assert loaded.tensors[name].numpy().tobytes() == tensor.numpy().tobytes()


def test_two_are_kept_and_nothing_else_is_left(tmp_path):
    write(tmp_path, 1, 2, 10)
    assert names(tmp_path) == ["step-000000002", "step-000000010"]
    assert load_latest(tmp_path).step == 10


def test_no_checkpoint_is_no_error(tmp_path):
    assert load_latest(tmp_path) is None
    assert load_latest(tmp_path / "missing") is None


def truncate(path):
    os.truncate(path / "tensors.safetensors", 20)


def flip(path):
    content = bytearray((path / "tensors.safetensors").read_bytes())
    content[-1] ^= 1
    (path / "tensors.safetensors").write_bytes(content)


def forge_state(path):
    (path / "state.json").write_text(json.dumps({"history": []}))


def drop_manifest(path):
    (path / "manifest.json").unlink()


@pytest.mark.parametrize("damage", [truncate, flip, forge_state, drop_manifest])
def test_a_damaged_newest_falls_back_to_the_one_before(tmp_path, caplog, damage):
    write(tmp_path, 1, 2)
    damage(tmp_path / "step-000000002")
    with caplog.at_level(logging.WARNING):
        assert load_latest(tmp_path).step == 1
    assert len(caplog.records) == 1 and "step-000000002" in caplog.text
    write(tmp_path, 2)
    assert load_latest(tmp_path).step == 2


def test_none_readable_is_an_error_that_says_what_to_do(tmp_path):
    write(tmp_path, 1, 2)
    for step in (1, 2):
        truncate(tmp_path / f"step-00000000{step}")
    with pytest.raises(UserError, match="none of its 2 checkpoints is readable; delete"):
        load_latest(tmp_path)


def test_a_kill_while_writing_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    write(tmp_path, 1)

    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(Killed):
            write(tmp_path, 2)
    assert load_latest(tmp_path).step == 1
    write(tmp_path, 3)
    assert names(tmp_path) == ["step-000000001", "step-000000003"]


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path, monkeypatch):
    write(tmp_path, 1)

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(UserError, match="step-000000002: .*No space left on device"):
            write(tmp_path, 2)
    assert names(tmp_path) == ["step-000000001"]


def test_a_pickle_is_refused_and_never_executed(tmp_path):
    write(tmp_path, 1)
    marker = tmp_path / "executed"

    class Payload:
        def __reduce__(self):
            return (marker.touch, ())

    path = tmp_path / "step-000000001"
    (path / "tensors.safetensors").write_bytes(pickle.dumps(Payload()))
    digest = hashlib.sha256((path / "tensors.safetensors").read_bytes()).hexdigest()
    manifest = json.loads((path / "manifest.json").read_text()) | {"tensors.safetensors": digest}
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="none of its 1 checkpoints"):
        load_latest(tmp_path)
    assert not marker.exists()
