"""What all loops are given: sizes, synthetic batches, clocks.

R rows, T positions.
"""

import time
from typing import Any, NamedTuple

import numpy as np

SETTING = {
    "layers": 4,
    "hidden": 128,
    "heads": 2,
    "intermediate": 512,
    "embedding": 128,
    "generator_hidden": 64,
    "vocabulary": 8192,
    "batch_size": 32,
    "sequence_length": 128,
    "probability": 0.15,
    "dropout": 0.1,
    "classes": 3,
    "precision": "fp32",
}
WARMUP = 3
PAD, UNK, CLS, SEP, MASK = range(5)
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class Instant(NamedTuple):
    """Seconds on the wall and of this process's CPU time, and the tokens trained on until now."""

    wall: float
    cpu: float
    tokens: int


class Clock:
    """What happened when: an entry after every update."""

    def __init__(self) -> None:
        self.entries: list[Instant] = []

    def tick(self, tokens: int) -> None:
        """Note that an update on so many tokens (padding does not count) is done."""
        before = self.entries[-1].tokens if self.entries else 0
        self.entries.append(Instant(time.perf_counter(), time.process_time(), before + tokens))


def rows(count: int) -> np.ndarray:
    """Return full rows RT, int64, [CLS] and [SEP] at the ends, words by a Zipf law."""
    words = SETTING["vocabulary"] - len(SPECIAL)
    share = 1.0 / np.arange(1, words + 1)
    tokens_RT = np.random.default_rng(0).choice(
        words, size=(count, SETTING["sequence_length"]), p=share / share.sum()
    ) + len(SPECIAL)
    tokens_RT[:, 0], tokens_RT[:, -1] = CLS, SEP
    return tokens_RT


def lengths(count: int) -> np.ndarray:
    """Return lengths of sentence pairs, int64: mean about 39, sd 18, as MNLI has them in WordPieces
    (drawn from a gamma distribution), 8 to T."""
    drawn_R = np.random.default_rng(1).gamma(4.7, 8.3, size=count).round().astype(np.int64)
    return drawn_R.clip(8, SETTING["sequence_length"])


def labels(count: int) -> np.ndarray:
    """Return classes, int64."""
    return np.random.default_rng(2).integers(SETTING["classes"], size=count)


def shape(hidden: int) -> dict[str, Any]:
    """Return the arguments of transformers' configurations of encoders."""
    return {
        "vocab_size": SETTING["vocabulary"],
        "hidden_size": hidden,
        "num_hidden_layers": SETTING["layers"],
        "num_attention_heads": max(1, hidden // 64),
        "intermediate_size": 4 * hidden,
        "max_position_embeddings": SETTING["sequence_length"],
        "hidden_dropout_prob": SETTING["dropout"],
        "attention_probs_dropout_prob": SETTING["dropout"],
        "attn_implementation": "sdpa",
    }


def decoder_shape() -> dict[str, Any]:
    """Return the arguments of a small LlamaConfig."""
    return {
        "vocab_size": SETTING["vocabulary"],
        "hidden_size": SETTING["hidden"],
        "num_hidden_layers": SETTING["layers"],
        "num_attention_heads": SETTING["heads"],
        "intermediate_size": 344,
        "max_position_embeddings": SETTING["sequence_length"],
        "tie_word_embeddings": True,
        "attn_implementation": "sdpa",
    }
