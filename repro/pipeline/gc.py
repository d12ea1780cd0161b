"""`repro gc`: delete from the store what nothing refers to any more.

Kept: runs whose artefact lies in the workspace or behind a dvc.lock, runs of living jobs and those
they read, and the runs asked for last (DVC may not have recorded them yet; unfinished ones have
checkpoints). Of finished runs the checkpoints go always, and so does what was quarantined.
"""

import json
from collections.abc import Iterable, Iterator
from configparser import ConfigParser
from configparser import Error as ConfigError
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from repro import yaml
from repro.errors import UserError
from repro.pipeline import files, plans, snapshot
from repro.pipeline.launch import fleet_of
from repro.pipeline.status import state_of
from repro.pipeline.store import MANIFEST, Entry, Store
from repro.settings import Settings


@dataclass(frozen=True)
class Collected:
    """runs: labels of the deleted runs. bytes_freed: 0 for what is hard-linked elsewhere too."""

    runs: list[str]
    other: list[str]
    kept: int
    bytes_freed: int
    dry_run: bool

    def json(self) -> dict[str, Any]:
        return asdict(self)


def gc(settings: Settings, dry_run: bool = False) -> Collected:
    """Collect garbage in the store; dry_run: only say what would go."""
    store = Store(settings.store)
    fleet = fleet_of(store)
    with store.submitting():
        entries = list(store.entries())
        live = {e.key for e in entries if state_of(e, fleet) in ("running", "queued")}
        keep = live | _inputs(store, live) | {run.key for run in plans.read(store)}
        keep |= {*_in_workspace(settings.root), *_behind_dvc(settings.root)}
        gone = [entry for entry in entries if entry.key not in keep]
        living = [job for job in store.jobs() if fleet.look(job).state != "gone"]
        names = {name for job in living for name in (job["name"], job["folder"])}
        other = [e.checkpoints for e in entries if e.key in keep and e.is_done]
        other += (store.root / "quarantine").glob("*")
        other += [path for path in (store.root / "jobs").iterdir()
                  if path.name.removesuffix(".json") not in names]
        roots = {(store.entry(key).read("request") or {}).get("root") for key in live}
        other += [path for path in snapshot.folder(store).glob("*") if str(path) not in roots]
        other = [path for path in other if path.exists()]
        labels = [_label(entry) for entry in gone]
        doomed = [entry.dir for entry in gone] + other
        freed = sum(map(_freed, doomed))
        if not dry_run:
            for path in doomed:
                files.remove(path)
    kept = len(entries) - len(gone)
    return Collected(labels, [str(path) for path in other], kept, freed, dry_run)


def render(found: Collected) -> str:
    """Return what went, or would go, one line each, and the sum."""
    verb = "would delete" if found.dry_run else "deleted"
    lines = [f"{verb} {name}" for name in (*found.runs, *found.other)]
    lines.append(f"{verb} {len(found.runs)} runs and {len(found.other)} other items, "
                 f"{found.bytes_freed / 1e6:,.1f} MB; kept {found.kept} runs")
    return "\n".join(lines)


def _label(entry: Entry) -> str:
    return f"{(entry.read('request') or {}).get('label', '?')} ({entry.dir.name})"


def _inputs(store: Store, keys: Iterable[str]) -> set[str]:
    """Return the keys of all runs that some runs read, directly or not."""
    found: set[str] = set()
    todo = list(keys)
    while todo:
        request = store.entry(todo.pop()).read("request") or {}
        for inputs in request.get("ingredients", {}).get("inputs", {}).values():
            todo += [key for key in inputs if key not in found]
            found |= set(inputs)
    return found


def _in_workspace(root: Path) -> Iterator[str]:
    """Yield the keys of the artefacts below papers/*/out."""
    for path in root.glob(f"papers/*/out/**/{MANIFEST}"):
        with suppress(UserError):
            yield _key(files.read_json(path))


def _behind_dvc(root: Path) -> Iterator[str]:
    """Yield the keys of the artefacts that a dvc.lock of the workspace holds in DVC's cache."""
    cache = dvc_cache(root) / "files" / "md5"
    for lock in root.glob("papers/*/dvc.lock"):
        stages = (yaml.load(lock) or {}).get("stages", {})
        for out in (out for stage in stages.values() for out in stage.get("outs", ())):
            digest = out.get("md5", "")
            if not digest.endswith(".dir"):
                continue
            with suppress(OSError, ValueError):
                listing = json.loads((cache / digest[:2] / digest[2:]).read_text())
                for item in listing:
                    if Path(item["relpath"]).name == MANIFEST:
                        held = cache / item["md5"][:2] / item["md5"][2:]
                        yield _key(json.loads(held.read_text()))


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


def _key(manifest: Any) -> str:
    return manifest.get("key", "") if isinstance(manifest, dict) else ""


def _freed(path: Path) -> int:
    """Return the bytes that deleting a path gives back: those with no link elsewhere."""
    found = [path] if path.is_file() else [path / name for name in _names(path)]
    total = 0
    for file in found:
        with suppress(FileNotFoundError):
            stat = file.lstat()
            total += stat.st_size if stat.st_nlink == 1 else 0
    return total


def _names(folder: Path) -> list[str]:
    with suppress(UserError):
        return files.tree(folder)
    return []
