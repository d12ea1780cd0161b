"""Lexicons without pairs: rotations that are known, and a toy language whose words are."""

import json

import numpy as np
import pytest

from repro.data import lexicons
from repro.data.lexicons import NONE
from repro.errors import UserError
from repro.text.tokenizer import load


def test_a_rotation_is_found_from_a_few_seeds():
    rng = np.random.default_rng(0)
    first = lexicons.normalised(rng.standard_normal((60, 8)))
    rotation = np.linalg.qr(rng.standard_normal((8, 8)))[0]
    second = first @ rotation
    order = rng.permutation(60)
    seeds = (order[:10], np.arange(10))
    found = lexicons.align(first, second[order], seeds, rounds=20)
    np.testing.assert_allclose(found.rotation, rotation, atol=1e-10)
    assert found.objective[-1] == pytest.approx(1.0)
    indices, _ = lexicons.nearest(first @ found.rotation, second[order], 1)
    assert np.array_equal(order[indices[:, 0]], np.arange(60))


def test_self_learning_mends_wrong_seeds():
    rng = np.random.default_rng(1)
    first = lexicons.normalised(rng.standard_normal((200, 10)))
    rotation = np.linalg.qr(rng.standard_normal((10, 10)))[0]
    rows = np.arange(40)
    columns = rows.copy()
    columns[:8] = columns[:8][::-1]  # a fifth is wrong
    found = lexicons.align(first, first @ rotation, (rows, columns), rounds=30)
    np.testing.assert_allclose(found.rotation, rotation, atol=1e-9)
    assert list(found.objective) == sorted(found.objective)


def test_the_map_is_the_one_of_scipys_procrustes():
    from scipy.linalg import orthogonal_procrustes

    rng = np.random.default_rng(2)
    one, two = rng.standard_normal((30, 5)), rng.standard_normal((30, 5))
    seeds = (np.arange(30), np.arange(30))
    found = lexicons.align(one, two, seeds, rounds=1)
    np.testing.assert_allclose(found.rotation, orthogonal_procrustes(one, two)[0], atol=1e-12)


def test_nearest_by_hand_nearest_first_and_ties_to_the_first():
    keys = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.6, 0.8]])
    indices, products = lexicons.nearest(np.array([[1.0, 0.0]]), keys, 3)
    assert indices.tolist() == [[0, 2, 3]]
    np.testing.assert_allclose(products, [[1.0, 1.0, 0.6]])


def test_normalised_rows_are_centred_first():
    found = lexicons.normalised(np.array([[3.0, 0.0], [0.0, 2.0]]))
    half = np.sqrt(0.5)
    np.testing.assert_allclose(found, [[half, -half], [-half, half]])


def test_vectors_are_the_same_each_time_and_rare_pieces_have_none():
    rng = np.random.default_rng(0)
    sentences = [rng.integers(5, 15, size=8) for _ in range(50)] + [np.array([99])]
    settings = {"dimensions": 4, "window": 2, "negatives": 2, "min_count": 3, "epochs": 2}
    one, two = (lexicons.skip_gram(sentences, seed=3, **settings) for _ in range(2))
    assert np.array_equal(one.ids, two.ids) and np.array_equal(one.vectors, two.vectors)
    assert sorted(one.ids.tolist()) == list(range(5, 15))
    assert not np.array_equal(one.vectors, lexicons.skip_gram(sentences, seed=4,
                                                              **settings).vectors)
    with pytest.raises(UserError, match="min_count = 1000"):
        lexicons.skip_gram(sentences, seed=3, **settings | {"min_count": 1000})


def test_seeds_are_digits_only_or_all_pieces_in_common():
    pieces = ["[PAD]", "Ġ12", "Ġcat", "3", "Ġdog"]
    one = lexicons.Vectors(np.array([2, 1, 3]), np.zeros((3, 1)))
    two = lexicons.Vectors(np.array([3, 2, 4, 1]), np.zeros((4, 1)))
    rows, columns = lexicons.seed_pairs(one, two, pieces, "numerals")
    assert rows.tolist() == [1, 2] and columns.tolist() == [3, 0]
    rows, columns = lexicons.seed_pairs(one, two, pieces, "identical")
    assert rows.tolist() == [0, 1, 2] and columns.tolist() == [1, 3, 0]
    with pytest.raises(UserError, match="no seed in common"):
        lexicons.align(np.eye(2), np.eye(2), (np.array([], int), np.array([], int)), rounds=1)


def test_association_is_the_dice_coefficient():
    first = [np.array([1, 2]), np.array([1]), np.array([2, 2])]
    second = [np.array([7, 8]), np.array([7]), np.array([8])]
    best = lexicons.association(first, second, 9)
    assert best[1] == 7 and best[2] == 8 and best[3] == NONE
    table = np.full((9, 2), NONE)
    table[1], table[2] = [3, 7], [3, 4]
    assert lexicons.precision(table, best) == 0.5


def test_words_of_a_toy_language_find_their_translations(artefact, words):
    there, back = np.load(artefact / "lexicons" / "it-en.npy")
    tokenizer = load(artefact)
    names = [tokenizer.id_to_token(index) for index in range(tokenizer.get_vocab_size())]
    place = {name.lstrip("Ġ"): index for index, name in enumerate(names) if name.startswith("Ġ")}
    known = [(english, italian) for english, italian in words.items()
             if english in place and italian in place and there[place[italian], 0] != NONE]
    right = sum(place[english] in there[place[italian]] for english, italian in known)
    assert len(known) >= 12
    assert right / len(known) > 0.6  # of 3 guesses; by chance less than 0.2
    assert there.shape == back.shape and (there[place["the"]] == NONE).all()
    facts = json.loads((artefact / "lexicons" / "it-en.json").read_text())
    assert facts["seeds"] > 0 and facts["precision"] > 0.5
