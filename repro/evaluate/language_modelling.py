"""Measures of a language model: held-out perplexity, and what its training held in memory.

B rows, T positions, N predicted tokens, V words.
"""

import json
import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoModelForCausalLM

from repro.context import RunContext
from repro.data.causal import CausalRows
from repro.errors import UserError
from repro.losses.causal_lm import next_tokens
from repro.text.tokenizer import load_vocab
from repro.train import determinism
from repro.train.held import state_bytes
from repro.train.objective import Objective
from repro.train.streams import Streams


@torch.inference_mode()
def held_out(
    ctx: RunContext, *, batches: CausalRows, device: Literal["cpu", "cuda"] = "cpu"
) -> dict[str, float]:
    """Return the exported model's perplexity, nll (nats) and token_accuracy over a whole corpus,
    means over its predicted tokens; and training_flops, what pre-training spent.

    Raises UserError for a missing model or corpus.
    """
    folder = ctx.input("pretrain")
    try:
        model = AutoModelForCausalLM.from_pretrained(folder / "model", local_files_only=True)
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: no readable model; run the pretrain stage again") from error
    model.eval().to(determinism.device(device))
    nll, right, count = 0.0, 0, 0
    for tokens_BT, keep_BT in batches.in_order(ctx.input("data")):
        if not keep_BT[:, 1:].any():
            continue
        hidden_ND, targets_N = next_tokens(model, tokens_BT, keep_BT)
        logits_NV = model.lm_head(hidden_ND).float()
        nll += F.cross_entropy(logits_NV, targets_N, reduction="sum").item()
        right += int((logits_NV.argmax(dim=1) == targets_N).sum())
        count += len(targets_N)
    ctx.count(tokens=count)
    return {
        "perplexity": math.exp(nll / count),
        "nll": nll / count,
        "token_accuracy": right / count,
        "training_flops": summary["steps"] * summary["flops_per_step"],
    }


def training_size(
    ctx: RunContext,
    *,
    objective: Objective,
    optimizer: Callable[..., torch.optim.Optimizer],
) -> dict[str, float]:
    """Return parameters (all that training holds, frozen ones too) and training_bytes: the weights,
    the indices beside them, and the optimiser's state, in the types they are trained in.

    Counted on the meta device from the settings of pre-training; gradients and activations, which
    depend on the batch, are not in it (`repro check` counts them).
    """
    with torch.device("meta"):
        model: nn.Module = objective.build(load_vocab(ctx.input("data")), Streams(ctx.seed))
    kept = model.state_dict().keys()
    buffers = [buffer for name, buffer in model.named_buffers() if name in kept]
    held = sum(tensor.nbytes for tensor in (*model.parameters(), *buffers))
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "training_bytes": held + state_bytes(optimizer(model)),
    }
