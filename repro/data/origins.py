"""Selections by what a document is: the first part of its id (`exercise/copying/3`).

Pools mix plain text with material made for a purpose; a test text must not hold it.
"""

from repro.data import holdout
from repro.data.subsets import Pool, Selection
from repro.errors import UserError


def only(pool: Pool, /, *, prefix: str) -> Selection:
    """Return the documents whose id begins with the prefix. Raises UserError without any."""
    found = tuple(i for i, one in enumerate(pool.documents) if one.id.startswith(prefix))
    if not found:
        raise UserError(f"only.prefix = {prefix!r}: the pool has no such document")
    return Selection(found)


def held_out(pool: Pool, /, *, documents: int, apart: tuple[str, ...]) -> Selection:
    """Return the last documents of those whose id begins with none of the prefixes."""
    text, places = _without(pool, apart)
    chosen = holdout.held_out(text, documents=documents)
    return Selection(tuple(places[index] for index in chosen.indices))


def training(
    pool: Pool, /, *, documents: int, apart: tuple[str, ...], joined: tuple[str, ...] = ()
) -> Selection:
    """Return what may be trained on beside `held_out` with the same documents and apart, and the
    material whose id begins with one of `joined`, in the pool's order."""
    text, places = _without(pool, apart)
    chosen = {places[i] for i in holdout.training(text, documents=documents).indices}
    chosen |= {i for i, one in enumerate(pool.documents) if one.id.startswith(joined)}
    return Selection(tuple(sorted(chosen)))


def _without(pool: Pool, prefixes: tuple[str, ...]) -> tuple[Pool, list[int]]:
    """Return the pool without some documents, and the places of those that remain."""
    places = [i for i, one in enumerate(pool.documents) if not one.id.startswith(prefixes)]
    documents, normal = (tuple(column[i] for i in places)
                         for column in (pool.documents, pool.normal))
    return Pool(documents, normal, pool.task_words), places
