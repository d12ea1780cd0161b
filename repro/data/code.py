"""Readers of source code: a file is a document of one part, its line breaks and indents kept."""

from collections.abc import Iterator
from itertools import islice

from repro.data import assets
from repro.data.documents import Document
from repro.errors import UserError

NOT_WRITTEN_BY_HAND = ("/locale/", "/migrations/")


def django(*, version: str = "5.2") -> Iterator[Document]:
    """Yield the Python files of Django, without translations and migrations."""
    for member in assets.members("Django", "django/*.py", version):
        if not any(part in member for part in NOT_WRITTEN_BY_HAND):
            text = assets.read_member("Django", member, version).decode("utf-8")
            yield Document(f"code/{member}", (text,), "python", member)


def hub(
    *,
    dataset: str,
    revision: str,
    documents: int,
    field: str = "content",
    split: str = "train",
    shuffle_seed: int = 42,
    buffer: int = 1000,
) -> Iterator[Document]:
    """Yield the first files of a hub data set (codeparrot/codeparrot-clean), streamed and shuffled
    through a buffer. Raises UserError when it is not reachable."""
    import datasets

    try:
        rows = datasets.load_dataset(dataset, split=split, revision=revision, streaming=True)
        for index, row in enumerate(islice(rows.shuffle(shuffle_seed, buffer), documents)):
            yield Document(f"{dataset}-{split}/{index}", (row[field],), split)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise UserError(
            f"hub data set {dataset} at revision {revision}, split {split}: not reachable; the "
            f"data stage must run on a machine with network ({str(error).partition(chr(10))[0]})"
        ) from error
