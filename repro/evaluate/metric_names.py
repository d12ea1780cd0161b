"""The metrics by name, without torch: what `paper.yaml` may ask for and what a row may carry.

A table only; how each is computed stands in `repro.evaluate.metrics`.
"""

from typing import NamedTuple


class Metric(NamedTuple):
    """unit: of the value in a row; higher_is_better: the direction in which a model improves."""

    unit: str
    higher_is_better: bool


METRICS: dict[str, Metric] = {
    "accuracy": Metric("fraction", True),
    "balanced_accuracy": Metric("fraction", True),
    "f1": Metric("fraction", True),
    "macro_f1": Metric("fraction", True),
    "micro_f1": Metric("fraction", True),
    "span_f1": Metric("fraction", True),
    "exact_match": Metric("fraction", True),
    "mcc": Metric("correlation", True),
    "pearson": Metric("correlation", True),
    "spearman": Metric("correlation", True),
    "auc": Metric("fraction", True),
    "mlm_accuracy": Metric("fraction", True),
    "mse": Metric("squared error", False),
    "nll": Metric("nats", False),
    "perplexity": Metric("1", False),
    "flops_per_example": Metric("FLOP", False),
    "training_flops": Metric("FLOP", False),
    "parameters": Metric("1", False),
    "overlap": Metric("fraction", True),
}
