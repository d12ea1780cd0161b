"""How well a decoder continues prompts: by exact match, and by the probability of the answer.

B items, T positions, N answer tokens, V words.
"""

from collections.abc import Sequence

import torch
from tokenizers import Tokenizer
from torch.nn import functional as F
from transformers import PreTrainedModel

from repro.errors import UserError
from repro.nn.decoders import hidden_states
from repro.text.tokenizer import encode, vocab_info

Item = tuple[str, str]


@torch.inference_mode()
def score(
    model: PreTrainedModel, tokenizer: Tokenizer, items: Sequence[Item], *, batch_size: int = 32
) -> dict[str, float]:
    """Return exact_match (share of items whose greedy continuation begins with the answer) and
    nll (nats per answer token, mean over items).

    items: (prompt, answer), joined by a space after [SEP]. Greedy decoding gives an answer exactly
    if each of its tokens is the most likely one after the right ones before it, so one pass
    decides it. Raises UserError for no items, or an answer that runs into the prompt's last token.
    """
    if not items:
        raise UserError("continuations: no items")
    start = vocab_info(tokenizer).sep
    prompts = encode(tokenizer, [prompt for prompt, _ in items])
    texts = encode(tokenizer, [f"{prompt} {answer}" for prompt, answer in items])
    exact, nll = 0, 0.0
    for first in range(0, len(items), batch_size):
        some = slice(first, first + batch_size)
        for right, loss in _scored(model, prompts[some], texts[some], start):
            exact, nll = exact + right, nll + loss
    return {"exact_match": exact / len(items), "nll": nll / len(items)}


def _scored(
    model: PreTrainedModel, prompts: list[list[int]], texts: list[list[int]], start: int
) -> list[tuple[bool, float]]:
    """Return for each item whether its answer is the greedy one, and its mean loss."""
    width = 1 + max(map(len, texts))
    tokens_BT = torch.full((len(texts), width), start)
    for row, (prompt, text) in enumerate(zip(prompts, texts, strict=True)):
        if text[: len(prompt)] != prompt or len(text) == len(prompt):
            raise UserError("continuations: an answer changes how its prompt is tokenised")
        tokens_BT[row, 1 : 1 + len(text)] = torch.tensor(text)
    tokens_BT = tokens_BT.to(model.device)
    logits_BTV = model.lm_head(hidden_states(model, tokens_BT)).float()
    found = []
    for row, (prompt, text) in enumerate(zip(prompts, texts, strict=True)):
        answer_N = tokens_BT[row, 1 + len(prompt) : 1 + len(text)]
        logits_NV = logits_BTV[row, len(prompt) : len(text)]
        right = bool((logits_NV.argmax(dim=1) == answer_N).all())
        found.append((right, F.cross_entropy(logits_NV, answer_N).item()))
    return found
