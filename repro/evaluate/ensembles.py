"""Committees of independently trained members: the soft vote.

M members, N examples, C classes.
"""

from collections.abc import Sequence

import numpy as np
from scipy import special

from repro.errors import UserError


def soft_vote(logits_M_NC: Sequence[np.ndarray]) -> np.ndarray:
    """Return the log of the members' mean softmax, (N, C) float64.

    Its argmax is the argmax of the SUM of the members' softmax outputs; with one member it is that
    member's log-softmax. Members vote in float64 whatever the dtype of their logits.
    Raises UserError if there is no member or their shapes differ.
    Source: Gross et al. 2025 (soft committee).
    """
    _check_shapes(logits_M_NC)
    log_p_MNC = special.log_softmax(np.asarray(logits_M_NC, dtype=np.float64), axis=2)
    return special.logsumexp(log_p_MNC, axis=0) - np.log(len(log_p_MNC))


def mean_value(values_M_N: Sequence[np.ndarray]) -> np.ndarray:
    """Return the mean of the members' regression outputs, (N,) float64. Raises UserError."""
    _check_shapes(values_M_N)
    return np.mean(np.asarray(values_M_N, dtype=np.float64), axis=0)


def choose(members: Sequence, size: int | None) -> list:
    """Return the first `size` members in their order; None = all.

    Raises UserError when there are fewer, or none is asked for.
    """
    if size is None:
        size = len(members)
    if not 1 <= size <= len(members):
        raise UserError(f"committee = {size}: expected 1..{len(members)}, the members there are")
    return list(members[:size])


def check_labels(targets_M_N: Sequence[np.ndarray], task: str) -> np.ndarray:
    """Return the labels that all members were tested on. Raises UserError if they differ."""
    first = targets_M_N[0]
    for member, targets_N in enumerate(targets_M_N):
        if targets_N.dtype != first.dtype or not np.array_equal(targets_N, first):
            raise UserError(
                f"task {task!r}: member {member} was tested on other labels than member 0"
            )
    return first


def _check_shapes(outputs: Sequence[np.ndarray]) -> None:
    if not len(outputs):
        raise UserError("committee: no member")
    shapes = {np.shape(output) for output in outputs}
    if len(shapes) > 1:
        raise UserError(f"committee: members' predictions differ in shape: {sorted(shapes)}")
