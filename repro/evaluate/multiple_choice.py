"""Questions with four answers, decided by the probability of the answer's letter (MMLU).

C choices, V words.
"""

from collections.abc import Iterable
from typing import Any, Literal

import torch
from tokenizers import Tokenizer
from transformers import PreTrainedModel

from repro.context import RunContext
from repro.errors import UserError
from repro.evaluate.language_models import load
from repro.nn.decoders import hidden_states
from repro.text import tokenizer as vocabularies
from repro.train import determinism

LETTERS = "ABCD"


def mmlu(
    ctx: RunContext,
    *,
    dataset: str,
    revision: str,
    config: str = "all",
    split: str = "test",
    longest: int = 2048,
    device: Literal["cpu", "cuda"] = "cuda",
) -> dict[str, float]:
    """Return the accuracy on a hub data set with question, choices, answer and subject, without
    examples in the prompt. A prompt is cut at its beginning to `longest` tokens.

    Raises UserError when it is not reachable. Source: Hendrycks et al. 2021.
    """
    import datasets

    try:
        rows = datasets.load_dataset(dataset, config, split=split, revision=revision)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise UserError(f"hub data set {dataset} ({config}) at revision {revision} is not "
                        f"reachable: {error}") from error
    model = load(ctx).to(determinism.device(device))
    return {"accuracy": accuracy(model, vocabularies.load(ctx.input("data")), rows, longest)}


@torch.inference_mode()
def accuracy(
    model: PreTrainedModel, tokenizer: Tokenizer, rows: Iterable[dict[str, Any]], longest: int
) -> float:
    """Return the share of rows whose right letter is the most probable of the four."""
    letters = vocabularies.encode(tokenizer, [f" {letter}" for letter in LETTERS])
    letters_C = [ids[-1] for ids in letters]
    start = vocabularies.vocab_info(tokenizer).cls
    right, count = 0, 0
    for row in rows:
        (ids,) = vocabularies.encode(tokenizer, [prompt(row)])
        tokens_1T = torch.tensor([[start, *ids[-longest + 1 :]]], device=model.device)
        logits_V = model.lm_head(hidden_states(model, tokens_1T)[0, -1])
        right += int(logits_V[letters_C].argmax()) == row["answer"]
        count += 1
    return right / count


def prompt(row: dict[str, Any]) -> str:
    """Return the question as MMLU's authors ask it."""
    subject = row["subject"].replace("_", " ")
    head = f"The following are multiple choice questions (with answers) about {subject}.\n\n"
    choices = "".join(f"\n{letter}. {text}" for letter, text in zip(LETTERS, row["choices"],
                                                                  strict=True))
    return f"{head}{row['question']}{choices}\nAnswer:"
