"""Label budgets: which training examples an arm may see. A larger budget contains a smaller one."""

import numpy as np

from repro.errors import UserError


def per_class(
    labels_N: np.ndarray, count: int, generator: np.random.Generator, *, task: str, classes: int
) -> np.ndarray:
    """Return the sorted indices of `count` random examples of each class, int64.

    Raises UserError naming a class that has fewer.
    """
    if count < 1:
        raise UserError(f"labels_per_class = {count}: expected at least 1")
    order_N = generator.permutation(len(labels_N))
    chosen = []
    for label in range(classes):
        members = order_N[labels_N[order_N] == label]
        if len(members) < count:
            raise UserError(
                f"task {task!r}: label {label} has {len(members)} training examples, "
                f"labels_per_class = {count}"
            )
        chosen.append(members[:count])
    return np.sort(np.concatenate(chosen))


def stratified(labels_N: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Return the sorted indices of `count` random examples, classes in their proportions, int64.

    Every example gets the quantile (rank within its class + 0.5) / class size; the lowest are
    taken. All examples if there are no more than count.
    """
    order_N = generator.permutation(len(labels_N))
    quantile_N = np.empty(len(labels_N))
    for label in np.unique(labels_N):
        members = order_N[labels_N[order_N] == label]
        quantile_N[members] = (np.arange(len(members)) + 0.5) / len(members)
    ranked = order_N[np.argsort(quantile_N[order_N], kind="stable")]
    return np.sort(_first(ranked, count))


def uniform(total: int, count: int, generator: np.random.Generator) -> np.ndarray:
    """Return the sorted indices of `count` random examples of `total`, int64; all if fewer."""
    return np.sort(_first(generator.permutation(total), count))


def _first(ranked_N: np.ndarray, count: int) -> np.ndarray:
    if count < 1:
        raise UserError(f"number of examples = {count}: expected at least 1")
    return ranked_N[:count]
