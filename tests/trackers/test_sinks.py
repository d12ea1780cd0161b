"""The real trackers: what was written is read back with their own readers."""

import json
import struct
import subprocess
import sys
import time

import pytest

from repro.trackers import follow
from repro.trackers.runs import read
from repro.trackers.sinks import MLflow, TensorBoard, Wandb

from .conftest import TRIALS


def written(runs, sink):
    pretrain, finetune = runs.add("a"), runs.add("b", "finetune", history=TRIALS)
    assert follow.update(sink, runs.store, runs.planned) == (2, 0)
    assert follow.update(sink, runs.store, runs.planned) == (0, 2)
    return pretrain, finetune


@pytest.fixture
def events():
    """events(folder) -> name -> [(step, value)], by TensorBoard's own reader."""
    pytest.importorskip("tensorboard", reason="pip install 'repro[tensorboard]'")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def load(folder):
        found = EventAccumulator(str(folder))
        found.Reload()
        return {name: [(event.step, event.value) for event in found.Scalars(name)]
                for name in found.Tags()["scalars"]}

    return load


def test_tensorboard_shows_curves_and_totals(runs, tmp_path, events):
    place = tmp_path / "tb"
    written(runs, TensorBoard(str(place), "repro"))
    found = events(place / "toy/mini/plain/pretrain/seed0")
    assert found["loss"] == [(100, 5.5), (200, 4.25)]
    assert found["total/joules"] == [(200, 474.0)]
    trials = events(place / "toy/mini/plain/finetune/seed1")
    assert trials["pos/dev"] == [(0, 0.5), (1, 0.75)]


def test_tensorboard_has_what_another_process_wrote_but_no_older_run(runs, tmp_path, events):
    place = str(tmp_path / "tb")
    run, _ = written(runs, TensorBoard(place, "repro"))
    again = TensorBoard(place, "repro")
    assert again.has(run)
    run.__dict__["key"] = "c" * 64  # its settings changed
    assert not again.has(run)


def test_tensorboard_keeps_what_a_run_said_while_it_lived(runs, tmp_path, events):
    sink, run = TensorBoard(str(tmp_path), "repro"), runs.plan("a")
    sink.live(run, 10, {"loss": 7.5})
    assert not sink.has(run)
    sink.write(read(runs.store.entry(run.key), runs.finish(run)))
    folder = tmp_path / "toy/mini/plain/pretrain/seed0"
    assert events(folder / "live") == {"live/loss": [(10, 7.5)]}
    assert events(folder)["loss"] == [(100, 5.5), (200, 4.25)] and sink.has(run)


def test_mlflow_holds_settings_history_and_totals(runs, tmp_path):
    pytest.importorskip("mlflow", reason="pip install 'repro[mlflow]'")
    place = tmp_path / "mlruns"
    sink = MLflow(str(place), "suite")
    run, living = runs.plan("a"), runs.plan("b")
    sink.live(run, 10, {"loss": 7.5})
    sink.live(living, 10, {"loss": 7.0})
    runs.finish(run)
    assert follow.update(MLflow(str(place), "suite"), runs.store, runs.planned) == (1, 0)
    assert follow.update(MLflow(str(place), "suite"), runs.store, runs.planned) == (0, 1)
    found = {one.data.tags["repro.key"]: one for one in sink.client.search_runs(
        [sink.client.get_experiment_by_name("suite").experiment_id])}
    shown = found[run.key]
    assert len(found) == 2 and found[living.key].info.status == "RUNNING"
    assert shown.info.status == "FINISHED" and shown.info.end_time == 1767323045000
    assert shown.data.params["config.optimizer.lr"] == "0.001"
    assert shown.data.metrics["total/joules"] == 474.0
    assert shown.data.metrics["live/loss"] == 7.5
    history = sink.client.get_metric_history(shown.info.run_id, "loss")
    assert [(one.step, one.value, one.timestamp) for one in history] == [
        (100, 5.5, 1767323025000), (200, 4.25, 1767323045000)]


def test_wandb_writes_offline_runs(runs, tmp_path):
    pytest.importorskip("wandb", reason="pip install 'repro[wandb]'")
    sink = Wandb(str(tmp_path / "wb"), "suite")
    run = runs.plan("a")
    sink.live(run, 10, {"loss": 7.5})
    runs.finish(run)
    assert follow.update(sink, runs.store, runs.planned) == (1, 0)
    assert follow.update(Wandb(str(tmp_path / "wb"), "suite"), runs.store, runs.planned) == (0, 1)
    (folder,) = (tmp_path / "wb" / "wandb").glob("offline-run-*")
    assert folder.name.endswith("-" + "a" * 16)
    last = {"update": 200, "loss": 4.25, "lr_factor": 0.5}
    until = time.monotonic() + 20
    # A process of its own writes the file, when it likes.
    while last not in (logged := scan(folder / f"run-{'a' * 16}.wandb")):
        assert time.monotonic() < until, logged
        time.sleep(0.1)
    assert {"update": 10, "live/loss": 7.5} in logged


def scan(path):
    """Return the points logged in an offline file: after a header of 7 bytes, records in LevelDB's
    log format (blocks of 32 KiB; checksum, length, kind) that are W&B's protocol buffers."""
    from wandb.proto import wandb_internal_pb2

    data, place, found, message = path.read_bytes(), 7, [], b""
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        if kind == 0:
            break
        message += data[place + 7:place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(message)
            message = b""
            pairs = {"/".join(item.nested_key) or item.key: json.loads(item.value_json)
                     for item in record.history.item}
            found.append({name: value for name, value in pairs.items() if name[0] != "_"})
    return found


def test_no_tracker_is_loaded_by_anything_else():
    code = ("import sys; import repro.cli, repro.trackers.follow, repro.trackers.sinks, "
            "repro.commands.tracking; "
            "print({'tensorboard', 'mlflow', 'wandb', 'torch'} & set(sys.modules))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
