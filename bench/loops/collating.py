"""transformers' own collators over the synthetic rows, for the loops of others."""

from collections.abc import Callable
from typing import Any

from tokenizers import Tokenizer, models
from transformers import (
    DataCollatorForLanguageModeling,
    DataCollatorWithPadding,
    PreTrainedTokenizerFast,
)

from loops.setting import SETTING, SPECIAL, labels, lengths, rows


def examples(task: str, count: int) -> list[dict[str, Any]]:
    """Return what a collator is given, one by one."""
    found = [{"input_ids": row_T} for row_T in rows(count)]
    if task == "finetune":
        for one, length, label in zip(found, lengths(count), labels(count), strict=True):
            one |= {"input_ids": one["input_ids"][:length], "label": int(label)}
    return found


def collator(task: str) -> Callable[..., Any]:
    """Return transformers' collator of a task: the same masking, or padding to the longest row."""
    words = {name: i for i, name in enumerate(SPECIAL)}
    words |= {f"w{i}": i for i in range(len(SPECIAL), SETTING["vocabulary"])}
    roles = dict(zip(("pad", "unk", "cls", "sep", "mask"), SPECIAL, strict=True))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="[UNK]")),
        **{f"{role}_token": name for role, name in roles.items()},
    )
    match task:
        case "finetune":
            return DataCollatorWithPadding(tokenizer)
        case "clm":
            return DataCollatorForLanguageModeling(tokenizer, mlm=False)
        case "mlm":
            return DataCollatorForLanguageModeling(
                tokenizer, mlm_probability=SETTING["probability"])
        case "rtd":
            return DataCollatorForLanguageModeling(
                tokenizer, mlm_probability=SETTING["probability"], mask_replace_prob=1.0,
                random_replace_prob=0.0)
