"""Readers and tasks of the `paper` profile: Hugging Face hub data at a pinned revision.

A data set is taken from <assets>/hub/<owner>/<name>[/<config>]/ when that folder exists (files
<split>*.parquet, .json, .jsonl or .csv), else from the hub's cache or the network. Code of data
sets is never run: those that still ship a script are read at the revision `refs/convert/parquet`.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from repro.data.assets import cache_dir
from repro.data.documents import Document, Example, TaskData, shuffled
from repro.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset

FORMATS = {".parquet": "parquet", ".json": "json", ".jsonl": "json", ".csv": "csv"}
GLUE = {
    "cola": (("sentence",), ("mcc", "accuracy"), "validation"),
    "sst2": (("sentence",), ("accuracy",), "validation"),
    "mrpc": (("sentence1", "sentence2"), ("accuracy", "f1"), "validation"),
    "stsb": (("sentence1", "sentence2"), ("spearman", "pearson"), "validation"),
    "qqp": (("question1", "question2"), ("accuracy", "f1"), "validation"),
    "mnli": (("premise", "hypothesis"), ("accuracy",), "validation_matched"),
    "qnli": (("question", "sentence"), ("accuracy",), "validation"),
    "rte": (("sentence1", "sentence2"), ("accuracy",), "validation"),
}


def text(
    *,
    dataset: str,
    revision: str,
    config: str | None = None,
    split: str = "train",
    field: str = "text",
    documents: int | None = None,
    shuffle_seed: int | None = None,
) -> Iterator[Document]:
    """Yield running text (wikimedia/wikipedia, bookcorpus, Skylion007/openwebtext): one document a
    row, its non-empty lines as parts. documents: the first n, after shuffling if a seed is given.

    Raises UserError when the data set or the field is missing.
    """
    rows = load(dataset, config, split, revision)
    _check_fields(dataset, rows, field)
    if shuffle_seed is not None:
        rows = rows.shuffle(seed=shuffle_seed)
    if documents is not None:
        rows = rows.select(range(min(documents, len(rows))))
    for index, row in enumerate(rows):
        parts = tuple(line.strip() for line in row[field].splitlines() if line.strip())
        yield Document(f"{dataset}/{index}", parts)


def labelled(
    *,
    dataset: str,
    revision: str,
    field: str,
    label: str,
    config: str | None = None,
    splits: tuple[str, ...] = ("train", "test"),
) -> Iterator[Document]:
    """Yield labelled documents (ag_news, dbpedia_14, thunlp/few_rel) for `topics.classify`.

    group: the split, if there are several (for published_split), else the row itself. A field that
    holds a list of tokens is joined by spaces.
    """
    for split in splits:
        rows = load(dataset, config, split, revision)
        _check_fields(dataset, rows, field, label)
        for index, row in enumerate(rows):
            value = row[field] if isinstance(row[field], str) else " ".join(row[field])
            name = _label_name(rows, label, row[label])
            group = split if len(splits) > 1 else str(index)
            yield Document(f"{dataset}/{split}/{index}", (value.strip(),), name, group)


def glue(
    *,
    task: Literal["cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte"],
    revision: str,
    dataset: str = "nyu-mll/glue",
    train: int | None = None,
    dev: int = 1000,
    seed: int = 0,
) -> TaskData:
    """Return a GLUE task. Its hidden test labels are not published: test is the validation set, and
    dev is drawn from the training set. train: examples kept, None = all."""
    fields, metrics, held_out = GLUE[task]
    splits = {name: load(dataset, task, name, revision) for name in ("train", held_out)}
    regression = task == "stsb"
    pools = {name: _glue_examples(dataset, rows, fields) for name, rows in splits.items()}
    kind = "regression" if regression else "pair" if len(fields) == 2 else "classification"
    labels = () if regression else tuple(_class_names(splits["train"], pools["train"]))
    drawn = _drawn(pools["train"], seed, task, train, dev)
    return TaskData(kind, labels, metrics, **drawn, test=pools[held_out])


def squad_answerable(
    *,
    revision: str,
    dataset: str = "rajpurkar/squad_v2",
    train: int | None = None,
    dev: int = 1000,
    seed: int = 0,
) -> TaskData:
    """Return whether a paragraph answers a question: the yes/no half of SQuAD 2.0 (not the span)"""
    pools = {}
    for name in ("train", "validation"):
        rows = load(dataset, None, name, revision)
        _check_fields(dataset, rows, "question", "context", "answers")
        pools[name] = [
            Example(
                label=int(bool(row["answers"]["text"])),
                text=row["question"],
                pair=row["context"],
                sources=(row["question"], row["context"]),
            )
            for row in rows
        ]
    labels = ("unanswerable", "answerable")
    drawn = _drawn(pools["train"], seed, dataset, train, dev)
    return TaskData("pair", labels, ("accuracy", "f1"), **drawn, test=pools["validation"])


def load(dataset: str, config: str | None, split: str, revision: str) -> "Dataset":
    """Return one split of a data set, from the local folder or the hub.

    Raises UserError saying what to download and where to put it.
    """
    import datasets

    folder = cache_dir() / "hub" / dataset / (config or "")
    if folder.is_dir():
        return _load_local(folder, split)
    try:
        return datasets.load_dataset(dataset, config, split=split, revision=revision)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        wanted = f"{dataset}{f' ({config})' if config else ''} at revision {revision}"
        raise UserError(
            f"hub data set {wanted}, split {split}: neither cached nor reachable; run `hf download "
            f"{dataset} --repo-type dataset --revision {revision}` with network, or put files "
            f"{split}*.parquet into {folder} ({_first_line(error)})"
        ) from error


def _load_local(folder: Path, split: str) -> "Dataset":
    import datasets

    files = sorted(path for path in folder.glob(f"{split}*") if path.suffix in FORMATS)
    forms = {FORMATS[path.suffix] for path in files}
    if len(forms) != 1:
        found = ", ".join(sorted(os.listdir(folder))) or "nothing"
        raise UserError(
            f"{folder}: no files {split}*.parquet, .json, .jsonl or .csv of one kind; found {found}"
        )
    paths = [str(path) for path in files]
    try:
        return datasets.load_dataset(forms.pop(), data_files={split: paths}, split=split)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise UserError(f"{folder}: {split} is unreadable: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:160]


def _check_fields(dataset: str, rows: "Dataset", *fields: str) -> None:
    if missing := [field for field in fields if field not in rows.column_names]:
        known = ", ".join(rows.column_names)
        raise UserError(f"hub data set {dataset}: no field '{missing[0]}'; there are {known}")


def _drawn(
    examples: list[Example], seed: int, name: str, train: int | None, dev: int
) -> dict[str, list[Example]]:
    """Return dev and train, drawn from a published training set: {"train", "dev"}."""
    pool = shuffled(examples, seed, name)
    return {"train": pool[dev:None if train is None else dev + train], "dev": pool[:dev]}


def _glue_examples(dataset: str, rows: "Dataset", fields: tuple[str, ...]) -> list[Example]:
    _check_fields(dataset, rows, *fields, "label")
    texts = [[row[field].strip() for field in fields] for row in rows.select_columns(list(fields))]
    return [
        Example(label=label, text=text[0], pair=(*text, None)[1], sources=tuple(text))
        for text, label in zip(texts, rows["label"], strict=True)
    ]


def _class_names(rows: "Dataset", examples: list[Example]) -> list[str]:
    names = getattr(rows.features["label"], "names", None)
    return names or [str(value) for value in range(1 + max(int(item.label) for item in examples))]


def _label_name(rows: "Dataset", label: str, value: Any) -> str:
    names = getattr(rows.features[label], "names", None)
    return names[value] if names and isinstance(value, int) else str(value)
