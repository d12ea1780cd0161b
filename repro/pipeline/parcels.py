"""A finished run as a remote holds it: one JSON file that names its key's ingredients and the
SHA-256 of each of its files. Nothing of it is believed before it is checked."""

import json
import math
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from repro.errors import UserError
from repro.pipeline import records
from repro.pipeline.spec import digest
from repro.pipeline.store import MANIFEST, Entry

MOST_BYTES = 16 << 20  # of the JSON file
_SHAPE: dict[str, records.Kind] = {
    "key": str, "label": str, "paper": str, "profile": str, "arm": str, "ingredients": dict,
    "files": records.FILES, "run": dict,
}
_LONGEST = 4096  # characters of a text in it
_APART = ("key", "label", "ingredients", "outputs")  # of run.json: the parcel says them itself
_HERE = ("seeded_from", "pulled_from")  # of run.json: places on this machine


@dataclass(frozen=True)
class Parcel:
    """files: name -> {sha256, bytes}. run: what run.json says beside the digests."""

    key: str
    label: str
    paper: str
    profile: str
    arm: str
    ingredients: dict[str, Any]
    files: dict[str, dict[str, Any]]
    run: dict[str, Any]

    @property
    def record(self) -> dict[str, Any]:
        """What run.json holds, but for the digests of the outputs."""
        return {"key": self.key, "label": self.label, "ingredients": self.ingredients, **self.run}

    @property
    def digests(self) -> dict[str, str]:
        """File -> sha256."""
        return {name: facts["sha256"] for name, facts in self.files.items()}

    @property
    def bytes(self) -> int:
        return sum(facts["bytes"] for facts in self.files.values())


def place(key: str) -> str:
    """Return the name of a run's file on a remote."""
    return f"runs/{key[:2]}/{key}.json"


def of_entry(entry: Entry) -> Parcel:
    """Return the parcel of a finished run of the store. Raises UserError if its records are bad."""
    request, done, run = (entry.read(name) or {} for name in ("request", "done", "run"))
    content = {name: request.get(name) for name in ("key", "label", "paper", "profile", "arm",
                                                    "ingredients")}
    files = {name: {"sha256": facts["sha256"], "bytes": facts["bytes"]}
             for name, facts in done.get("files", {}).items()}
    record = {name: value for name, value in run.items() if name not in (*_APART, *_HERE)}
    return _checked({**content, "files": files, "run": record}, entry.key, str(entry.dir))


def pack(parcel: Parcel) -> bytes:
    """Return the text that `unpack` reads."""
    content = vars(parcel)
    text = json.dumps({**content, "sha256": digest(content)}, sort_keys=True, ensure_ascii=False)
    return f"{text}\n".encode()


def unpack(data: bytes, key: str, where: str) -> Parcel:
    """Return the parcel in a text. Raises UserError unless it is whole, has the shape of one, the
    key it is stored under, ingredients with that key, and file names that stay inside."""
    try:
        content = json.loads(data.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not readable as JSON: {error}; not taken") from error
    parcel = _checked(content, key, where)
    if content.get("sha256") != digest(vars(parcel)):
        raise UserError(f"{where}: sha256: its content is not the one stored; not taken")
    return parcel


def _checked(content: Any, key: str, where: str) -> Parcel:
    records.check_fields(_SHAPE, content, where)
    parcel = Parcel(**{name: content[name] for name in _SHAPE})
    if not parcel.key == key == digest(parcel.ingredients):
        raise UserError(f"{where}: its ingredients do not have the key it is stored under; "
                        "not taken")
    folders = {folder.as_posix() for name in parcel.files for folder in PurePosixPath(name).parents}
    if not parcel.files or MANIFEST in parcel.files or folders & parcel.files.keys():
        raise UserError(f"{where}: files: must be those of an artefact; not taken")
    if odd := [name for name in (*_APART, *_HERE) if name in parcel.run]:
        raise UserError(f"{where}: run: {odd[0]} does not belong there; not taken")
    records.check("run", {**parcel.run, "outputs": parcel.digests}, f"{where}: run")
    if not _is_plain([parcel.label, parcel.paper, parcel.profile, parcel.arm, parcel.run]):
        raise UserError(f"{where}: a text in it has control characters, or is longer than "
                        f"{_LONGEST}; not taken")
    return parcel


def _is_plain(value: Any, depth: int = 0) -> bool:
    """Return whether a value from elsewhere may be shown at a terminal and on a page."""
    match value:
        case str():
            return len(value) <= _LONGEST and value.isprintable()
        case dict():
            return depth < 20 and all(_is_plain(key) and _is_plain(one, depth + 1)
                                      for key, one in value.items())
        case list():
            return depth < 20 and all(_is_plain(one, depth + 1) for one in value)
        case float():
            return math.isfinite(value)
        case _:
            return True


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no number")
