"""From texts to arrays: corpora as ids, tasks as padded rows with labels.

Legend: N examples, T positions.
"""

from collections.abc import Iterator

import numpy as np
from tokenizers import Encoding, Tokenizer

from repro.data.documents import Example, TaskData, counts_by_label
from repro.data.shards import SPLITS, Split
from repro.errors import UserError
from repro.text.tokenizer import VocabInfo, vocab_info

CHUNK = 500
NO_LABEL = -100


def encode_documents(tokenizer: Tokenizer, texts: list[str]) -> Iterator[np.ndarray]:
    """Yield the ids of each text closed by [SEP], as the vocabulary's smallest unsigned type."""
    vocab = vocab_info(tokenizer)
    for start in range(0, len(texts), CHUNK):
        chunk = texts[start : start + CHUNK]
        for item in tokenizer.encode_batch_fast(chunk, add_special_tokens=False):
            yield np.asarray([*item.ids, vocab.sep], dtype=vocab.dtype)


def encode_task(
    tokenizer: Tokenizer, task: TaskData, length: int, name: str
) -> tuple[dict[str, Split], dict[str, int]]:
    """Return the three splits as arrays and how many examples were cut at `length` tokens.

    T is the longest example of the task, at most `length`. In tagging the label stands on a word's
    first piece. Raises UserError when a tagging example keeps no label.
    """
    vocab = vocab_info(tokenizer)
    tokenizer.enable_truncation(length)
    try:
        encoded = {split: _encode(tokenizer, getattr(task, split)) for split in SPLITS}
    finally:
        tokenizer.no_truncation()
    width = max(len(item.ids) for items in encoded.values() for item in items)
    splits = {
        split: _split(encoded[split], getattr(task, split), task.kind, width, vocab, name)
        for split in SPLITS
    }
    cut = {split: sum(bool(item.overflowing) for item in encoded[split]) for split in SPLITS}
    return splits, cut


def task_info(name: str, task: TaskData, cut: dict[str, int], assets: dict) -> dict:
    """Return the content of task.json."""
    counts = {split: {"examples": len(getattr(task, split))} for split in SPLITS}
    for split in SPLITS if task.labels else ():
        counts[split]["labels"] = counts_by_label(getattr(task, split), task.labels)
    return {
        "name": name,
        "kind": task.kind,
        "labels": list(task.labels),
        "metrics": list(task.metrics),
        "primary": task.primary,
        "assets": sorted(assets),
        "counts": counts,
        "cut": cut,
        "notes": task.notes,
    }


def _encode(tokenizer: Tokenizer, examples: list[Example]) -> list[Encoding]:
    if examples and examples[0].words:
        return tokenizer.encode_batch([list(item.words) for item in examples], is_pretokenized=True)
    inputs = [(item.text, item.pair) if item.pair is not None else item.text for item in examples]
    return tokenizer.encode_batch(inputs)


def _split(
    encoded: list[Encoding],
    examples: list[Example],
    kind: str,
    width: int,
    vocab: VocabInfo,
    name: str,
) -> Split:
    ids_NT = np.full((len(encoded), width), vocab.pad, dtype=vocab.dtype)
    segments_NT = np.zeros((len(encoded), width), dtype=np.uint8)
    for row, item in enumerate(encoded):
        ids_NT[row, : len(item.ids)] = item.ids
        segments_NT[row, : len(item.ids)] = item.type_ids
    if kind == "tagging":
        labels = np.full((len(encoded), width), NO_LABEL, dtype=np.int64)
        for row, (item, example) in enumerate(zip(encoded, examples, strict=True)):
            _place_labels(labels[row], item, example)
        if (bare := np.flatnonzero((labels == NO_LABEL).all(axis=1))).size:
            text = " ".join(examples[bare[0]].words)
            raise UserError(f"task {name}: cut at {width} tokens, no label is left in {text!r}")
    else:
        dtype = np.float32 if kind == "regression" else np.int64
        labels = np.asarray([example.label for example in examples], dtype=dtype)
    return Split(input_ids=ids_NT, segments=segments_NT, labels=labels)


def _place_labels(labels_T: np.ndarray, item: Encoding, example: Example) -> None:
    last = None
    for place, word in enumerate(item.word_ids):
        if word is not None and word != last:
            labels_T[place] = example.label[word]
        last = word
