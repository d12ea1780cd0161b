"""Text to batches with `datasets` and transformers, as its example scripts do it (run_mlm.py)."""

from itertools import chain
from pathlib import Path

import datasets
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast, default_data_collator

from repro.text.tokenizer import ROLES, SPECIAL_TOKENS


def pack(text: Path, tokenizer: Path, out: Path, processes: int, length: int) -> int:
    """Tokenise and pack into the cache on disk; return the tokens."""
    return len(packed(text, tokenizer, out, processes, length)) * length


def save(text: Path, tokenizer: Path, out: Path, length: int) -> None:
    """Leave a packed corpus for `first_batch`."""
    packed(text, tokenizer, out, 1, length).save_to_disk(str(out / "packed"))


def packed(
    text: Path, tokenizer: Path, out: Path, processes: int, length: int
) -> datasets.Dataset:
    """Tokenise a document a line, join, cut into windows of `length`.

    Masks and segments, which nobody reads here, are not made. processes: of `map`; with one,
    tokenizers uses all cores as threads.
    """
    datasets.disable_progress_bars()
    fast = PreTrainedTokenizerFast(
        tokenizer_file=str(tokenizer / "tokenizer.json"),
        **dict(zip(ROLES, SPECIAL_TOKENS, strict=True)))
    end, number = fast.sep_token_id, processes if processes > 1 else None

    def tokenised(rows):
        ids = fast(rows["text"], add_special_tokens=False, return_attention_mask=False,
                   return_token_type_ids=False)["input_ids"]
        return {"input_ids": [[*row, end] for row in ids]}

    def grouped(rows):
        joined = list(chain.from_iterable(rows["input_ids"]))
        last = len(joined) // length * length
        return {"input_ids": [joined[i : i + length] for i in range(0, last, length)]}

    lines = datasets.load_dataset("text", data_files=str(text), split="train",
                                  cache_dir=str(out / "cache"))
    return lines.map(
        tokenised, batched=True, num_proc=number, remove_columns=["text"]
    ).map(grouped, batched=True, num_proc=number)


def first_batch(out: Path, size: int, length: int) -> tuple[int, ...]:
    """Open what `save` left and return the shape of the first batch."""
    found = datasets.load_from_disk(str(out / "packed"))
    batches = DataLoader(found, batch_size=size, shuffle=True, collate_fn=default_data_collator)
    return tuple(next(iter(batches))["input_ids"].shape)
