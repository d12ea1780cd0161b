"""A run before it happens: what it is made of, its key, and the runs it needs first.

key = sha256 of canonical JSON {stage, entry, config, code, versions, numerics, epoch, seed, member,
keys of the inputs}. The names of paper, profile and arm are not in it: equal runs are one run.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from repro.errors import UserError
from repro.phases import trains
from repro.pipeline.arithmetic import PRODUCTS

if TYPE_CHECKING:  # pydantic is half of what `repro status` would cost
    from repro.paper import Paper, Resources

SHORT = 16


@dataclass(frozen=True, eq=False)
class RunSpec:
    """One run. `ingredients` is what the key is made of; the other fields only say who asked for it
    and what it costs. seed: None for the data stage. members: how many copies the arm trains.
    numerics: None in a project whose stages do no floating-point work."""

    stage: str
    entry: str
    config: dict[str, Any]
    code: str
    versions: dict[str, str]
    numerics: str | None
    epoch: int
    seed: int | None
    member: int
    inputs: dict[str, tuple["RunSpec", ...]]
    paper: str
    profile: str
    arm: str
    members: int
    resources: "Resources"

    @cached_property
    def ingredients(self) -> dict[str, Any]:
        defined = {} if self.numerics not in PRODUCTS else {"products": PRODUCTS[self.numerics]}
        return defined | {
            "stage": self.stage,
            "entry": self.entry,
            "config": self.config,
            "code": self.code,
            "versions": self.versions,
            "numerics": self.numerics,
            "epoch": self.epoch,
            "seed": self.seed,
            "member": self.member,
            "inputs": {stage: [run.key for run in runs] for stage, runs in self.inputs.items()},
        }

    @cached_property
    def key(self) -> str:
        """64 hex digits."""
        return digest(self.ingredients)

    @property
    def fp(self) -> str:
        """The first 16 digits of the key: directory and job name."""
        return self.key[:SHORT]

    @property
    def upstream(self) -> tuple["RunSpec", ...]:
        return tuple(run for runs in self.inputs.values() for run in runs)

    @property
    def folder(self) -> str:
        """The artefact's directory name below `out/<profile>/<arm>/<stage>`; "" for data, whose
        artefact is the stage's directory itself."""
        if self.seed is None:
            return ""
        return f"seed{self.seed}" + (f"-m{self.member}" if self.members > 1 else "")

    @property
    def label(self) -> str:
        """What people read: electra/pretrain@mini-rtd seed0."""
        return f"{self.paper}/{self.stage}@{self.profile}-{self.arm} {self.folder}".rstrip()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RunSpec) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


def digest(ingredients: dict[str, Any]) -> str:
    """Return the sha256 of the canonical JSON of a run's ingredients, in hex."""
    text = json.dumps(ingredients, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def expand(
    paper: "Paper",
    tree: dict[str, Any],
    profile: str,
    stage: str,
    arm: str,
    seeds: Iterable[int],
) -> list[RunSpec]:
    """Return the runs of one stage of one arm: seeds x members, or one for the data stage.

    paper: `repro.paper.Paper`. tree: the resolved tree of the profile. Upstream runs hang on
    `inputs`: the data of the arm and the stage just before; `eval` reads all members of its seed.
    Raises UserError for an unknown stage or arm, or a tree that lacks one.
    """
    return _Expansion(paper, tree, profile).runs(stage, arm, seeds)


def expand_all(
    paper: "Paper", tree: dict[str, Any], profile: str, seeds: Iterable[int]
) -> dict[tuple[str, str], list[RunSpec]]:
    """Return the runs of a whole profile by (stage, arm), stages in order."""
    expansion, seeds = _Expansion(paper, tree, profile), list(seeds)
    return {
        (stage, arm): expansion.runs(stage, arm, seeds)
        for stage in paper.stages
        for arm in paper.arms_of(profile)
        if stage in paper.stages_of(arm)
    }


class _Expansion:
    """Makes each (stage, arm, seed, member) once, so that a DAG's nodes are shared objects."""

    def __init__(self, paper: "Paper", tree: dict[str, Any], profile: str) -> None:
        self.paper, self.tree, self.profile = paper, tree, profile
        self._made: dict[tuple[str, str, int | None, int], RunSpec] = {}

    def runs(self, stage: str, arm: str, seeds: Iterable[int]) -> list[RunSpec]:
        self.paper.check_stage(arm, stage)
        self.paper.arm(arm, self.profile)
        chosen = [None] if stage == "data" else list(seeds)
        return [self._run(stage, arm, seed, member)
                for seed in chosen for member in range(self._members(stage, arm))]

    def _members(self, stage: str, arm: str) -> int:
        """Only training stages have members: data is common to them, eval joins them."""
        return self.paper.arm(arm).members if trains(stage) else 1

    def _run(self, stage: str, arm: str, seed: int | None, member: int) -> RunSpec:
        place = (stage, arm, seed, member)
        if place not in self._made:
            section = self._section(stage, arm)
            self._made[place] = RunSpec(
                stage=stage,
                entry=section["config"]["_fn"],
                config=section["config"],
                code=section["code"],
                versions=self.tree["versions"] | section.get("versions", {}),
                numerics=self.tree["numerics"],
                epoch=self.tree["epoch"],
                seed=seed,
                member=member,
                inputs={s: self._inputs(stage, s, source, arm, seed, member)
                        for s, source in self._upstream(stage, arm).items()},
                paper=self.paper.slug,
                profile=self.profile,
                arm=arm,
                members=self._members(stage, arm),
                resources=self.paper.resources_of(self.profile, stage),
            )
        return self._made[place]

    def _section(self, stage: str, arm: str) -> dict[str, Any]:
        arms = self.tree.get("arms", {})
        section = arms.get(arm, {}).get(stage)
        if section is None:
            from repro.naming import nearest

            raise UserError(f"papers/{self.paper.slug}/resolved/{self.profile}/ has no "
                            f"arms.{arm}.{stage}{nearest(arm, arms) if arm not in arms else ''}; "
                            f"run `repro resolve {self.paper.slug}`")
        return section

    def _upstream(self, stage: str, arm: str) -> dict[str, str]:
        """Return stage -> providing arm: the data, and of the others only the one just before (what
        it holds already depends on the earlier ones)."""
        found = self.paper.upstream(arm, stage)
        last = list(found)[-1:]
        return {s: source for s, source in found.items() if s == "data" or s in last}

    def _inputs(
        self, stage: str, upstream: str, source: str, arm: str, seed: int | None, member: int
    ) -> tuple[RunSpec, ...]:
        if upstream == "data":
            return (self._run("data", source, None, 0),)
        there = self._members(upstream, source)
        if not trains(stage):
            return tuple(self._run(upstream, source, seed, m) for m in range(there))
        if member >= there:
            raise UserError(f"{self.paper.slug}: arms.{arm}.members: {stage} needs "
                            f"{upstream} of member {member}, but arm {source!r} has {there}")
        return (self._run(upstream, source, seed, member),)


def closure(specs: Iterable[RunSpec]) -> dict[str, list[RunSpec]]:
    """Return every run needed, upstream first: key -> the specs that ask for it (one per arm)."""
    found: dict[str, list[RunSpec]] = {}
    seen: set[int] = set()

    def visit(spec: RunSpec) -> None:
        if id(spec) in seen:
            return
        seen.add(id(spec))
        for one in spec.upstream:
            visit(one)
        found.setdefault(spec.key, []).append(spec)

    for spec in specs:
        visit(spec)
    return found
