"""`repro doctor`: is this machine fit to run the suite, and if not, what to do."""

import errno
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from repro.pipeline import files
from repro.pipeline.lockfiles import dvc_cache
from repro.settings import Settings
from repro.train.determinism import NUMERICS_ENV

_WANTED_DVC = {("core", "analytics"): "false", ("core", "check_update"): "false",
               ("core", "autostage"): "false"}
_LITTLE_GB = 5.0
_PROBE = ("import json, torch; print(json.dumps([torch.__version__, "
          "torch.backends.cpu.get_cpu_capability()]))")

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """One thing looked at. advice: what to do unless ok."""

    name: str
    level: Level
    found: str
    advice: str = ""


def doctor(settings: Settings) -> list[Finding]:
    """Return what was found, in the order looked at. Takes seconds: torch is loaded once."""
    return [finding for check in _CHECKS for finding in check(settings)]


def render(findings: list[Finding]) -> str:
    """Return one line per finding."""
    width = max(len(one.name) for one in findings)
    return "\n".join(
        f"{one.level:<7}  {one.name:<{width}}  {one.found}"
        + (f"; {one.advice}" if one.advice else "") for one in findings
    )


def as_json(findings: list[Finding]) -> list[dict[str, Any]]:
    return [asdict(one) for one in findings]


def _python(_: Settings) -> Iterator[Finding]:
    here = sys.version.split()[0]
    fits = sys.version_info[:2] == (3, 11)
    yield Finding("python", "ok" if fits else "error", here, "" if fits else "install Python 3.11")


def _cores(settings: Settings) -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    too_many = settings.workers > cores
    yield Finding("cores", "warning" if too_many else "ok",
                  f"{cores} cores, {memory:.0f} GB, {settings.workers} workers",
                  f"set workers to {cores}: each run has one thread" if too_many else "")


def _torch(settings: Settings) -> Iterator[Finding]:
    """torch as a job would load it: the pinned instruction set must be what it reports."""
    numerics = settings.suite.numerics
    done = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, text=True,
                          env=os.environ | NUMERICS_ENV[numerics], check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        yield Finding("torch", "error", last, "install requirements.lock")
        return
    version, capability = done.stdout.strip().strip("[]").replace('"', "").split(", ")
    yield Finding("torch", "ok", version)
    pinned = numerics == "native" or capability == "AVX2"
    yield Finding("numerics", "ok" if pinned else "error", f"{numerics}: {capability}",
                  "" if pinned else "this CPU lacks AVX2: set suite.numerics to native; bytes will "
                                    "differ from those of other machines")


def _yaml(_: Settings) -> Iterator[Finding]:
    there = importlib.util.find_spec("_ruamel_yaml") is not None
    yield Finding("ruamel.yaml.clib", "ok" if there else "warning",
                  metadata.version("ruamel.yaml.clib") if there else "missing",
                  "" if there else "pip install ruamel.yaml.clib: DVC needs a third less CPU time")


def check_store(settings: Settings) -> Iterator[Finding]:
    """Yield whether the store can be written, locked and linked from."""
    probe = settings.store / f".doctor.{os.getpid()}"
    try:
        settings.store.mkdir(parents=True, exist_ok=True)
        files.write_text(probe, "probe")
        with files.locked(probe, wait_s=0) as held:
            works = held and files.is_locked(probe)
        yield Finding("store", "ok" if works else "error", f"{settings.store}: writable",
                      "" if works else "locks do not work on this file system: set another store")
        free = shutil.disk_usage(settings.store).free / 2**30
        yield Finding("disk", "ok" if free > _LITTLE_GB else "warning", f"{free:.0f} GB free",
                      "" if free > _LITTLE_GB else "free some: `repro store gc`")
        for name, folder in (("workspace", settings.root / "papers"),
                             ("DVC cache", dvc_cache(settings.root))):
            yield _links(name, probe, folder)
    except (OSError, ValueError) as error:
        yield Finding("store", "error", f"{settings.store}: {error}", "set another store")
    finally:
        with suppress(OSError):
            probe.unlink()


def _links(name: str, probe: Path, folder: Path) -> Finding:
    """Try a hard link from the store to a folder, or to the nearest parent that exists."""
    while not folder.exists():
        folder = folder.parent
    target = folder / probe.name
    try:
        os.link(probe, target)
        target.unlink()
    except OSError as error:
        reason = "another file system" if error.errno == errno.EXDEV else str(error.strerror)
        return Finding(f"links to {name}", "warning", f"{folder}: {reason}",
                       "artefacts are copied: put the store on the same file system")
    return Finding(f"links to {name}", "ok", "hard links work")


def _dvc(settings: Settings) -> Iterator[Finding]:
    path = settings.root / ".dvc" / "config"
    if not path.is_file():
        yield Finding("dvc", "error", f"no {path}", "run `dvc init` (or `dvc init --no-scm`)")
        return
    config = ConfigParser()
    config.read(path)
    wrong = [f"{section}.{key} {value}" for (section, key), value in _WANTED_DVC.items()
             if config.get(section, key, fallback="").strip('"') != value]
    links = config.get("cache", "type", fallback="").strip('"')
    if "hardlink" not in links:
        wrong.append("cache.type reflink,hardlink,symlink")
    version = metadata.version("dvc")
    yield Finding("dvc", "warning" if wrong else "ok", version,
                  "; ".join(f"dvc config {one}" for one in wrong))


def _assets(settings: Settings) -> Iterator[Finding]:
    there = settings.assets.is_dir() and any(settings.assets.iterdir())
    yield Finding("assets", "ok" if there else "warning",
                  f"{settings.assets}: {'present' if there else 'empty'}",
                  "" if there else "get them with `repro data fetch`")


def _nodes(settings: Settings) -> Iterator[Finding]:
    if settings.executor != "slurm":
        return
    from repro.pipeline.nodes import look_around

    found: list[Finding] = []
    look_around(settings, lambda *facts: found.append(Finding(*facts)))
    yield from found


_CHECKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    _python, _cores, _torch, _yaml, check_store, _dvc, _assets, _nodes,
)
