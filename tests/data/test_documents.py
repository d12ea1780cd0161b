"""Normal forms and leak-free splits."""

import pytest

from repro.data.documents import normalise, shuffled, split_by_group, unique
from repro.errors import UserError

SIZES = {"train": 60, "dev": 10, "test": 30}


def test_normal_form_ignores_case_punctuation_and_layout():
    assert normalise("  The  CAT, sat--on_the\nmat. ") == "the cat sat on the mat"
    assert normalise("Straße (№ 5)") == normalise("STRASSE № 5")
    assert normalise(" ... ") == ""


def test_unique_keeps_the_first_of_equal_texts():
    assert unique(["A b", "c", "a B!", "..."], lambda text: text) == ["A b", "c"]


def test_groups_stay_on_one_side_and_sizes_are_exact():
    items = list(range(200))
    parts = split_by_group(items, lambda item: item // 4, SIZES, 0, "toy")
    assert {name: len(part) for name, part in parts.items()} == SIZES
    groups = [{item // 4 for item in part} for part in parts.values()]
    assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]


def test_splits_depend_on_the_seed_alone():
    items = list(range(200))
    one, same = (split_by_group(items, lambda item: item, SIZES, 5, "toy") for _ in range(2))
    other = split_by_group(items, lambda item: item, SIZES, 6, "toy")
    assert one == same and one != other
    assert shuffled(items, 1, "a") != shuffled(items, 1, "b")


def test_too_few_examples_say_how_many_are_left():
    with pytest.raises(UserError, match=r"toy.train = 60: only 10 examples are left for it \(50"):
        split_by_group(list(range(50)), lambda item: item, SIZES, 0, "toy")
