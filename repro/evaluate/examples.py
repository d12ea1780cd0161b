"""Tasks in the form fine-tuning reads: tensors ready to index, checked once.

N examples, T positions, U units (what is predicted: an example, or a labelled token), C classes.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from repro.data.shards import Split, TaskArrays, open_task
from repro.errors import UserError
from repro.evaluate import budgets, metrics
from repro.naming import nearest
from repro.train.streams import Streams

KINDS = ("classification", "pair", "tagging", "regression")
IGNORED = -100


@dataclass(frozen=True)
class Examples:
    """input_ids_NT int32; segments_NT int32; lengths_N int64, tokens without trailing padding;
    targets_U int64 class ids or float32 values; offsets (N + 1,) int64: example i owns the units
    offsets[i] : offsets[i + 1]; positions_U int64: the column of each unit, None where a unit is
    a whole example."""

    input_ids_NT: torch.Tensor
    segments_NT: torch.Tensor
    lengths_N: torch.Tensor
    targets_U: torch.Tensor
    offsets: torch.Tensor
    positions_U: torch.Tensor | None
    pad: int

    def __len__(self) -> int:
        return len(self.input_ids_NT)

    def units_of(self, rows_B: torch.Tensor) -> torch.Tensor:
        """Return the units of examples, in the order given, int64."""
        if self.positions_U is None:
            return rows_B
        starts, ends = self.offsets[rows_B], self.offsets[rows_B + 1]
        counts = ends - starts
        shift = starts - (counts.cumsum(0) - counts)
        return torch.arange(int(counts.sum())) + shift.repeat_interleave(counts)


@dataclass(frozen=True)
class Task:
    """A task with its label budget drawn. labels: names of classes; empty for regression."""

    name: str
    kind: str
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    primary: str
    train: Examples
    dev: Examples
    test: Examples

    @property
    def outputs(self) -> int:
        """Width of the head: classes, or 1 for regression."""
        return 1 if self.kind == "regression" else len(self.labels)


def select(artefact: Path, tasks: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the names of the tasks asked for; None = all of the data artefact, sorted.

    Raises UserError for an unknown name (with the nearest one), a double one, or none at all.
    """
    known = sorted(path.parent.name for path in artefact.glob("tasks/*/task.json"))
    chosen = tuple(known if tasks is None else tasks)
    if not chosen:
        raise UserError(f"tasks: none asked for; {artefact} has {', '.join(known) or 'none'}")
    for name in chosen:
        if name not in known:
            raise UserError(f"task {name!r}: not in {artefact}{nearest(name, known)}")
        if chosen.count(name) > 1:
            raise UserError(f"task {name!r}: named twice")
    return chosen


def load(
    artefact: Path,
    name: str,
    seed: int,
    *,
    labels_per_class: int | None = None,
    train_examples: int | None = None,
    dev_examples: int | None = None,
    test_examples: int | None = None,
) -> Task:
    """Return a task with the examples of one seed.

    The draw depends on the seed and the task only (streams "budget:", "dev:" and "test:"), so all
    arms and all members of a seed train and are tested on the same examples. labels_per_class is
    for classification and pair tasks; train_examples for the others, and for those where
    labels_per_class is None (then in proportion to the classes). dev and test are drawn uniformly.
    None = all. Raises UserError for a malformed or empty task, and for a class below its budget.
    """
    arrays = open_task(artefact, name)
    kind, labels = _check_info(arrays, name)
    streams = Streams(seed)
    for split in ("train", "dev", "test"):
        _check_split(getattr(arrays, split), name, split, kind, len(labels))
    train_rows = np.arange(len(arrays.train))
    generator = streams.numpy(f"budget:{name}")
    by_class = kind in ("classification", "pair")
    if by_class and labels_per_class is not None:
        targets = np.asarray(arrays.train.labels)
        train_rows = budgets.per_class(
            targets, labels_per_class, generator, task=name, classes=len(labels)
        )
    elif by_class and train_examples is not None:
        train_rows = budgets.stratified(
            np.asarray(arrays.train.labels), train_examples, generator
        )
    elif train_examples is not None:
        train_rows = budgets.uniform(len(arrays.train), train_examples, generator)
    rows = {"train": train_rows}
    for split, limit in (("dev", dev_examples), ("test", test_examples)):
        total = len(getattr(arrays, split))
        drawn = streams.numpy(f"{split}:{name}")
        rows[split] = np.arange(total) if limit is None else budgets.uniform(total, limit, drawn)
    splits = {
        split: examples(getattr(arrays, split), rows[split], arrays.vocab.pad, kind)
        for split in rows
    }
    info = arrays.info
    return Task(name, kind, labels, tuple(info["metrics"]), info["primary"], **splits)


def examples(split: Split, rows_N: np.ndarray, pad: int, kind: str) -> Examples:
    """Return some rows of a split as tensors. Raises UserError if a row is all padding."""
    ids_NT = torch.from_numpy(np.asarray(split.input_ids[rows_N], dtype=np.int32))
    segments_NT = torch.from_numpy(np.asarray(split.segments[rows_N], dtype=np.int32))
    columns_T = torch.arange(1, ids_NT.shape[1] + 1)
    lengths_N = ((ids_NT != pad) * columns_T).amax(dim=1)
    if int(lengths_N.min()) == 0:
        raise UserError("a row of input_ids.npy holds padding only")
    labels = torch.from_numpy(np.array(split.labels[rows_N]))
    if kind != "tagging":
        offsets = torch.arange(len(rows_N) + 1)
        return Examples(ids_NT, segments_NT, lengths_N, labels, offsets, None, pad)
    labelled_NT = labels != IGNORED
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), labelled_NT.sum(1).cumsum(0)])
    positions_U = labelled_NT.nonzero()[:, 1]
    targets_U = labels[labelled_NT]
    return Examples(ids_NT, segments_NT, lengths_N, targets_U, offsets, positions_U, pad)


def _check_info(arrays: TaskArrays, name: str) -> tuple[str, tuple[str, ...]]:
    """Return (kind, labels) of task.json after checking them and its metrics."""
    info = arrays.info
    missing = [key for key in ("kind", "metrics", "primary") if key not in info]
    if missing:
        raise UserError(f"task {name!r}: task.json has no {missing[0]!r}")
    kind, labels = info["kind"], tuple(info.get("labels") or ())
    if kind not in KINDS:
        raise UserError(f"task {name!r}: unknown kind {kind!r}{nearest(kind, KINDS)}")
    if kind != "regression" and len(labels) < 2:
        raise UserError(f"task {name!r}: {len(labels)} labels; expected at least 2")
    if info["primary"] not in info["metrics"]:
        raise UserError(f"task {name!r}: primary metric {info['primary']!r} is not in its metrics")
    try:
        for metric in info["metrics"]:
            metrics.lookup(metric, kind, len(labels))
    except UserError as error:
        raise UserError(f"task {name!r}: {error}") from error
    return kind, labels


def _check_split(split: Split, name: str, part: str, kind: str, classes: int) -> None:
    where = f"task {name!r}, {part}"
    if len(split) == 0:
        raise UserError(f"{where}: no example")
    if len(split.labels) != len(split) or len(split.segments) != len(split):
        raise UserError(
            f"{where}: {len(split)} inputs, {len(split.segments)} segments, "
            f"{len(split.labels)} labels"
        )
    labels = np.asarray(split.labels)
    if kind == "regression":
        if not np.isfinite(labels).all():
            raise UserError(f"{where}: a label is not finite")
        return
    if kind == "tagging":
        if labels.shape != split.input_ids.shape:
            raise UserError(f"{where}: labels {labels.shape}, inputs {split.input_ids.shape}")
        labelled_NT = labels != IGNORED
        if not labelled_NT.any(axis=1).all():
            row = int(labelled_NT.any(axis=1).argmin())
            raise UserError(f"{where}: row {row} has no labelled token")
        labels = labels[labelled_NT]
    if labels.min() < 0 or labels.max() >= classes:
        raise UserError(
            f"{where}: label ids {labels.min()}..{labels.max()} outside 0..{classes - 1}"
        )
