"""Selections from the documents of some sources of the pool only: one artefact, several domains."""

from collections.abc import Callable

from repro.data.subsets import Pool, Selection
from repro.errors import UserError


def within(
    pool: Pool,
    /,
    *,
    origins: tuple[str, ...],
    select: Callable[[Pool], Selection],
    others: bool = False,
) -> Selection:
    """Return what `select` takes of the documents of some origins (of all others, if so said).

    origins: what stands before the first "/" of a document's id; that of hub data is the owner.
    Raises UserError when the pool has no such document, and as `select` does.
    """
    chosen = [
        index
        for index, document in enumerate(pool.documents)
        if (document.id.partition("/")[0] in origins) != others
    ]
    if not chosen:
        there = sorted({document.id.partition("/")[0] for document in pool.documents})
        raise UserError(f"within.origins = {list(origins)}: the pool's origins are {there}")
    part = Pool(
        tuple(pool.documents[index] for index in chosen),
        tuple(pool.normal[index] for index in chosen),
        pool.task_words,
    )
    found = select(part)
    return Selection(tuple(chosen[index] for index in found.indices), found.tokens)
