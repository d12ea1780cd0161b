"""Word-by-word lexicons between two languages, from their sentences alone: no pair is looked at.

Skip-gram vectors of each language, one rotation between the two spaces found by self-learning, and
for every piece the nearest pieces of the other language.

I, J pieces of the two languages, D dimensions, K translations, V ids of the joint vocabulary.
Source: Mikolov et al. 2013; Artetxe et al. 2018 (vecmap), orthogonal mapping.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from repro.errors import UserError

NONE = -1  # in a table: no translation
_ROWS = 1000  # similarities are computed by blocks of so many rows


class Vectors(NamedTuple):
    """ids (I,) int64, most frequent first; vectors (I, D) float32, a row each."""

    ids: np.ndarray
    vectors: np.ndarray


class Alignment(NamedTuple):
    """rotation (D, D): first language's rows times it lie in the second's space. objective: mean
    cosine of nearest neighbours, after each round."""

    rotation: np.ndarray
    objective: tuple[float, ...]


def skip_gram(
    sentences: Sequence[np.ndarray], *, dimensions: int, window: int, negatives: int,
    min_count: int, epochs: int, seed: int,
) -> Vectors:
    """Return skip-gram vectors of the ids that occur min_count times, one thread, no subsampling.

    Raises UserError if none does. The same sentences and seed give the same bytes.
    """
    from gensim.models import Word2Vec

    texts = [[str(token) for token in tokens] for tokens in sentences]
    model = Word2Vec(
        vector_size=dimensions, window=window, negative=negatives, sg=1, hs=0, sample=0,
        min_count=min_count, seed=seed, workers=1,
    )
    model.build_vocab(texts)
    if not model.wv.index_to_key:
        raise UserError(f"skip_gram.min_count = {min_count}: no piece occurs so often")
    model.train(texts, total_examples=len(texts), epochs=epochs)
    ids = np.array([int(key) for key in model.wv.index_to_key], dtype=np.int64)
    return Vectors(ids, np.asarray(model.wv.vectors, dtype=np.float32))


def normalised(vectors_ID: np.ndarray) -> np.ndarray:
    """Return rows of length one, centred over the rows, of length one again."""
    unit_ID = _unit(vectors_ID.astype(np.float64))
    return _unit(unit_ID - unit_ID.mean(axis=0))


def align(
    first_ID: np.ndarray, second_JD: np.ndarray, seeds: tuple[np.ndarray, np.ndarray],
    *, rounds: int, threshold: float = 1e-6,
) -> Alignment:
    """Return the rotation found by self-learning from seed pairs (rows of one, rows of the other).

    Each round: the orthogonal map that brings the pairs closest (Procrustes), then the nearest
    neighbours of every row under it, both ways, as the next pairs; until the mean cosine of
    neighbours grows by less than the threshold. Rows of length one. Raises UserError without seed.
    """
    rows, columns = seeds
    if not len(rows):
        raise UserError("lexicon: the two languages have no seed in common")
    objective: list[float] = []
    while True:
        left, _, right = np.linalg.svd(first_ID[rows].T @ second_JD[columns])
        rotation = left @ right
        forward, best = nearest(first_ID @ rotation, second_JD, 1)
        backward, also = nearest(second_JD, first_ID @ rotation, 1)
        objective.append(float((best.mean() + also.mean()) / 2))
        settled = len(objective) > 1 and objective[-1] - objective[-2] < threshold
        if settled or len(objective) >= rounds:
            return Alignment(rotation, tuple(objective))
        rows = np.concatenate([np.arange(len(first_ID)), backward[:, 0]])
        columns = np.concatenate([forward[:, 0], np.arange(len(second_JD))])


def nearest(
    queries_ID: np.ndarray, keys_JD: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return (indices (I, K) of the rows of keys with the largest products, nearest first; the
    products (I, K)). Of equal ones the first row wins."""
    count = min(count, len(keys_JD))
    indices = np.empty((len(queries_ID), count), dtype=np.int64)
    products = np.empty((len(queries_ID), count))
    for start in range(0, len(queries_ID), _ROWS):
        block = queries_ID[start : start + _ROWS] @ keys_JD.T
        rows = np.arange(len(block))
        for turn in range(count):  # a few passes are cheaper than sorting
            best = block.argmax(axis=1)
            indices[start : start + _ROWS, turn] = best
            products[start : start + _ROWS, turn] = block[rows, best]
            block[rows, best] = -np.inf
    return indices, products


def seed_pairs(
    first: Vectors, second: Vectors, pieces: Sequence[str], kind: Literal["numerals", "identical"]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of both that are one piece: all such pieces, or those of digits only (a mark
    of a word's beginning apart). pieces: text by id."""
    place = {index: row for row, index in enumerate(second.ids.tolist())}
    common = [(row, place[index]) for row, index in enumerate(first.ids.tolist())
              if index in place and (kind == "identical" or pieces[index].lstrip("Ġ▁").isdigit())]
    rows, columns = zip(*common, strict=True) if common else ((), ())
    return np.array(rows, dtype=np.int64), np.array(columns, dtype=np.int64)


class Lexicon(NamedTuple):
    """there, back (V, K) int64: ids of the translations of each id, NONE where it has none. facts:
    sizes and the course of self-learning, for a log."""

    there: np.ndarray
    back: np.ndarray
    facts: dict[str, float]


def unsupervised(
    first: Sequence[np.ndarray],
    second: Sequence[np.ndarray],
    pieces: Sequence[str],
    /,
    *,
    seeds: Literal["numerals", "identical"],
    dimensions: int = 512,
    window: int = 10,
    negatives: int = 10,
    min_count: int = 5,
    epochs: int = 10,
    neighbours: int = 3,
    rounds: int = 50,
    seed: int = 42,
) -> Lexicon:
    """Return the lexicon between two languages from sentences of each; neither their order nor
    their number has to agree. pieces: text by id.

    Raises UserError where no piece is frequent enough, or no seed common.
    """
    settings = {"dimensions": dimensions, "window": window, "negatives": negatives,
                "min_count": min_count, "epochs": epochs, "seed": seed}
    one, two = (skip_gram(sentences, **settings) for sentences in (first, second))
    x_ID, z_JD = normalised(one.vectors), normalised(two.vectors)
    pairs = seed_pairs(one, two, pieces, seeds)
    found = align(x_ID, z_JD, pairs, rounds=rounds)
    mapped_ID = x_ID @ found.rotation
    there, back = (
        _table(source.ids, target.ids[nearest(a, b, neighbours)[0]], len(pieces))
        for source, target, a, b in ((one, two, mapped_ID, z_JD), (two, one, z_JD, mapped_ID)))
    facts = {"pieces": len(one.ids), "pieces_back": len(two.ids), "seeds": len(pairs[0]),
             "rounds": len(found.objective), "first_objective": round(found.objective[0], 4),
             "last_objective": round(found.objective[-1], 4)}
    return Lexicon(there, back, facts)


def association(
    first: Sequence[np.ndarray], second: Sequence[np.ndarray], size: int
) -> np.ndarray:
    """Return (V,) int64: for each id of aligned sentences the id that goes with it most (Dice
    coefficient over pairs of sentences), NONE where it never occurs. Only to judge a lexicon by."""
    from scipy import sparse

    occurs = []
    for side in (first, second):
        columns = [np.unique(tokens) for tokens in side]
        starts = np.cumsum([0, *map(len, columns)])
        flat = np.concatenate(columns)
        occurs.append(sparse.csr_matrix((np.ones(len(flat)), flat, starts), (len(side), size)))
    together = (occurs[0].T @ occurs[1]).tocsr()
    counts = [np.asarray(matrix.sum(axis=0))[0] for matrix in occurs]
    best = np.full(size, NONE, dtype=np.int64)
    for index in range(size):
        row = slice(together.indptr[index], together.indptr[index + 1])
        if row.stop > row.start:
            others = together.indices[row]
            dice = 2 * together.data[row] / (counts[0][index] + counts[1][others])
            best[index] = others[np.lexsort((others, -dice))[0]]
    return best


def precision(table_VK: np.ndarray, best_V: np.ndarray) -> float:
    """Return the share of ids with translations whose best associate is among them."""
    judged = (table_VK[:, 0] != NONE) & (best_V != NONE)
    if not judged.any():
        return 0.0
    return float((table_VK[judged] == best_V[judged, None]).any(axis=1).mean())


def _table(ids_I: np.ndarray, translations_IK: np.ndarray, size: int) -> np.ndarray:
    table_VK = np.full((size, translations_IK.shape[1]), NONE, dtype=np.int64)
    table_VK[ids_I] = translations_IK
    return table_VK


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
