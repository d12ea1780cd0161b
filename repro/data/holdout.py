"""Which documents a language model is tested on, and the rest, as selections of the pool."""

from repro.data.documents import normalise
from repro.data.subsets import Pool, Selection
from repro.errors import UserError


def held_out(pool: Pool, /, *, documents: int, label: str | None = None) -> Selection:
    """Return the last documents of the shuffled order, of those with the label, if one is given.

    Raises UserError when there are fewer.
    """
    return Selection(tuple(_held_out(pool, documents, label)))


def training(pool: Pool, /, *, documents: int, label: str | None = None) -> Selection:
    """Return what may be trained on beside `held_out` with the same settings.

    Without the documents held out, those with the label, and every document that has a part
    (sentence, paragraph) in common with one held out, compared after normalisation.
    """
    chosen = _held_out(pool, documents, label)
    seen = {normalise(part) for index in chosen for part in pool.documents[index].parts}
    kept = [
        index
        for index, document in enumerate(pool.documents)
        if (label is None or document.label != label)
        and not any(normalise(part) in seen for part in document.parts)
    ]
    return Selection(tuple(kept))


def _held_out(pool: Pool, documents: int, label: str | None) -> list[int]:
    fitting = [
        index
        for index, document in enumerate(pool.documents)
        if label is None or document.label == label
    ]
    if not 0 < documents <= len(fitting):
        which = "" if label is None else f" with the label {label!r}"
        raise UserError(f"held_out.documents = {documents}: the pool has {len(fitting)}{which}")
    return fitting[-documents:]
