"""Damage files of a target as hypothesis proposes, and note what came of each case."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mutation
import store_targets
import targets
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from targets import Target

MADE: dict[str, Callable[[Path], list[Target]]] = {
    "paper.yaml": lambda folder: [targets.paper_file(targets.suite(folder))],
    "params.yaml": lambda folder: [targets.params_file(targets.suite(folder))],
    "gin": lambda folder: [targets.gin_files(targets.suite(folder))],
    "resolved": lambda folder: [targets.resolved_files(targets.suite(folder))],
    "certificate": lambda folder: [targets.certificate(targets.suite(folder))],
    "checkpoint": lambda folder: [targets.checkpoints(folder)],
    "shards": lambda folder: [targets.shards(folder)],
    "artefacts": store_targets.artefacts,
    "records": store_targets.records,
    "seeds": store_targets.seeds,
    "judged": store_targets.judged,
    "remotes": store_targets.remotes,
}


@dataclass(frozen=True)
class Case:
    """One damaged file: which, by which edits, and what came of it (see `targets.try_one`)."""

    file: str
    edits: tuple[str, ...]
    outcome: str

    @property
    def is_defect(self) -> bool:
        return self.outcome.startswith("DEFECT")

    def __str__(self) -> str:
        return f"{self.file} [{'; '.join(self.edits)}]: {self.outcome}"


def run(target: Target, cases: int, number: int) -> list[Case]:
    """Return what came of so many different cases; the same number draws the same ones."""
    found: list[Case] = []
    known: set[tuple[Path, bytes]] = set()

    @seed(number)
    @settings(max_examples=2 * cases, deadline=None, database=None, phases=(Phase.generate,),
              suppress_health_check=list(HealthCheck))
    @given(path=st.sampled_from(target.files), edits=mutation.mutations(target.kinds))
    def check(path: Path, edits: list[mutation.Mutation]) -> None:
        if len(found) >= cases:
            return
        damaged = mutation.apply(target.kinds, target.sound[path], edits)
        if damaged != target.sound[path] and (path, damaged) not in known:
            known.add((path, damaged))
            found.append(Case(path.name, tuple(map(str, edits)),
                              targets.try_one(target, path, damaged)))

    check()
    return found
