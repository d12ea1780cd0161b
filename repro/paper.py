"""A paper directory as an object: what `papers/<slug>/paper.yaml` says, checked.

Every mistake in the file is one line, `papers/<slug>/paper.yaml:<line>: <key>: <what is wrong>`.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr, ValidationError

from repro import yaml
from repro.data.assets import load_registry
from repro.errors import UserError
from repro.naming import nearest
from repro.places import marked
from repro.references import Location, problems
from repro.schema import FIELD_NAMES, PROFILES, Arm, Card, Claim, Resources, in_profile
from repro.settings import find_root

__all__ = ["PROFILES", "Arm", "Claim", "Paper", "Resources", "find_root"]

_SMOKE = Resources(minutes=5, pack=20)  # starting a job takes longer than its run


class Paper(Card):
    """One paper: the fields of `repro.schema.Card`, and where it lies."""

    _dir: Path = PrivateAttr()

    @property
    def dir(self) -> Path:
        return self._dir

    @property
    def root(self) -> Path:
        """The suite's root: the directory that holds `papers/`."""
        return self._dir.parent.parent

    @classmethod
    def load(cls, folder: Path | str) -> "Paper":
        """Return the paper in a directory. Raises UserError with file and line."""
        folder = Path(folder).resolve()
        file = folder / "paper.yaml"
        shown = f"{folder.parent.name}/{folder.name}/paper.yaml"
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{shown}: cannot be read: {error}") from error
        content = yaml.loads(text, shown)
        if not isinstance(content, dict):
            raise UserError(f"{shown}:1: must be a mapping of keys")
        found = []
        try:
            paper = cls.model_validate(content)
        except ValidationError as error:
            found = [(tuple(e["loc"]), _explain(e)) for e in error.errors()]
        else:
            paper._dir = folder
            found = list(problems(paper))
            found += _unknown_assets(paper)
            if paper.slug != folder.name:
                found.append((("slug",), f"{paper.slug!r} is not the directory's name"))
        if found:
            raise UserError(_first(shown, text, found))
        return paper

    @classmethod
    def find(cls, name: Path | str, root: Path | str | None = None) -> "Paper":
        """Return a paper by slug, or by path to its directory. Raises UserError if unknown."""
        folder = Path(name)
        if (folder / "paper.yaml").is_file():
            return cls.load(folder)
        root = find_root(root)
        slugs = [path.name for path in _folders(root)]
        if str(name) not in slugs:
            raise UserError(f"unknown paper {str(name)!r}{nearest(str(name), slugs)}")
        return cls.load(root / "papers" / str(name))

    @classmethod
    def all(cls, root: Path | str | None = None) -> "list[Paper]":
        """Return every paper of the suite by slug."""
        return [cls.load(folder) for folder in _folders(find_root(root))]

    @property
    def profiles(self) -> tuple[str, ...]:
        """The profiles this paper has a gin file for; smoke comes with mini."""
        there = [p for p in ("paper", "gpu", "mini") if (self.dir / f"{p}.gin").is_file()]
        return (*there, *(("smoke",) if "mini" in there else ()))

    def gin_files(self, profile: str) -> list[Path]:
        """Return the gin files of a profile, later ones override. Raises UserError if unknown."""
        self.check_profile(profile)
        if profile == "smoke":
            return [self.dir / "mini.gin", self.dir.parent / "smoke.gin"]
        return [self.dir / f"{profile}.gin"]

    def check_profile(self, profile: str) -> None:
        if profile not in self.profiles:
            raise UserError(f"{self.slug}: unknown profile {profile!r}"
                            f"{nearest(profile, self.profiles)}")

    def arms_of(self, profile: str) -> dict[str, Arm]:
        """Return the arms that exist in a profile, in the file's order."""
        return {n: arm for n, arm in self.arms.items() if in_profile(arm.profiles, profile)}

    def tasks_in(self, profile: str) -> tuple[str, ...]:
        """Return the names of the tasks that exist in a profile."""
        return tuple(n for n, task in self.tasks.items() if in_profile(task.profiles, profile))

    def arm(self, name: str, profile: str | None = None) -> Arm:
        """Return an arm. Raises UserError if unknown, or not part of the profile."""
        if name not in self.arms:
            raise UserError(f"{self.slug}: unknown arm {name!r}{nearest(name, self.arms)}")
        if profile is not None and name not in self.arms_of(profile):
            raise UserError(f"{self.slug}: arm {name!r} is not part of profile {profile!r}")
        return self.arms[name]

    def stages_of(self, arm: str) -> tuple[str, ...]:
        """Return the stages an arm runs itself, in the order of the paper's stages."""
        chosen = self.arm(arm).stages
        return tuple(s for s in self.stages if chosen is None or s in chosen)

    def limited(self, arms: Sequence[str], claims: Sequence[str]) -> "Paper":
        """Return this paper with some of its arms and claims only."""
        part = self.model_copy(update={
            "arms": {name: arm for name, arm in self.arms.items() if name in arms},
            "claims": tuple(claim for claim in self.claims if claim.id in claims),
        })
        part._dir = self._dir
        return part

    def check_stage(self, arm: str, stage: str) -> None:
        """Raise UserError unless the arm runs this stage itself."""
        self.arm(arm)
        if stage not in self.stages:
            raise UserError(f"{self.slug}: unknown stage {stage!r}{nearest(stage, self.stages)}")
        if stage not in self.stages_of(arm):
            raise UserError(f"{self.slug}: arm {arm!r} has no stage {stage!r}"
                            f" (it runs: {', '.join(self.stages_of(arm))})")

    def provider(self, arm: str, stage: str) -> str | None:
        """Return the arm whose runs of `stage` the arm `arm` uses: itself, one named under
        `inputs`, the one its inputs stem from, or None when the arm goes without that stage."""
        if stage in self.stages_of(arm):
            return arm
        inputs = self.arms[arm].inputs
        if stage in inputs:
            return inputs[stage]
        order = list(self.stages)
        later = [s for s in inputs if order.index(s) > order.index(stage)]
        return self.provider(inputs[later[0]], stage) if later else None

    def upstream(self, arm: str, stage: str) -> dict[str, str]:
        """Return the inputs of one stage of an arm: earlier stage -> the arm that provides it.

        These are the data and, of the others, the last one it has: that one holds what came before.
        """
        self.check_stage(arm, stage)
        earlier = list(self.stages)[: list(self.stages).index(stage)]
        found = {s: source for s in earlier if (source := self.provider(arm, s)) is not None}
        return {s: found[s] for s in found if s in ("data", list(found)[-1])}

    def resources_of(self, profile: str, stage: str) -> Resources:
        """Return what one run of a stage asks for; smoke has a default."""
        chosen = self.resources.get(profile, {}).get(stage)
        if chosen is None and profile != "smoke":
            raise UserError(f"{self.slug}: paper.yaml has no resources.{profile}.{stage}")
        return chosen or _SMOKE


def _unknown_assets(paper: Card) -> Iterator[tuple[Location, str]]:
    registry = load_registry()
    for profile, sources in paper.data.items():
        for index, source in enumerate(sources):
            if source.asset is not None and source.asset not in registry:
                hint = nearest(source.asset, registry)
                yield ("data", profile, index, "asset"), f"unknown asset {source.asset!r}{hint}"


def _folders(root: Path) -> list[Path]:
    return sorted(path.parent for path in (root / "papers").glob("*/paper.yaml"))


def _explain(error: dict[str, Any]) -> str:
    """Return one of pydantic's errors in our words."""
    kind, got = error["type"], error.get("input")
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        name = str(error["loc"][-1])
        return f"unknown key {name!r}{_near_only(name, FIELD_NAMES)}"
    message = error["msg"].replace("Input should be", "must be")
    if kind == "literal_error":
        allowed = re.findall(r"'([^']*)'", error["ctx"]["expected"])
        return f"{message}, not {got!r}{_near_only(str(got), allowed)}"
    if kind == "string_type" and isinstance(got, int | float):
        return f"must be text: write \"{got}\" in quotes"
    return f"{message[0].lower()}{message[1:]}, not {got!r}"


def _near_only(name: str, allowed: list[str]) -> str:
    hint = nearest(name, allowed)
    return hint if "did you mean" in hint else ""


def _first(shown: str, text: str, found: list[tuple[Location, str]]) -> str:
    """Return the message of the first problem in the file, with its line."""
    tree = marked(text)
    placed = [(*_place(tree, loc), message) for loc, message in found]
    # A misspelt key is also a missing one: the misspelling says more.
    placed.sort(key=lambda item: (item[2].startswith("is missing"), item[0]))
    line, path, message = placed[0]
    more = f" (and {len(placed) - 1} more)" if len(placed) > 1 else ""
    return f"{shown}:{line}: {path}: {message}{more}"


def _place(tree: Any, loc: Location) -> tuple[int, str]:
    """Return (line from 1, path as written) of a location. Parts that are not in the file (a
    union's tag, a missing key) do not move the line; a missing key stays in the path."""
    node, line, path = tree, 1, ""
    for position, part in enumerate(loc):
        if isinstance(node, dict) and part in node:
            line, node = node.lc.key(part)[0] + 1, node[part]
            path += f".{part}"
        elif isinstance(node, list) and isinstance(part, int) and part < len(node):
            line, node = node.lc.item(part)[0] + 1, node[part]
            path += f"[{part}]"
        elif isinstance(node, dict) and position == len(loc) - 1:
            path += f".{part}"
    return line, path.lstrip(".")


def iterate_cells(paper: Paper, profile: str) -> Iterator[tuple[str, str]]:
    """Yield (stage, arm) of everything a profile runs, stages in order: a topological order."""
    for stage in paper.stages:
        for arm in paper.arms_of(profile):
            if stage in paper.stages_of(arm):
                yield stage, arm
