"""A data artefact as parquet files that `datasets.load_dataset` reads: a configuration for each
corpus and each task."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from repro.data import shards
from repro.hub import cards
from repro.hub.cards import Origin

CHUNK = 10_000  # documents a row group


def write(artefact: Path, target: Path, origin: Origin) -> list[str]:
    """Write all corpora and tasks, the tokenizer and the card; return a line for each."""
    target.mkdir(parents=True, exist_ok=True)
    parts = [_corpus(artefact, name, target) for name in shards.names(artefact, "corpora")]
    parts += [_task(artefact, name, target) for name in shards.names(artefact, "tasks")]
    for name in cards.tokenizer_files(artefact):
        shutil.copyfile(artefact / name, target / name)
    cards.dataset(origin, target, parts)
    return [f"{target}: {part['name']}, "
            + ", ".join(f"{rows} rows of {split}" for split, rows in part["rows"].items())
            for part in parts]


def _corpus(artefact: Path, name: str, target: Path) -> dict[str, Any]:
    """Write the documents of a corpus, one a row: input_ids, its closing [SEP] included."""
    corpus = shards.open_corpus(artefact, name)
    label = f"corpus_{name}"
    path = target / label / "train.parquet"
    path.parent.mkdir()
    schema = pa.schema([("input_ids", pa.list_(pa.int32()))])
    with parquet.ParquetWriter(path, schema) as writer:
        for start in range(0, len(corpus), CHUNK):
            stop = min(start + CHUNK, len(corpus))
            rows = [corpus.document(index).astype(np.int32) for index in range(start, stop)]
            writer.write_table(pa.table({"input_ids": rows}, schema=schema))
    return {"name": label, "about": f"documents of the corpus {name} for pre-training",
            "data_files": {"train": f"{label}/train.parquet"}, "rows": {"train": len(corpus)}}


def _task(artefact: Path, name: str, target: Path) -> dict[str, Any]:
    """Write the splits of a task: input_ids and token_type_ids without padding, and label, or
    labels where every token has one (-100: none)."""
    task = shards.open_task(artefact, name)
    label, kind, pad = f"task_{name}", task.info["kind"], task.vocab.pad
    (target / label).mkdir()
    files, rows = {}, {}
    for split in shards.SPLITS:
        arrays = getattr(task, split)
        ids_NT = np.asarray(arrays.input_ids, dtype=np.int32)
        ends_N = ((ids_NT != pad) * np.arange(1, ids_NT.shape[1] + 1)).max(axis=1)

        def cut(values_NT: np.ndarray, ends_N: np.ndarray = ends_N) -> list[np.ndarray]:
            return [row[:end] for row, end in zip(values_NT, ends_N, strict=True)]

        columns: dict[str, Any] = {
            "input_ids": cut(ids_NT), "token_type_ids": cut(np.asarray(arrays.segments, np.int32))}
        labels = np.asarray(arrays.labels)
        columns |= {"labels": cut(labels)} if kind == "tagging" else {"label": labels}
        hub_split = "validation" if split == "dev" else split
        files[hub_split], rows[hub_split] = f"{label}/{hub_split}.parquet", len(arrays)
        parquet.write_table(pa.table(columns), target / files[hub_split])
    named = f", labels {', '.join(task.info['labels'])}" if task.info["labels"] else ""
    about = f"{kind}{named}"
    return {"name": label, "about": about, "data_files": files, "rows": rows}
