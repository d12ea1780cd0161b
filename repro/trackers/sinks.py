"""The trackers: each takes whole runs, once, and the progress of living ones.

An optional library is imported when its tracker is made, and nowhere else.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any, Protocol

from repro.errors import UserError
from repro.pipeline.plans import Planned
from repro.pipeline.spec import SHORT
from repro.trackers.runs import Logged, Values, path_of, tags

LIVE = "live/"  # before the names of what a run says while it lives
_FEW = 100  # params an MLflow call takes
_LONGEST = 500  # characters of an MLflow param


class Sink(Protocol):
    """Where runs are shown."""

    def has(self, run: Planned) -> bool:
        """Return whether the finished run is there already."""
        ...

    def live(self, run: Planned, step: int, values: Values) -> None:
        """Add what a living run said."""
        ...

    def write(self, run: Logged) -> None:
        """Add a finished run, after what it may have said while it lived."""
        ...


class TensorBoard:
    """Event files below a folder, one subfolder a run."""

    def __init__(self, place: str, name: str) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise _not_installed("tensorboard") from error
        self._writer_of = SummaryWriter
        self.root = Path(place)
        self._open: dict[str, Any] = {}

    def has(self, run: Planned) -> bool:
        try:
            return json.loads(self._note(run).read_text("utf-8"))["key"] == run.key
        except (OSError, ValueError, KeyError):
            return False

    def live(self, run: Planned, step: int, values: Values) -> None:
        if run.key not in self._open:
            shutil.rmtree(self._folder(run), ignore_errors=True)  # of settings since changed
            self._open[run.key] = self._writer_of(str(self._folder(run) / "live"))
        for name, value in values.items():
            self._open[run.key].add_scalar(LIVE + name, value, step)
        self._open[run.key].flush()

    def write(self, run: Logged) -> None:
        if run.planned.key in self._open:
            self._open.pop(run.planned.key).close()
        else:
            shutil.rmtree(self._folder(run.planned), ignore_errors=True)
        folder = self._folder(run.planned)
        with self._writer_of(str(folder)) as writer:
            text = "\n".join(f"    {name} = {value!r}" for name, value in run.params.items())
            writer.add_text("settings", text, 0, walltime=run.started)
            last = run.history[-1][0] if run.history else 0
            for step, values in run.history:
                for name, value in values.items():
                    writer.add_scalar(name, value, step, walltime=_when(run, step, last))
            for name, value in run.summary.items():
                writer.add_scalar(f"total/{name}", value, last, walltime=run.finished)
        self._note(run.planned).write_text(json.dumps(tags(run.planned), indent=1) + "\n", "utf-8")

    def _folder(self, run: Planned) -> Path:
        return self.root / path_of(run)

    def _note(self, run: Planned) -> Path:
        """Return the file that says which run a folder shows, written when it shows all of it."""
        return self._folder(run) / "run.json"


class MLflow:
    """Runs of an MLflow server or folder, in the experiment `name`, found by the tag repro.key."""

    def __init__(self, place: str, name: str) -> None:
        # MLflow keeps folders as stores only for those who ask.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        try:
            from mlflow import MlflowClient
            from mlflow.entities import Metric, Param
        except ImportError as error:
            raise _not_installed("mlflow") from error
        self._metric, self._param = Metric, Param
        uri = place if "://" in place else Path(place).resolve().as_uri()
        self.client = MlflowClient(uri)
        found = self.client.get_experiment_by_name(name)
        self.experiment = found.experiment_id if found else self.client.create_experiment(name)
        self._open: dict[str, str] = {}

    def has(self, run: Planned) -> bool:
        return any(found.info.status == "FINISHED" for found in self._found(run))

    def live(self, run: Planned, step: int, values: Values) -> None:
        self._log(self._run_of(run), [(LIVE + name, value, 0, step)
                                      for name, value in values.items()])

    def write(self, run: Logged) -> None:
        where = self._run_of(run.planned, run.started)
        params = [self._param(_word(name), str(value)[:_LONGEST])
                  for name, value in run.params.items()]
        for first in range(0, len(params), _FEW):
            self.client.log_batch(where, params=params[first:first + _FEW])
        last = run.history[-1][0] if run.history else 0
        self._log(where, [(name, value, _when(run, step, last), step)
                          for step, values in run.history for name, value in values.items()])
        self._log(where, [(f"total/{name}", value, run.finished, last)
                          for name, value in run.summary.items()])
        self.client.set_terminated(where, "FINISHED", end_time=round(1000 * run.finished))

    def _found(self, run: Planned) -> list[Any]:
        return self.client.search_runs([self.experiment], f"tags.`repro.key` = '{run.key}'")

    def _run_of(self, run: Planned, started: float | None = None) -> str:
        """Return the id of the run that shows it, making one where there is none."""
        if run.key not in self._open:
            found = self._found(run)
            made = found[0] if found else self.client.create_run(
                self.experiment, run_name=path_of(run),
                start_time=None if started is None else round(1000 * started),
                tags={f"repro.{name}": value for name, value in tags(run).items()})
            self._open[run.key] = made.info.run_id
        return self._open[run.key]

    def _log(self, where: str, points: list[tuple[str, float, float, int]]) -> None:
        metrics = [self._metric(_word(name), value, round(1000 * when), step)
                   for name, value, when, step in points]
        for first in range(0, len(metrics), 10 * _FEW):
            self.client.log_batch(where, metrics=metrics[first:first + 10 * _FEW])


class Wandb:
    """Runs of W&B in the project `name`; files below a folder, sent when WANDB_MODE is online."""

    def __init__(self, place: str, name: str) -> None:
        try:
            import wandb
        except ImportError as error:
            raise _not_installed("wandb") from error
        self._wandb, self.name, self.root = wandb, name, Path(place)
        self.mode = os.environ.get("WANDB_MODE", "offline")
        self.root.mkdir(parents=True, exist_ok=True)
        self._open: dict[str, Any] = {}

    def has(self, run: Planned) -> bool:
        return self._note(run).is_file()

    def live(self, run: Planned, step: int, values: Values) -> None:
        named = {LIVE + name: value for name, value in values.items()}
        self._run_of(run, {}).log({"update": step, **named})

    def write(self, run: Logged) -> None:
        shown = self._run_of(run.planned, run.params)
        shown.config.update(run.params, allow_val_change=True)
        for step, values in run.history:
            shown.log({"update": step, **values})
        for name, value in run.summary.items():
            shown.summary[f"total/{name}"] = value
        shown.finish()
        self._open.pop(run.planned.key)
        self._note(run.planned).parent.mkdir(exist_ok=True)
        self._note(run.planned).touch()

    def _run_of(self, run: Planned, params: dict[str, Any]) -> Any:
        if run.key not in self._open:
            shown = self._wandb.init(
                project=self.name, id=run.key[:SHORT], name=path_of(run), group=f"{run.paper} "
                f"{run.profile}", job_type=run.stage, config=params, dir=str(self.root),
                mode=self.mode, reinit="create_new", resume="allow",
                tags=[run.paper, run.profile, run.arm, run.stage],
                settings=self._wandb.Settings(silent=True))
            # W&B's own steps only ever rise; ours are those of the run.
            shown.define_metric("update", hidden=True)
            shown.define_metric("*", step_metric="update")
            self._open[run.key] = shown
        return self._open[run.key]

    def _note(self, run: Planned) -> Path:
        return self.root / "written" / run.key[:SHORT]


SINKS = {"tensorboard": TensorBoard, "mlflow": MLflow, "wandb": Wandb}


def _when(run: Logged, step: int, last: int) -> float:
    """Return about when a step was made: clocks are no part of a history."""
    return run.started + (run.finished - run.started) * (step / last if last else 1.0)


def _word(name: str) -> str:
    """Return a name of characters that MLflow allows."""
    return "".join(c if c.isalnum() or c in "_-. /" else "_" for c in name)


def _not_installed(extra: str) -> UserError:
    return UserError(f"log-to {extra}: not installed here: pip install 'repro[{extra}]'")
