"""The runs that a paper's dvc.lock needs, in the working tree and in the last commit.

Two witnesses, since either may be missing: the keys of what the settings beside the lock file
(resolved/, paper.yaml) mean, and the manifests that DVC's cache holds for its outs.
"""

import json
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from configparser import ConfigParser
from configparser import Error as ConfigError
from contextlib import suppress
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

from repro import yaml
from repro.config import resolved
from repro.errors import UserError
from repro.paper import Paper
from repro.pipeline.spec import expand_all
from repro.pipeline.store import MANIFEST

_READ = ("papers/*/dvc.lock", "papers/*/paper.yaml", "papers/*/*.gin",
         "papers/*.gin", "papers/*/resolved/*/*")


def keys(root: Path) -> dict[str, str]:
    """Return run key -> which lock file needs it (`electra` or `electra at HEAD`).

    Raises UserError when a lock file cannot be understood: nothing may be deleted then.
    """
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        for where, note in ((Path(folder), " at HEAD"), (root, "")):
            if where != root and not _last_commit(root, where):
                continue
            try:
                for lock in sorted(where.glob("papers/*/dvc.lock")):
                    for key in _needed(lock, where, dvc_cache(root)):
                        found[key] = f"{lock.parent.name}{note}"
            except UserError as error:
                text = str(error).replace(f"{where}/", "")
                raise UserError(f"{text}{note}: what dvc.lock needs is not known") from error
    return found


def dvc_cache(root: Path) -> Path:
    """Return DVC's cache directory, as its configuration files say."""
    chosen = root / ".dvc" / "cache"
    for name in ("config", "config.local"):
        config = ConfigParser()
        with suppress(OSError, ConfigError):
            config.read(root / ".dvc" / name)
            if config.has_option("cache", "dir"):
                chosen = root / ".dvc" / config.get("cache", "dir")
    return chosen


def key_of(manifest: Any) -> str:
    """Return the key that the manifest of an artefact names, "" if it names none."""
    key = manifest.get("key") if isinstance(manifest, dict) else None
    return key if isinstance(key, str) else ""


def _last_commit(root: Path, target: Path) -> bool:
    """Write what matters of the last commit into a folder; return False where there is none."""
    listed = _git(root, "ls-tree", "-r", "--name-only", "HEAD")
    names = [name for name in listed.stdout.decode(errors="replace").splitlines()
             if any(PurePosixPath(name).match(pattern) for pattern in _READ)]
    if listed.returncode or not any(name.endswith("dvc.lock") for name in names):
        return False
    done = _git(root, "archive", "--format=tar", "HEAD", "--", *names)
    if done.returncode:
        raise UserError(f"git archive: {done.stderr.decode(errors='replace').strip()}")
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        archive.extractall(target, filter="data")
    return True


def _git(root: Path, *command: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", "-C", str(root), *command], capture_output=True, check=False)
    except FileNotFoundError:
        return subprocess.CompletedProcess(command, 127, b"", b"git is not installed")


def _needed(lock: Path, root: Path, cache: Path) -> Iterator[str]:
    content = yaml.load(lock)
    stages = content.get("stages") if isinstance(content, dict) else None
    if not isinstance(stages, dict):
        raise UserError(f"{lock}: stages: must be a mapping of stages")
    cells: dict[str, set[tuple[str, str]]] = {}
    for stage in stages.values():
        for out in stage.get("outs") or () if isinstance(stage, dict) else ():
            match PurePosixPath(str(out.get("path"))).parts:
                case ("out", profile, arm, stage_name):
                    cells.setdefault(profile, set()).add((stage_name, arm))
                    yield from _behind_cache(str(out.get("md5")), cache)
    paper = Paper.load(lock.parent) if cells else None
    for profile, wanted in cells.items():
        if paper is None or profile not in paper.profiles:
            continue
        tree = resolved.load(resolved.path_of(root, paper.slug, profile))
        runs = expand_all(paper, tree, profile, tree["seeds"])
        for cell in wanted & runs.keys():
            yield from (spec.key for spec in runs[cell])


def _behind_cache(digest: str, cache: Path) -> Iterator[str]:
    """Yield the keys of the manifests in a directory that DVC's cache holds."""
    if not digest.endswith(".dir"):
        return
    files = cache / "files" / "md5"
    with suppress(OSError, ValueError, KeyError, TypeError):
        for item in json.loads((files / digest[:2] / digest[2:]).read_text(encoding="utf-8")):
            if PurePosixPath(item["relpath"]).name == MANIFEST:
                held = files / item["md5"][:2] / item["md5"][2:]
                yield key_of(json.loads(held.read_text(encoding="utf-8")))
