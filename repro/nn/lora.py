"""Decoders whose projections get low-rank updates, and nothing else is trained: LoRA, by peft."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, PreTrainedModel

from repro.errors import UserError
from repro.text.tokenizer import VocabInfo

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def lora(
    vocab: VocabInfo,
    /,
    *,
    decoder: Callable[..., PreTrainedModel],
    rank: int,
    alpha: float,
    targets: tuple[str, ...] = PROJECTIONS,
    dropout: float = 0.0,
) -> PeftModel:
    """Return decoder(vocab) with W + alpha / rank B A in place of each target's W; B = 0 at first.

    targets: ends of the names of linear layers. A is drawn from torch's global generator.
    Raises UserError for a rank below 1 and targets that there are not.
    Source: Hu et al. 2022, in the form of peft.
    """
    if rank < 1:
        raise UserError(f"rank = {rank}: expected at least 1")
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(targets),
                        lora_dropout=dropout)
    try:
        return get_peft_model(decoder(vocab), config)
    except ValueError as error:
        raise UserError(f"lora.targets = {targets}: {error}") from error


@torch.no_grad()
def take_base(model: PeftModel, folder: Path, vocab: Any = None) -> None:
    """Give the frozen weights those of an exported decoder, in place; the updates stay.

    vocab is not looked at: this is a `start` of `repro.train.adaptation`. Raises UserError for a
    folder without a readable decoder, or where a weight is missing or of another shape.
    """
    try:
        earlier = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: no readable decoder; run the stage before again") from error
    weights = earlier.state_dict()
    for name, tensor in model.get_base_model().state_dict().items():
        plain = name.replace(".base_layer", "")
        if ".lora_" in name:
            continue
        if plain not in weights or weights[plain].shape != tensor.shape:
            there = tuple(weights[plain].shape) if plain in weights else "missing"
            raise UserError(f"{folder}: {plain} is {there}, expected {tuple(tensor.shape)}")
        tensor.copy_(weights[plain])


def merged(model: PeftModel) -> PreTrainedModel:
    """Return a copy with W + alpha / rank B A as plain weights: the same function, loadable by
    anyone."""
    return copy.deepcopy(model).merge_and_unload()
