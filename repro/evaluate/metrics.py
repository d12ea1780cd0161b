"""Task metrics from scikit-learn, scipy and seqeval, by name: how they follow from predictions.

N examples (for tagging: labelled tokens), C classes. All names with their units stand in
`repro.metric_names`.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special, stats
from seqeval.metrics import f1_score as seqeval_f1
from sklearn import metrics as sk

from repro.errors import UserError
from repro.naming import nearest

Needs = Literal["classes", "binary", "logits", "binary_logits", "values", "spans"]


@dataclass(frozen=True)
class Metric:
    """One metric. needs: what `function` is given first, beside the targets in the same form.

    classes: predicted class ids (N,) int64; binary: the same, of exactly two classes, 1 = positive;
    logits: unnormalised log-probabilities (N, C); binary_logits: the same with C = 2;
    values: (N,) float; spans: label names, a list a sentence.
    """

    function: Callable[..., float]
    needs: Needs
    higher_is_better: bool = True


def _pearson(values_N: np.ndarray, targets_N: np.ndarray) -> float:
    if _constant(values_N) or _constant(targets_N):
        return 0.0
    return float(stats.pearsonr(values_N, targets_N).statistic)


def _spearman(values_N: np.ndarray, targets_N: np.ndarray) -> float:
    if _constant(values_N) or _constant(targets_N):
        return 0.0
    return float(stats.spearmanr(values_N, targets_N).statistic)


def _constant(values_N: np.ndarray) -> bool:
    return bool(np.all(values_N == values_N[0]))


def _f1(average: str) -> Callable[[np.ndarray, np.ndarray], float]:
    def f1(predicted_N: np.ndarray, targets_N: np.ndarray) -> float:
        return sk.f1_score(targets_N, predicted_N, average=average, zero_division=0)

    return f1


def _balanced_accuracy(predicted_N: np.ndarray, targets_N: np.ndarray) -> float:
    recalls = [(predicted_N[targets_N == label] == label).mean() for label in np.unique(targets_N)]
    return float(np.mean(recalls))


def _auc(logits_N2: np.ndarray, targets_N: np.ndarray) -> float:
    if _constant(targets_N):
        return 0.5
    return sk.roc_auc_score(targets_N, logits_N2[:, 1] - logits_N2[:, 0])


def _nll(logits_NC: np.ndarray, targets_N: np.ndarray) -> float:
    log_p_NC = special.log_softmax(logits_NC, axis=1)
    return float(-log_p_NC[np.arange(len(targets_N)), targets_N].mean())


def _perplexity(logits_NC: np.ndarray, targets_N: np.ndarray) -> float:
    return float(np.exp(_nll(logits_NC, targets_N)))


def _span_f1(predicted: list[list[str]], targets: list[list[str]]) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a tag set without B-/I- warns once a token
        return float(seqeval_f1(targets, predicted, zero_division=0))


METRICS: dict[str, Metric] = {
    "accuracy": Metric(lambda predicted, targets: sk.accuracy_score(targets, predicted), "classes"),
    "balanced_accuracy": Metric(_balanced_accuracy, "classes"),
    "f1": Metric(_f1("binary"), "binary"),
    "macro_f1": Metric(_f1("macro"), "classes"),
    "micro_f1": Metric(_f1("micro"), "classes"),
    "mcc": Metric(lambda predicted, targets: sk.matthews_corrcoef(targets, predicted), "classes"),
    "auc": Metric(_auc, "binary_logits"),
    "nll": Metric(_nll, "logits", higher_is_better=False),
    "perplexity": Metric(_perplexity, "logits", higher_is_better=False),
    "pearson": Metric(_pearson, "values"),
    "spearman": Metric(_spearman, "values"),
    "mse": Metric(lambda values, targets: sk.mean_squared_error(targets, values), "values",
                  higher_is_better=False),
    "span_f1": Metric(_span_f1, "spans"),
}


def lookup(name: str, kind: str, classes: int) -> Metric:
    """Return a metric after checking that a task of this kind and label count has it.

    Raises UserError for an unknown name or one that does not fit.
    """
    if name not in METRICS:
        raise UserError(f"metric {name!r}: unknown{nearest(name, METRICS)}")
    metric = METRICS[name]
    if (metric.needs == "values") != (kind == "regression"):
        raise UserError(f"metric {name!r}: not defined for a {kind} task")
    if metric.needs.startswith("binary") and classes != 2:
        raise UserError(f"metric {name!r}: needs 2 labels, the task has {classes}")
    if metric.needs == "spans" and kind != "tagging":
        raise UserError(f"metric {name!r}: needs a tagging task, not {kind}")
    return metric


def compute(
    name: str,
    outputs: np.ndarray,
    targets_N: np.ndarray,
    *,
    kind: str,
    labels: Sequence[str] = (),
    lengths: np.ndarray | None = None,
) -> float:
    """Return one metric of a task's outputs.

    outputs: (N, C) logits or log-probabilities; (N,) values for regression. targets_N: int64 class
    ids or float values. lengths: labelled tokens of each sentence, summing to N, for span metrics.
    Conventions where a value is undefined: pearson and spearman of a constant side and mcc of a
    constant side are 0; F1 without positives is 0; auc with one class in the targets is 0.5;
    macro_f1 averages the labels that occur in the targets or the predictions.
    Raises UserError for an unknown or unfitting metric, empty or unequal inputs, unknown label ids.
    """
    metric = lookup(name, kind, len(labels))
    outputs = np.asarray(outputs, dtype=np.float64)
    if len(outputs) != len(targets_N) or len(targets_N) == 0:
        raise UserError(
            f"metric {name!r}: {len(outputs)} predictions for {len(targets_N)} labels"
        )
    if not np.isfinite(outputs).all():
        raise UserError(f"metric {name!r}: predictions are not finite")
    if metric.needs == "values":
        return float(metric.function(outputs, np.asarray(targets_N, dtype=np.float64)))
    _check_classes(name, outputs, targets_N, labels)
    if metric.needs.endswith("logits"):
        return float(metric.function(outputs, targets_N))
    predicted_N = outputs.argmax(axis=1)
    if metric.needs == "spans":
        if lengths is None or int(np.sum(lengths)) != len(targets_N):
            raise UserError(f"metric {name!r}: sentence lengths do not add up to the labels")
        cut = [_sentences(ids_N, labels, lengths) for ids_N in (predicted_N, targets_N)]
        return float(metric.function(*cut))
    return float(metric.function(predicted_N, targets_N))


def _check_classes(
    name: str, outputs_NC: np.ndarray, targets_N: np.ndarray, labels: Sequence[str]
) -> None:
    if outputs_NC.ndim != 2 or outputs_NC.shape[1] != len(labels):
        raise UserError(
            f"metric {name!r}: predictions of shape {outputs_NC.shape} for {len(labels)} labels"
        )
    if targets_N.min() < 0 or targets_N.max() >= len(labels):
        raise UserError(
            f"metric {name!r}: label ids {targets_N.min()}..{targets_N.max()} outside "
            f"0..{len(labels) - 1}"
        )


def _sentences(
    ids_N: np.ndarray, labels: Sequence[str], lengths: np.ndarray
) -> list[list[str]]:
    ends = np.cumsum(lengths)[:-1]
    return [[labels[i] for i in sentence] for sentence in np.split(ids_N, ends)]
