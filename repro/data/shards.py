"""The data artefact on disk: token corpora, encoded tasks, and a manifest that guards every byte.

Everything is npy (memory-mapped, no objects) and JSON. Readers check sha256 against manifest.json,
once per file and process.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from repro.errors import UserError
from repro.text.tokenizer import VocabInfo, load_vocab

MANIFEST = "manifest.json"
STORED = "MANIFEST.json"  # the store's own list, put beside ours when a run has finished
SPLITS = ("train", "dev", "test")
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Corpus:
    """Tokenised documents, joined. tokens (n,) uint16 | uint32: every document ends in [SEP];
    document i is tokens[offsets[i] : offsets[i + 1]]; offsets (n_documents + 1,) int64."""

    name: str
    tokens: np.ndarray
    offsets: np.ndarray
    vocab: VocabInfo
    meta: dict[str, Any]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def document(self, index: int) -> np.ndarray:
        """Return the ids of one document, its closing [SEP] included."""
        return self.tokens[self.offsets[index] : self.offsets[index + 1]]


@dataclass(frozen=True)
class Split:
    """input_ids (N, T) uint16 | uint32, padded, with [CLS] and [SEP]; segments (N, T) uint8;
    labels (N,) int64, (N,) float32, or (N, T) int64 with -100 where there is no label."""

    input_ids: np.ndarray
    segments: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.input_ids)


@dataclass(frozen=True)
class TaskArrays:
    """One encoded task. info: the content of task.json (kind, labels, metrics, primary, ...)."""

    info: dict[str, Any]
    train: Split
    dev: Split
    test: Split
    vocab: VocabInfo


def write_json(path: Path, data: Any) -> None:
    """Write JSON with sorted keys, two spaces and a final newline: the same bytes every time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def write_corpus(
    folder: Path, documents: Iterable[np.ndarray], dtype: np.dtype, meta: Mapping[str, Any]
) -> dict[str, Any]:
    """Write documents (1-D id arrays) to folder as they come and return the meta.json written.

    Memory stays at one document and the offsets. Raises UserError if there is no document.
    """
    folder.mkdir(parents=True, exist_ok=True)
    offsets = [0]
    with open(folder / "tokens.npy", "wb") as file:
        _header(file, dtype, 0)
        for document in documents:
            file.write(np.ascontiguousarray(document, dtype=dtype).data)
            offsets.append(offsets[-1] + len(document))
        file.seek(0)
        _header(file, dtype, offsets[-1])
    if offsets[-1] == 0:
        raise UserError(f"corpus {folder.name}: empty (no document left to write)")
    np.save(folder / "offsets.npy", np.asarray(offsets, dtype=np.int64), allow_pickle=False)
    full = {**meta, "documents": len(offsets) - 1, "tokens": offsets[-1]}
    write_json(folder / "meta.json", full)
    return full


def open_corpus(artefact: Path, name: str) -> Corpus:
    """Return a corpus of a data artefact, memory-mapped, after checking its files.

    Raises UserError naming a missing or corrupted file, or the corpora there are.
    """
    folder = _member(Path(artefact), "corpora", name)
    check(artefact, f"corpora/{name}", "tokenizer.json")
    return _open_corpus(folder, load_vocab(Path(artefact)))


def write_task(folder: Path, info: Mapping[str, Any], splits: Mapping[str, Split]) -> None:
    """Write task.json and the arrays of the three splits."""
    for name in SPLITS:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for field in ("input_ids", "segments", "labels"):
            array = np.ascontiguousarray(getattr(splits[name], field))
            np.save(folder / name / f"{field}.npy", array, allow_pickle=False)
    write_json(folder / "task.json", dict(info))


def open_task(artefact: Path, name: str) -> TaskArrays:
    """Return an encoded task of a data artefact, memory-mapped, after checking its files.

    Raises UserError naming a missing or corrupted file, or the tasks there are.
    """
    folder = _member(Path(artefact), "tasks", name)
    check(artefact, f"tasks/{name}", "tokenizer.json")
    info = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    splits = {
        split: Split(
            *(_array(folder / split / f"{field}.npy") for field in Split.__dataclass_fields__)
        )
        for split in SPLITS
    }
    return TaskArrays(info=info, vocab=load_vocab(Path(artefact)), **splits)


def names(artefact: Path, kind: str) -> list[str]:
    """Return the names of the `corpora` or `tasks` of a data artefact, sorted."""
    return sorted(path.name for path in (Path(artefact) / kind).glob("*"))


def write_manifest(artefact: Path) -> None:
    """Write manifest.json: relative path -> sha256 of every other file in the artefact."""
    files = sorted(path for path in artefact.rglob("*") if path.is_file() and path.name != MANIFEST)
    digests = {path.relative_to(artefact).as_posix(): sha256(path) for path in files}
    write_json(artefact / MANIFEST, digests)


def check(artefact: Path, *parts: str) -> None:
    """Check files of an artefact against its manifest; parts: files or folders, none = all.

    Raises UserError naming the first file that is missing, truncated, altered or not listed.
    """
    artefact = Path(artefact)
    path = artefact / MANIFEST
    try:
        digests: dict[str, str] = dict(json.loads(path.read_text(encoding="utf-8")).items())
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: missing or unreadable; run the data stage again") from error
    present = [one.relative_to(artefact).as_posix() for one in artefact.rglob("*") if one.is_file()]
    for name in sorted({*digests, *present} - {MANIFEST, STORED}):
        if not parts or any(name == part or name.startswith(f"{part}/") for part in parts):
            if name not in digests:
                raise UserError(f"{artefact / name}: not in {MANIFEST}; run the data stage again")
            _check_file(artefact / name, digests[name])


def sha256(path: Path) -> str:
    """Return the hex digest of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest()


def _check_file(path: Path, expected: str) -> None:
    try:
        stat = os.stat(path)
    except OSError as error:
        raise UserError(f"{path}: missing; run the data stage again") from error
    found = _digest(str(path), stat.st_size, stat.st_mtime_ns)
    if found != expected:
        raise UserError(
            f"{path}: corrupted (sha256 {found[:12]}, expected {expected[:12]}); "
            "delete this artefact and run the data stage again"
        )


@lru_cache(maxsize=4096)
def _digest(path: str, size: int, mtime_ns: int) -> str:
    return sha256(Path(path))


def _member(artefact: Path, kind: str, name: str) -> Path:
    folder = artefact / kind / name
    if not folder.is_dir():
        known = ", ".join(names(artefact, kind)) or "none"
        raise UserError(f"{kind} '{name}': not in {artefact}; there are {known}")
    return folder


def _open_corpus(folder: Path, vocab: VocabInfo) -> Corpus:
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    tokens, offsets = _array(folder / "tokens.npy"), _array(folder / "offsets.npy")
    if offsets[-1] != len(tokens):
        raise UserError(f"{folder}: offsets.npy ends at {offsets[-1]}, tokens.npy at {len(tokens)}")
    return Corpus(folder.name, tokens, offsets, vocab, meta)


def _array(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a readable npy file: {error}") from error


def _header(file: BinaryIO, dtype: np.dtype, length: int) -> None:
    # numpy pads the header for growth of the first axis, so its size does not depend on length.
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    fields = {"descr": descr, "fortran_order": False, "shape": (length,)}
    np.lib.format.write_array_header_1_0(file, fields)
