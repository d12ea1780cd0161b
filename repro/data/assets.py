"""Embedded data as readers see it: what is registered, where it lies, and its checked bytes.

The registry is assets.yaml beside this file; `repro.data.fetching` fills the cache.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

from repro import yaml
from repro.errors import UserError
from repro.naming import nearest

REGISTRY = Path(__file__).with_name("assets.yaml")
KINDS = {"pypi": ("wheel", "sdist"), "npm": ("npm",), "apt": ("deb",)}
MANIFEST = "asset.json"
_used: ContextVar[dict[str, dict[str, str]] | None] = ContextVar("assets in use", default=None)


@dataclass(frozen=True, kw_only=True)
class Asset:
    """One entry of assets.yaml. sha256: of the archive, lower-case hex. members: globs kept."""

    name: str
    registry: str
    version: str
    kind: str
    sha256: str
    members: tuple[str, ...]
    licence: str
    redistribute: bool
    used_for: str
    counts: Mapping[str, int]

    @property
    def folder(self) -> str:
        """The name of its folder in the cache."""
        return f"{self.name.strip('@').replace('/', '-')}-{self.version}-{self.sha256[:8]}"


def load_registry(path: Path = REGISTRY) -> dict[str, Asset]:
    """Return name -> asset. Raises UserError naming the file, the asset and the bad field."""
    entries = yaml.load(path)
    if not isinstance(entries, dict):
        raise UserError(f"{path}: must map asset names to their fields")
    return {name: _asset(path, name, fields) for name, fields in entries.items()}


def cache_dir(cache: Path | str | None = None) -> Path:
    """Return the folder of fetched assets: the argument, $REPRO_ASSETS or ~/.cache/repro/assets."""
    chosen = cache or os.environ.get("REPRO_ASSETS") or "~/.cache/repro/assets"
    return Path(chosen).expanduser()


@lru_cache(maxsize=1)
def registered() -> dict[str, Asset]:
    """Return the suite's own registry."""
    return load_registry()


def find(name: str) -> Asset:
    """Return a registered asset. Raises UserError with the nearest names."""
    assets = registered()
    if name not in assets:
        raise UserError(f"asset '{name}': not in assets.yaml{nearest(name, assets)}")
    return assets[name]


def manifest(asset: Asset, cache: Path | str | None = None) -> dict[str, Any] | None:
    """Return what was extracted (members: path -> sha256), None if not fetched as now listed."""
    try:
        found = json.loads((cache_dir(cache) / asset.folder / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    same = found.get("sha256") == asset.sha256 and found.get("globs") == list(asset.members)
    return found if same else None


def path(name: str, version: str | None = None, cache: Path | str | None = None) -> Path:
    """Return the folder of a fetched asset.

    Raises UserError if it is not registered in this version, or not fetched (with the command).
    """
    asset = find(name)
    if version not in (None, asset.version):
        raise UserError(f"asset '{name}': version {version} asked, {asset.version} registered")
    if manifest(asset, cache) is None:
        raise UserError(
            f"asset '{name}' {asset.version} ({asset.licence}) is not in {cache_dir(cache)}; "
            f"fetch it once with network: repro data fetch {name}"
        )
    if (used := _used.get()) is not None:
        used[name] = {"version": asset.version, "sha256": asset.sha256}
    return cache_dir(cache) / asset.folder


def members(name: str, glob: str, version: str | None = None) -> list[str]:
    """Return the members of a fetched asset that match a glob, sorted. At least one, or UserError.

    A member is addressed by its path inside the archive.
    """
    path(name, version)
    known = (manifest(find(name)) or {})["members"]
    chosen = sorted(member for member in known if fnmatchcase(member, glob))
    if not chosen:
        raise UserError(f"asset '{name}': no member {glob}; there are {', '.join(known)}")
    return chosen


def read(name: str, glob: str, version: str | None = None) -> bytes:
    """Return the bytes of the only member that matches, checked against its sha256.

    Raises UserError if it is not fetched, not unique, or altered since.
    """
    chosen = members(name, glob, version)
    if len(chosen) != 1:
        raise UserError(f"asset '{name}': {glob} is not one member but {len(chosen)}")
    return read_member(name, chosen[0], version)


def read_member(name: str, member: str, version: str | None = None) -> bytes:
    """Return the bytes of one member by its full path. Raises UserError as `read` does."""
    folder = path(name, version)
    expected = (manifest(find(name)) or {})["members"][member]
    try:
        content = (folder / member).read_bytes()
    except OSError as error:
        raise UserError(f"{folder / member}: {error.strerror}; {_again(name)}") from error
    if hashlib.sha256(content).hexdigest() != expected:
        raise UserError(f"{folder / member}: altered since it was fetched; {_again(name)}")
    return content


@contextmanager
def recorded() -> Iterator[dict[str, dict[str, str]]]:
    """Collect what is asked for inside the block: asset name -> version, sha256 of its archive."""
    used: dict[str, dict[str, str]] = {}
    token = _used.set(used)
    try:
        yield used
    finally:
        _used.reset(token)


def _again(name: str) -> str:
    return f"fetch it again: repro data fetch --force {name}"


def _asset(path: Path, name: str, fields: Any) -> Asset:
    wanted = set(Asset.__dataclass_fields__) - {"name"}
    if not isinstance(fields, dict) or set(fields) != wanted:
        given = set(fields) if isinstance(fields, dict) else set()
        wrong = sorted(wanted ^ given)
        raise UserError(f"{path}: {name}: missing or unknown fields: {', '.join(wrong)}")
    asset = Asset(name=name, **{**fields, "members": tuple(fields["members"])})
    if asset.kind not in KINDS.get(asset.registry, ()):
        raise UserError(f"{path}: {name}: kind {asset.kind} does not belong to {asset.registry}")
    if len(asset.sha256) != 64 or not isinstance(asset.version, str):
        raise UserError(f"{path}: {name}: sha256 needs 64 hex digits, version must be text")
    return asset
