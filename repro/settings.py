"""Which runs (`params.yaml`) and where they run (machine settings), typed by OmegaConf.

`params.yaml` is tracked by DVC: `suite` (profiles, seeds, numerics, epoch) and gin bindings per
paper. Machine settings never enter a key; they come from, weakest first: the defaults here,
`.repro/settings.yaml`, `REPRO_*` in the environment, command-line flags.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from repro import yaml
from repro.errors import UserError

NUMERICS = ("portable", "universal", "native")
EXECUTORS = ("local", "slurm")
LOG_LEVELS = ("quiet", "info", "debug")


@dataclass
class Suite:
    """profiles, seeds: what `dvc repro` runs. numerics: how the CPU's instruction set is
    pinned, see `repro.train.determinism`. epoch: raise it to compute everything anew (part of every
    key)."""

    profiles: list[str] = field(default_factory=lambda: ["mini"])
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2, 3, 4])
    numerics: str = "portable"
    epoch: int = 1


@dataclass
class PaperParams:
    """overrides: gin bindings that win over the paper's files. numerics: not the suite's."""

    overrides: list[str] = field(default_factory=list)
    numerics: str | None = None


@dataclass
class Params:
    """The content of `params.yaml`."""

    suite: Suite = field(default_factory=Suite)
    papers: dict[str, PaperParams] = field(default_factory=dict)


@dataclass
class Machine:
    """Where runs go. cluster: a file of `slurm/clusters/`, for the executor `slurm`. snapshot: jobs
    run a copy of the code made when they were submitted. workers: runs side by side on this
    machine, 0 = one per core. store: finished runs by key. quota: bytes the store may have (20GB);
    over it, drivers delete what nothing needs; empty: no limit. assets: downloaded archives. Empty
    paths mean what the cluster file says, then the defaults of `load`."""

    executor: str = "local"
    cluster: str = ""
    snapshot: bool = False
    workers: int = 0
    store: str = ""
    quota: str = ""
    assets: str = ""
    log_level: str = "info"


@dataclass(frozen=True)
class Settings:
    """All settings, checked; paths absolute. root: the directory that holds `papers/`."""

    root: Path
    suite: Suite
    papers: dict[str, PaperParams]
    executor: str
    cluster: Path | None
    snapshot: bool
    workers: int
    store: Path
    quota: int | None
    assets: Path
    log_level: str

    def flags(self) -> dict[str, Any]:
        """Return the machine settings as arguments of `load`, for another process."""
        paths = ("cluster", "store", "assets")
        plain = {name: getattr(self, name) for name in Machine.__dataclass_fields__}
        return plain | {name: str(plain[name]) for name in paths if plain[name] is not None}

    def overrides(self, slug: str) -> list[str]:
        """Return the gin bindings `params.yaml` adds for one paper."""
        return list(self.papers[slug].overrides) if slug in self.papers else []

    def numerics(self, slug: str) -> str:
        """Return the numerics of one paper: its own, else the suite's."""
        return (self.papers[slug].numerics if slug in self.papers else None) or self.suite.numerics


def find_root(start: Path | str | None = None) -> Path:
    """Return the nearest directory at or above `start` (default: here) that holds `papers/`."""
    start = Path(start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "papers").is_dir():
            return folder
    raise UserError(f"{start}: no directory `papers` here or above; run inside the suite")


def load(root: Path | str | None = None, **flags: Any) -> Settings:
    """Return the settings of the suite at `root` (default: found from the working directory).

    flags: machine settings of the command line; None = not given. Raises UserError naming file,
    key and line for anything unknown, of the wrong type or out of range.
    """
    root = Path(root).resolve() if root is not None else find_root()
    params = load_params(root / "params.yaml")
    home = _home(root)
    machine = _load_machine(home, flags)
    cluster = _absolute(machine.cluster, home) if machine.cluster else None
    site = _site(cluster)
    return Settings(
        root=root,
        suite=params.suite,
        papers=params.papers,
        executor=machine.executor,
        cluster=cluster,
        snapshot=machine.snapshot,
        workers=machine.workers or len(os.sched_getaffinity(0)),
        store=_absolute(machine.store or site.get("store") or ".repro/store", home),
        quota=parse_bytes(machine.quota) if machine.quota else None,
        assets=_absolute(machine.assets or site.get("assets") or "~/.cache/repro/assets", home),
        log_level=machine.log_level,
    )


def _home(root: Path) -> Path:
    """Return where machine settings and the store are: the root, or, in the copy that `dvc exp run
    --temp` and queued experiments work in, the workspace it was made of (DVC says which)."""
    parent = Path(os.environ.get("DVC_ROOT") or root)
    return parent if root.is_relative_to(parent / ".dvc" / "tmp") else root


def load_params(path: Path) -> Params:
    """Return the checked content of `params.yaml` (defaults when there is no such file)."""
    if not path.exists():
        return Params()
    text = yaml.load(path)
    if "${" in path.read_text(encoding="utf-8"):
        raise UserError(f"{path}: no ${{...}} here: DVC would track the unresolved text")
    params = _typed(Params, text, path)
    suite = params.suite
    _require(path, "suite.numerics", suite.numerics, NUMERICS)
    for slug, found in params.papers.items():
        if found.numerics is not None:
            _require(path, f"papers.{slug}.numerics", found.numerics, NUMERICS)
    lists = {"suite.seeds": suite.seeds, "suite.profiles": suite.profiles} | {
        f"papers.{slug}.overrides": found.overrides for slug, found in params.papers.items()}
    for key, values in lists.items():  # OmegaConf lets lists in lists pass
        for index, value in enumerate(values):
            if isinstance(value, list | dict):
                raise misuse(path, f"{key}[{index}]", f"must be one value, not {value!r}")
    for key in ("seeds", "profiles"):
        values = getattr(suite, key)
        if not values or len(set(values)) < len(values):
            raise misuse(path, f"suite.{key}", f"must be distinct and not empty, got {values}")
    if min(suite.seeds) < 0:
        raise misuse(path, "suite.seeds", f"must be 0 or more, got {min(suite.seeds)}")
    return params


def _load_machine(root: Path, flags: Mapping[str, Any]) -> Machine:
    known = [f.name for f in fields(Machine)]
    file = root / ".repro" / "settings.yaml"
    content = yaml.load(file) if file.exists() else {}
    _typed(Machine, content, file)
    merged = dict(content or {})
    source = {key: file for key in merged}
    for name, value in os.environ.items():
        key = name.removeprefix("REPRO_").lower()
        if name.startswith("REPRO_") and key in known:
            merged[key], source[key] = value, Path(f"environment variable {name}")
    for key, value in flags.items():
        if key not in known:
            raise UserError(f"unknown setting {key!r}{_nearest(key, known)}")
        if value is not None:
            merged[key], source[key] = value, Path(f"--{key.replace('_', '-')}")
    machine = Machine()
    for key, value in merged.items():
        setattr(machine, key, getattr(_typed(Machine, {key: value}, source[key]), key))
    _require(source.get("executor"), "executor", machine.executor, EXECUTORS)
    _require(source.get("log_level"), "log_level", machine.log_level, LOG_LEVELS)
    if machine.workers < 0:
        raise misuse(source["workers"], "workers", f"must be 0 or more, got {machine.workers}")
    if machine.quota:
        try:
            parse_bytes(machine.quota)
        except UserError as error:
            raise misuse(source["quota"], "quota", str(error)) from error
    if machine.executor == "slurm" and not machine.cluster:
        raise misuse(source["executor"], "executor", "slurm needs `cluster`, a file such as "
                     "slurm/clusters/a100.yaml (setting, REPRO_CLUSTER or --cluster)")
    return machine


def parse_bytes(text: str) -> int:
    """Return the bytes that a text means: 500MB, 20 GB, 1.5TiB or a bare number. Raises
    UserError."""
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,6})?) ?([KMGT]?)(i?)B?", text.strip(), re.IGNORECASE)
    if match is None or (match[3] and not match[2]):
        raise UserError(f"must be a size such as 500MB, 20GB or 1.5TiB, not {text!r}")
    power = " KMGT".index(match[2].upper() or " ")
    return int(float(match[1]) * (1024 if match[3] else 1000) ** power)


def _site(cluster: Path | None) -> dict[str, Any]:
    """Return what a cluster file holds, unchecked; it is checked where jobs are submitted."""
    content = yaml.load(cluster) if cluster is not None and cluster.is_file() else None
    return content if isinstance(content, dict) else {}


def _typed(schema: type, content: Any, source: Path) -> Any:
    """Return `content` as an instance of a structured schema; raise UserError with key and line."""
    content = {} if content is None else content
    if not isinstance(content, Mapping):
        raise UserError(f"{source}: must be a mapping of keys, got {type(content).__name__}")
    content = {key: {} if value is None else value for key, value in content.items()}
    try:
        return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), content))
    except OmegaConfBaseException as error:
        key = error.full_key or ""
        parent = error.object_type
        if parent is not None and not hasattr(parent, "__dataclass_fields__"):
            parent = None
        if "not in" in str(error.msg) and parent is not None:
            known = [f.name for f in fields(parent)]
            wrong = f"unknown key {key.split('.')[-1]!r}{_nearest(key.split('.')[-1], known)}"
        else:
            wrong = " ".join(str(error.msg).partition("full_key:")[0].split())
        raise misuse(source, key, wrong) from error


def _require(source: Path | None, key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        wrong = f"must be one of {', '.join(allowed)}, got {value!r}"
        raise misuse(source or Path("settings"), key, wrong)


def misuse(source: Path, key: str, wrong: str) -> UserError:
    """Return the error that names file, line and key of a wrong setting."""
    line = line_of(source, key)
    shown = key if key.isprintable() else repr(key)
    return UserError(f"{source}{f':{line}' if line else ''}: {shown}: {wrong}")


def line_of(path: Path, key: str) -> int:
    """Return the line (from 1) of a dotted key in a YAML file, 0 when it is nowhere."""
    from repro.places import marked

    if not path.is_file():
        return 0
    node, line = marked(path.read_text(encoding="utf-8")), 0
    for part in key.replace("[", ".").replace("]", "").split("."):
        if isinstance(node, dict) and part in node:
            line, node = node.lc.key(part)[0] + 1, node[part]
        elif isinstance(node, list) and part.isdigit() and int(part) < len(node):
            line, node = node.lc.item(int(part))[0] + 1, node[int(part)]
    return line


def _nearest(name: str, allowed: list[str]) -> str:
    from repro.naming import nearest

    return nearest(name, allowed)


def _absolute(path: Path | str, root: Path) -> Path:
    return (root / Path(path).expanduser()).absolute()
