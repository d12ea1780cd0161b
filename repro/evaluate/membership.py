"""Membership inference: can an attacker tell whether an example was trained on?

The attacker sees the model's loss on an example and calls it a member below a threshold. It is
the plainest attack there is: what it finds is a lower bound on what leaks, never proof of privacy.
Source: Yeom et al. 2018, Privacy Risk in Machine Learning.
"""

import numpy as np

from repro.errors import UserError
from repro.train.streams import Streams


def advantage(members_N: np.ndarray, others_N: np.ndarray, streams: Streams) -> float:
    """Return true minus false positive rate of the loss threshold attack, in [-1, 1].

    members_N, others_N: losses of examples that were trained on and of others of the same kind.
    The threshold is chosen on one random half (stream "attack") and tried on the other, both ways,
    so guessing comes to 0 on average. Raises UserError for fewer than two examples of a kind, and
    for a loss that is not finite.
    """
    for name, losses in (("members", members_N), ("others", others_N)):
        if len(losses) < 2:
            raise UserError(f"attack: {len(losses)} {name}; expected at least 2")
        if not np.isfinite(losses).all():
            raise UserError(f"attack: a loss of the {name} is not finite")
    generator = streams.numpy("attack")
    halves = [np.array_split(generator.permutation(losses), 2) for losses in (members_N, others_N)]
    found = [
        _gap(halves[0][1 - side], halves[1][1 - side],
             threshold(halves[0][side], halves[1][side]))
        for side in (0, 1)
    ]
    return float(np.mean(found))


def threshold(members_N: np.ndarray, others_N: np.ndarray) -> float:
    """Return the loss below which "member" gives the largest true minus false positive rate.

    It lies half-way to the next larger loss, where there is one; of several the lowest; -inf where
    none is better than calling nobody a member.
    """
    losses = np.concatenate([members_N, others_N])
    steps = np.concatenate([np.full(len(members_N), 1 / len(members_N)),
                            np.full(len(others_N), -1 / len(others_N))])
    order = losses.argsort(kind="stable")
    values, gaps = losses[order], steps[order].cumsum()
    last = np.append(values[1:] != values[:-1], True)  # equal losses get one answer
    values, gaps = values[last], gaps[last]
    best = int(gaps.argmax())
    if gaps[best] <= 1e-12:
        return -np.inf
    return float(values[best : best + 2].mean())


def bound(epsilon: float, delta: float) -> float:
    """Return the largest advantage that any attack has on average against (epsilon, delta)-DP:
    (e^eps - 1 + 2 delta) / (e^eps + 1). Source: Humphries et al. 2023, from Kairouz et al. 2015."""
    return float(np.tanh(epsilon / 2) + 2 * delta / (np.exp(epsilon) + 1))


def _gap(members_N: np.ndarray, others_N: np.ndarray, limit: float) -> float:
    return float((members_N <= limit).mean() - (others_N <= limit).mean())
