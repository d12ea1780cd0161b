"""What all loops are given: sizes, how to run, clocks.

BENCH_SIZE in the environment chooses the size: `small` for CPUs, `base` for accelerators, `tiny` to
see in seconds that all works.
"""

import os
import time
from typing import Any, NamedTuple

import torch

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {
        "layers": 1, "hidden": 64, "heads": 1, "intermediate": 256, "gated": 128, "embedding": 64,
        "generator_hidden": 64, "vocabulary": 512, "batch_size": 4, "sequence_length": 32,
        "utterances": 2, "image_size": 16, "patch": 8,
    },
    "small": {
        "layers": 4, "hidden": 128, "heads": 2, "intermediate": 512, "gated": 344,
        "embedding": 128, "generator_hidden": 64, "vocabulary": 8192, "batch_size": 32,
        "sequence_length": 128, "utterances": 16, "image_size": 64, "patch": 8,
    },
    "base": {
        "layers": 12, "hidden": 768, "heads": 12, "intermediate": 3072, "gated": 2048,
        "embedding": 768, "generator_hidden": 256, "vocabulary": 32768, "batch_size": 64,
        "sequence_length": 512, "utterances": 32, "image_size": 224, "patch": 16,
    },
}
SIZE = os.environ.get("BENCH_SIZE", "small")
SETTING = SIZES[SIZE] | {
    "probability": 0.15, "dropout": 0.1, "classes": 3, "mels": 80, "stack": 4, "units": 64,
    "kernel": 15, "text_length": 32, "lr": 1e-3,
}
WARMUP = 3  # updates
PAD, UNK, CLS, SEP, MASK = range(5)
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# Tokens that are no padding; of both sides; frames that are no padding; images with their captions.
UNITS = {"mlm": "tokens", "rtd": "tokens", "clm": "tokens", "seq2seq": "tokens", "ctc": "frames",
         "contrastive": "pairs", "finetune": "tokens"}
RAGGED = ("seq2seq", "ctc", "finetune")  # rows differ in length, so that grouping them saves work


class How(NamedTuple):
    """threads: inside one operation. device: cpu or cuda. precision: fp32 or bf16. compiled: by
    torch.compile. numerics: of our loop, or free. grouped: whether others sort rows by length."""

    threads: int = 1
    device: str = "cpu"
    precision: str = "fp32"
    compiled: bool = False
    numerics: str = "portable"
    grouped: bool = False


class Instant(NamedTuple):
    """Seconds on the wall and of this process's CPU time, and the units trained on until now."""

    wall: float
    cpu: float
    units: int


class Clock:
    """What happened when: an entry after every update. steps: updates there will be."""

    def __init__(self, steps: int, device: str) -> None:
        self.entries: list[Instant] = []
        self.marks = {WARMUP, steps} if device != "cpu" else set()
        self.flops_per_unit: float | None = None  # of full rows, where our loop knows it

    def tick(self, units: int) -> None:
        """Note that an update on so many units is done. Waits for an accelerator only where time
        is taken."""
        if len(self.entries) + 1 in self.marks:
            torch.cuda.synchronize()
        before = self.entries[-1].units if self.entries else 0
        self.entries.append(Instant(time.perf_counter(), time.process_time(), before + units))


def encoder_shape(hidden: int) -> dict[str, Any]:
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
