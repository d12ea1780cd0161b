"""Readers of hub text too large to be kept: the first documents of a shuffled stream."""

from collections.abc import Iterator
from itertools import islice

from repro.data.documents import Document
from repro.errors import UserError


def text(
    *,
    dataset: str,
    revision: str,
    config: str,
    documents: int,
    split: str = "train",
    field: str = "text",
    shuffle_seed: int = 42,
    buffer: int = 1000,
) -> Iterator[Document]:
    """Yield the first documents of a data set, shuffled through a buffer; label: the split.

    Only what is read is downloaded, which matters for allenai/c4 (305 GB). A document's non-empty
    lines are its parts. Raises UserError when the data set is not reachable.
    """
    import datasets

    try:
        rows = datasets.load_dataset(
            dataset, config, split=split, revision=revision, streaming=True
        ).shuffle(seed=shuffle_seed, buffer_size=buffer)
        for index, row in enumerate(islice(rows, documents)):
            parts = tuple(line.strip() for line in row[field].splitlines() if line.strip())
            yield Document(f"{dataset}-{split}/{index}", parts, split)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)[:160]
        raise UserError(
            f"hub data set {dataset} ({config}) at revision {revision}, split {split}: not "
            f"reachable; the data stage must run on a machine with network ({reason})"
        ) from error
