"""Text to batches as the data stages of the suite do it."""

import shutil
import time
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from repro.context import RunContext
from repro.data import preparation, shards, subsets
from repro.data.batches import TokenRows
from repro.data.documents import Document
from repro.data.encoding import encode_documents
from repro.text import tokenizer as vocabularies
from repro.train.streams import Streams

NAME = "text"


def pack(text: Path, tokenizer: Path, out: Path, processes: int, length: int) -> int:
    """Tokenise a document a line and write a corpus; return its tokens. Windows of `length` are cut
    when they are read, so packing is the writing. processes: tokenizers takes all cores as
    threads, so one it is."""
    assert processes == 1, processes
    trained = vocabularies.load(tokenizer)
    vocab = vocabularies.vocab_info(trained)
    lines = text.read_text(encoding="utf-8").splitlines()
    folder = out / "corpora" / NAME
    return shards.write_corpus(folder, encode_documents(trained, lines), vocab.dtype, {})["tokens"]


def save(text: Path, tokenizer: Path, out: Path, length: int) -> None:
    """Leave a data artefact for `first_batch`."""
    pack(text, tokenizer, out, 1, length)
    as_artefact(tokenizer, out)


def as_artefact(tokenizer: Path, out: Path) -> None:
    """Put the vocabulary and the list of digests beside a corpus, as the data stage does."""
    shutil.copy(tokenizer / "tokenizer.json", out)
    shards.write_manifest(out)


def first_batch(out: Path, size: int, length: int) -> tuple[int, ...]:
    """Open a corpus, its digests included, and return the shape of the first batch."""
    rows = TokenRows(corpus=NAME, batch_size=size, sequence_length=length)
    _, batch = rows.open(out, Streams(0))
    return tuple(batch(0)[0].shape)


def prepare(text: Path, out: Path) -> None:
    """Run the whole data stage: reading, deduplication, vocabulary, tokens, digests."""
    def read():
        with open(text, encoding="utf-8") as lines:
            for number, line in enumerate(lines):
                yield Document(str(number), (line.rstrip("\n"),))

    preparation.prepare(
        RunContext(stage="data", arm="any", seed=0, out=out, checkpoints=out.parent / "ck"),
        sources=(read,), corpora={NAME: subsets.everything}, tasks={},
        tokenizer=partial(vocabularies.wordpiece, vocab_size=8192))


def stream(documents, tokenizer: Path, out: Path, chunk: int) -> int:
    """Tokenise documents as they come, `chunk` at a time, and write a corpus; return its tokens."""
    trained = vocabularies.load(tokenizer)
    waiting = iter(documents)

    def encoded():
        while some := list(islice(waiting, chunk)):
            yield from encode_documents(trained, some)

    dtype = vocabularies.vocab_info(trained).dtype
    return shards.write_corpus(out / "corpora" / NAME, encoded(), dtype, {})["tokens"]


def read_batches(out: Path, size: int, length: int, batches: int) -> dict[str, float]:
    """Open a corpus and read batches all over it; return seconds of both."""
    began = time.perf_counter()
    _, batch = TokenRows(corpus=NAME, batch_size=size, sequence_length=length).open(
        out, Streams(0))
    opened = time.perf_counter()
    total = sum(int(np.int64(batch(index)[0].sum())) for index in range(batches))
    assert total > 0
    return {"open_seconds": opened - began,
            "batch_ms": 1000 * (time.perf_counter() - opened) / batches}
