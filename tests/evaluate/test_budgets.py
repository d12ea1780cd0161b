import numpy as np
import pytest

from repro.errors import UserError
from repro.evaluate import budgets

LABELS = np.repeat([0, 1, 2], [60, 30, 10])


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_per_class_takes_the_same_number_of_each():
    rows = budgets.per_class(LABELS, 7, generator(), task="t", classes=3)
    assert np.bincount(LABELS[rows]).tolist() == [7, 7, 7]
    assert len(np.unique(rows)) == 21
    assert np.array_equal(rows, np.sort(rows))


def test_a_larger_budget_contains_the_smaller():
    small, large = (
        set(budgets.per_class(LABELS, n, generator(), task="t", classes=3)) for n in (3, 8)
    )
    assert small < large
    small, large = (set(budgets.stratified(LABELS, n, generator())) for n in (15, 40))
    assert small < large


def test_other_seeds_draw_other_examples():
    one, two = (
        budgets.per_class(LABELS, 5, generator(s), task="t", classes=3).tolist() for s in (1, 2)
    )
    assert one != two


def test_stratified_keeps_the_proportions():
    rows = budgets.stratified(LABELS, 20, generator())
    assert np.bincount(LABELS[rows]).tolist() == [12, 6, 2]


def test_a_class_below_its_budget_is_named():
    with pytest.raises(UserError, match="label 2 has 10 training examples, labels_per_class = 11"):
        budgets.per_class(LABELS, 11, generator(), task="t", classes=3)


def test_a_budget_beyond_the_data_takes_all_and_none_is_refused():
    assert budgets.uniform(4, 9, generator()).tolist() == [0, 1, 2, 3]
    with pytest.raises(UserError, match="expected at least 1"):
        budgets.uniform(4, 0, generator())
