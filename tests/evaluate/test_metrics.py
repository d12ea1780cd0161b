import math

import numpy as np
import pytest

from repro import metric_names
from repro.errors import UserError
from repro.evaluate import metrics

TWO, THREE = ("no", "yes"), ("a", "b", "c")


def one_hot(ids: list[int], classes: int) -> np.ndarray:
    return np.eye(classes)[ids]


# Targets 0 0 0 1 1 2, predictions 0 0 1 1 0 2: 4 of 6 right; by class precision 2/3, 1/2, 1,
# recall 2/3, 1/2, 1.
PREDICTED, TARGETS = [0, 0, 1, 1, 0, 2], np.array([0, 0, 0, 1, 1, 2])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("accuracy", 4 / 6),
        ("micro_f1", 4 / 6),
        ("macro_f1", (2 / 3 + 1 / 2 + 1) / 3),
        ("balanced_accuracy", (2 / 3 + 1 / 2 + 1) / 3),
        # Cov(t,p) = 4*6 - (3*3 + 2*2 + 1*1) = 10; Var = 36 - 14 on both sides.
        ("mcc", 10 / 22),
    ],
)
def test_class_metrics_by_hand(name, expected):
    value = metrics.compute(
        name, one_hot(PREDICTED, 3), TARGETS, kind="classification", labels=THREE
    )
    assert value == pytest.approx(expected, abs=1e-12)


def test_macro_and_balanced_differ_when_a_class_is_only_predicted():
    outputs, targets = one_hot([0, 0, 2, 1], 3), np.array([0, 0, 0, 1])
    kind = {"kind": "classification", "labels": THREE}
    assert metrics.compute("balanced_accuracy", outputs, targets, **kind) == pytest.approx(5 / 6)
    # F1: 2*1*(2/3)/(1 + 2/3) = 0.8, 1, and 0 for the class nobody has.
    assert metrics.compute("macro_f1", outputs, targets, **kind) == pytest.approx(1.8 / 3)


def test_binary_f1_counts_label_one_as_positive():
    outputs, targets = one_hot([1, 1, 0, 0, 1], 2), np.array([1, 0, 1, 0, 1])
    value = metrics.compute("f1", outputs, targets, kind="pair", labels=TWO)
    assert value == pytest.approx(2 / 3)  # precision 2/3, recall 2/3
    none = metrics.compute("f1", one_hot([0] * 5, 2), targets, kind="pair", labels=TWO)
    assert none == 0.0


def test_auc_ranks_by_the_difference_of_logits():
    # Differences -1, 3, 1, 2 for labels 0, 0, 1, 1: positives beat negatives in 2 of 4 pairs.
    logits = np.array([[5.0, 4.0], [0.0, 3.0], [0.0, 1.0], [7.0, 9.0]])
    kind = {"kind": "classification", "labels": TWO}
    assert metrics.compute("auc", logits, np.array([0, 0, 1, 1]), **kind) == pytest.approx(0.5)
    assert metrics.compute("auc", logits, np.array([0, 1, 1, 0]), **kind) == pytest.approx(0.75)
    assert metrics.compute("auc", logits, np.array([1, 1, 1, 1]), **kind) == 0.5


def test_nll_and_perplexity_of_known_probabilities():
    logits = np.log(np.array([[0.25, 0.75], [0.5, 0.5]]) * 8)  # unnormalised
    kind = {"kind": "classification", "labels": TWO}
    targets = np.array([1, 0])
    expected = -(math.log(0.75) + math.log(0.5)) / 2
    assert metrics.compute("nll", logits, targets, **kind) == pytest.approx(expected)
    assert metrics.compute("perplexity", logits, targets, **kind) == pytest.approx(
        math.exp(expected)
    )


def test_regression_metrics_by_hand():
    values, targets = np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, 2.0])
    # Deviations (-4/3, -1/3, 5/3) and (-1, 1, 0): covariance 1, variances 14/3 and 2.
    pearson = metrics.compute("pearson", values, targets, kind="regression")
    assert pearson == pytest.approx(1 / math.sqrt(14 / 3 * 2))
    assert metrics.compute("spearman", values, targets, kind="regression") == pytest.approx(0.5)
    assert metrics.compute("mse", values, targets, kind="regression") == pytest.approx(5 / 3)


@pytest.mark.parametrize("name", ["pearson", "spearman"])
def test_correlation_with_a_constant_is_zero(name):
    varied, constant = np.array([1.0, 2.0, 3.0]), np.ones(3)
    assert metrics.compute(name, constant, varied, kind="regression") == 0.0
    assert metrics.compute(name, varied, constant, kind="regression") == 0.0


def test_mcc_of_a_constant_prediction_is_zero():
    outputs = one_hot([0, 0, 0, 0], 2)
    targets = np.array([0, 1, 0, 1])
    assert metrics.compute("mcc", outputs, targets, kind="classification", labels=TWO) == 0.0


def test_span_f1_ends_spans_at_sentence_ends():
    labels = ("O", "B-PER", "I-PER")
    targets = np.array([1, 2, 2, 0])  # two sentences of two: [B I] [I O]
    predicted = one_hot([1, 2, 0, 0], 3)
    found = {
        lengths: metrics.compute(
            "span_f1", predicted, targets, kind="tagging", labels=labels,
            lengths=np.array(lengths),
        )
        for lengths in ((2, 2), (4,))
    }
    # Cut in two, the first span is right (P 1, R 1/2); as one sentence, B I I is missed.
    assert found == {(2, 2): pytest.approx(2 / 3), (4,): 0.0}


def test_tagging_accuracy_counts_tokens():
    value = metrics.compute(
        "accuracy", one_hot([0, 1, 1, 2], 3), np.array([0, 1, 2, 2]), kind="tagging", labels=THREE
    )
    assert value == 0.75


@pytest.mark.parametrize(
    ("name", "kind", "labels", "message"),
    [
        ("acuracy", "classification", THREE, "did you mean 'accuracy'"),
        ("f1", "classification", THREE, "needs 2 labels"),
        ("accuracy", "regression", (), "not defined for a regression"),
        ("pearson", "pair", TWO, "not defined for a pair"),
        ("span_f1", "classification", THREE, "needs a tagging task"),
    ],
)
def test_a_metric_that_does_not_fit_is_refused(name, kind, labels, message):
    with pytest.raises(UserError, match=message):
        metrics.lookup(name, kind, len(labels))


@pytest.mark.parametrize(
    ("outputs", "targets", "message"),
    [
        (np.zeros((0, 2)), np.zeros(0, int), "0 predictions"),
        (np.zeros((2, 2)), np.zeros(3, int), "2 predictions for 3"),
        (np.zeros((2, 2)), np.array([0, 2]), "outside 0..1"),
        (np.zeros((2, 3)), np.array([0, 1]), "for 2 labels"),
        (np.array([[np.nan, 0], [0, 0]]), np.array([0, 1]), "not finite"),
    ],
)
def test_predictions_and_labels_are_checked(outputs, targets, message):
    with pytest.raises(UserError, match=message):
        metrics.compute("accuracy", outputs, targets, kind="classification", labels=TWO)


def test_a_metric_improves_in_the_direction_that_its_name_has_everywhere():
    table = metric_names.METRICS
    assert metrics.METRICS.keys() <= table.keys()
    assert {name: one.higher_is_better for name, one in metrics.METRICS.items()} == {
        name: table[name].higher_is_better for name in metrics.METRICS}
