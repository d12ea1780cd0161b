"""The metrics by name: what `paper.yaml` may ask for and what a row may carry.

A table only, and outside every key: runs write names and values (`repro.evaluate.rows`), and what
they mean is joined to them when rows are collected. So a paper that brings a metric changes no key.
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
    "pool_accuracy": Metric("fraction", True),
    "mse": Metric("squared error", False),
    "nll": Metric("nats", False),
    "perplexity": Metric("1", False),
    "bits_per_byte": Metric("bits", False),
    "token_accuracy": Metric("fraction", True),
    "bleu": Metric("points", True),
    "chrf": Metric("points", True),
    "wer": Metric("fraction", False),
    "cer": Metric("fraction", False),
    "per": Metric("fraction", False),
    "recall_at_1": Metric("fraction", True),
    "recall_at_5": Metric("fraction", True),
    "recall_at_10": Metric("fraction", True),
    "success_rate": Metric("fraction", True),
    "mean_return": Metric("1", True),
    "epsilon": Metric("1", False),
    "attack_advantage": Metric("fraction", False),
    "training_bytes": Metric("byte", False),
    "flops_per_example": Metric("FLOP", False),
    "training_flops": Metric("FLOP", False),
    "parameters": Metric("1", False),
    "non_embedding_parameters": Metric("1", False),
    "training_tokens": Metric("token", False),
    "overlap": Metric("fraction", True),
    "spectral_share": Metric("fraction", True),
    "tokens_to_target": Metric("token", False),
    "pair_distance": Metric("1", False),
    "off_target": Metric("fraction", False),
    "noise_multiplier": Metric("clipping norm", False),
    "wer_without_lm": Metric("fraction", False),
    "wer_unseen": Metric("fraction", False),
    "forgetting": Metric("fraction", False),
    "mean_iou": Metric("fraction", True),
    "mass_inside": Metric("fraction", True),
}
