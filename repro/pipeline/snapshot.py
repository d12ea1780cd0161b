"""A copy of the suite's code as it is now, for jobs that later edits must not reach."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from repro.pipeline import files
from repro.pipeline.store import Store

_OF_PAPERS = (".py", ".gin", ".yaml")


def take(root: Path, store: Store) -> Path:
    """Return a directory of the store that holds the package and the papers' code of `root` as they
    are now; the same content is copied once. Raises UserError when the disk is full."""
    found = dict(_code(root))
    digests = {name: files.sha256(path) for name, path in sorted(found.items())}
    text = "\n".join(f"{digest} {name}" for name, digest in digests.items())
    target = folder(store) / hashlib.sha256(text.encode()).hexdigest()[:16]
    if target.is_dir():
        return target
    scratch = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    for name, path in found.items():
        copy = scratch / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    files.replace_tree(scratch, target)
    return target


def folder(store: Store) -> Path:
    """Return where a store keeps its copies of the code."""
    return store.root / "snapshots"


def _code(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield (name in the copy, file) of all a job may import or read beside its request."""
    own = root / "repro"
    package = own if own.is_dir() else Path(__file__).parents[1]
    for name in files.tree(package):
        if "__pycache__" not in name:
            yield f"repro/{name}", package / name
    papers = root / "papers"
    for path in (*papers.glob("*"), *papers.glob("*/*")):
        if path.suffix in _OF_PAPERS and path.is_file():
            yield f"papers/{path.relative_to(papers).as_posix()}", path
