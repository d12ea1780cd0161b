import numpy as np
import pytest
from scipy import special

from repro.errors import UserError
from repro.evaluate import ensembles


def test_soft_vote_follows_the_sure_member_where_a_hard_vote_would_not():
    sure = np.array([[5.0, 0.0]])
    doubting = np.array([[0.0, 0.2]])
    members = [sure, doubting, doubting]
    hard = np.bincount([int(m.argmax()) for m in members]).argmax()
    assert hard == 1
    assert ensembles.soft_vote(members).argmax() == 0


def test_soft_vote_is_the_mean_of_softmax_and_not_of_logits():
    members = [np.array([[9.0, 0.0]]), np.array([[0.0, 1.5]]), np.array([[0.0, 1.5]])]
    probabilities = sum(special.softmax(m, axis=1) for m in members) / 3
    vote = ensembles.soft_vote(members)
    np.testing.assert_allclose(np.exp(vote), probabilities, rtol=1e-12)
    assert (sum(members).argmax(), vote.argmax()) == (0, 1)


def test_one_member_votes_as_its_softmax_in_float64():
    logits = np.array([[0.1, 0.7]], dtype=np.float32)
    vote = ensembles.soft_vote([logits])
    assert vote.dtype == np.float64
    np.testing.assert_allclose(vote, special.log_softmax(logits.astype(float), axis=1))


def test_order_of_members_does_not_change_the_winner():
    rng = np.random.default_rng(0)
    members = list(rng.normal(size=(5, 200, 7)))
    forward = ensembles.soft_vote(members).argmax(1)
    assert np.array_equal(forward, ensembles.soft_vote(members[::-1]).argmax(1))


def test_regression_members_are_averaged():
    values = [np.array([1.0, 2.0]), np.array([3.0, 6.0])]
    assert ensembles.mean_value(values).tolist() == [2.0, 4.0]


def test_a_smaller_committee_is_the_first_members():
    assert ensembles.choose("abcd", 2) == ["a", "b"]
    assert ensembles.choose("abcd", None) == list("abcd")


@pytest.mark.parametrize("size", [0, -1, 5])
def test_a_committee_larger_than_its_members_is_refused(size):
    with pytest.raises(UserError, match="expected 1..4"):
        ensembles.choose("abcd", size)


def test_members_must_share_labels_and_shapes():
    same = np.array([0, 1])
    assert np.array_equal(ensembles.check_labels([same, same.copy()], "x"), same)
    with pytest.raises(UserError, match="member 1 was tested on other labels"):
        ensembles.check_labels([same, np.array([1, 0])], "x")
    with pytest.raises(UserError, match="differ in shape"):
        ensembles.soft_vote([np.zeros((2, 2)), np.zeros((2, 3))])
    with pytest.raises(UserError, match="no member"):
        ensembles.soft_vote([])
