"""The runs of a profile that are still to be made, and how much work each of them is."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from repro.check import dry_run
from repro.paper import Paper
from repro.pipeline.spec import RunSpec, closure, expand_all
from repro.pipeline.store import Store

Tree = dict[str, Any]
CPU, CUDA = "cpu", "cuda"
# Of a training section: what decides how long one token takes. The rest decides how many there are.
_SHAPING = ("batches", "objective", "accumulation", "precision", "device", "sharding",
            "world_size", "ema_decay")
_SCALING = ("corpus",)  # of the batches


@dataclass(frozen=True)
class Work:
    """One run to be made. flops, tokens: of the model, 0 where the dry run cannot tell. idle: it is
    of a training stage, but takes no step. section: digest of its whole settings; shape: of what
    decides the time that a token takes."""

    spec: RunSpec
    flops: float
    tokens: float
    idle: bool
    precision: str
    on: str
    section: str
    shape: str

    @property
    def devices(self) -> int:
        """GPUs of all tasks."""
        return self.spec.resources.gpus * self.spec.resources.tasks

    @property
    def cores(self) -> int:
        """Cores of all tasks."""
        return self.spec.resources.cpus * self.spec.resources.tasks


def missing(paper: Paper, profile: str, tree: Tree, store: Store | None) -> tuple[list[Work], int]:
    """Return the runs that the store does not hold finished, each once and in topological order,
    and how many it does hold."""
    cells = expand_all(paper, tree, profile, tree["seeds"])
    wanted = [group[0] for group in closure(s for made in cells.values() for s in made).values()]
    rows = dry_run.check(paper, profile, tree)["arms"]
    amounts = {(row["arm"], row["stage"]): row for row in rows}
    left = [spec for spec in wanted if store is None or not store.entry(spec.key).is_done]
    return [_work(spec, amounts) for spec in left], len(wanted) - len(left)


def _work(spec: RunSpec, amounts: dict[tuple[str, str], Tree]) -> Work:
    row = amounts.get((spec.arm, spec.stage), {})
    flops, tokens = float(row.get("flops") or 0), float(row.get("tokens") or 0)
    config = spec.config
    on = config.get("device", CUDA if spec.resources.gpus else CPU)
    idle = row.get("steps") == 0
    return Work(spec, flops, tokens, idle, config.get("precision", "fp32"), on,
                digest(spec.entry, config), shape_of(spec.entry, config, flops, tokens))


def shape_of(entry: str, config: Tree, flops: float, tokens: float) -> str:
    """Return the digest of what decides how long a token takes; "" where nothing is trained.

    The operations of a token stand for what the section does not say, such as the vocabulary.
    """
    if not tokens:
        return ""
    kept = {name: config[name] for name in _SHAPING if name in config}
    if "batches" in kept:
        kept["batches"] = {name: value for name, value in kept["batches"].items()
                           if name not in _SCALING}
    optimizer = config.get("optimizer") or {}
    return digest(entry, kept, optimizer.get("_ref"), f"{flops / tokens:.6g}")


def digest(*parts: Any) -> str:
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
