"""Conformer recognisers: log-mel frames stacked, a Conformer, a linear layer over the units.

B utterances, T frames, N outputs (T over the stack), M mels, V units.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel, Wav2Vec2BertConfig, Wav2Vec2BertForCTC

from repro.errors import UserError
from repro.nn import flops
from repro.nn.dropout import Dropout


def conformer(
    units: int,
    /,
    *,
    mels: int = 80,
    stack: int = 4,
    hidden: int = 128,
    layers: int = 4,
    heads: int = 4,
    intermediate: int = 512,
    kernel: int = 15,
    dropout: float = 0.1,
    positions: int = 1000,
) -> Wav2Vec2BertForCTC:
    """Return a Conformer with a linear layer over `units`, from torch's global generator.

    stack: frames joined into one input; the output has as many fewer steps. kernel: of the
    depthwise convolution. dropout: everywhere (`repro.nn.dropout`). positions: outputs for which
    sinusoids are kept ready; more are made when needed. Relative positions as in Transformer-XL. A
    vector for masked inputs is part of it, used in self-supervised training only. Raises UserError
    if heads does not divide hidden.
    Source: Gulati et al. 2020, in the form of transformers' Wav2Vec2Bert.
    """
    if heads < 1 or hidden % heads:
        raise UserError(f"heads = {heads}: must divide hidden = {hidden}")
    if stack < 1:
        raise UserError(f"stack = {stack}: expected at least 1")
    model = Wav2Vec2BertForCTC(
        Wav2Vec2BertConfig(
            vocab_size=units,
            pad_token_id=0,
            feature_projection_input_dim=mels * stack,
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=intermediate,
            conv_depthwise_kernel_size=kernel,
            position_embeddings_type="relative",
            max_source_positions=positions,
            hidden_dropout=dropout,
            activation_dropout=dropout,
            attention_dropout=dropout,
            feat_proj_dropout=dropout,
            final_dropout=dropout,
            conformer_conv_dropout=dropout,
            layerdrop=0.0,
            # Masks come from outside, from streams: transformers would draw them from numpy's
            # global state. A probability of 0 would leave the vector for masked inputs out.
            apply_spec_augment=False,
            frame_stack=stack,
        )
    )
    for name, module in list(model.named_modules()):
        if type(module) is nn.Dropout:
            model.set_submodule(name, Dropout(module.p))
    return model


def stacked(
    features_BTM: torch.Tensor, frames_B: torch.Tensor, stack: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (inputs (B, N, M * stack), keep_BN bool); N = T / stack rounded up, the last padded.

    An input is kept where at least one of its frames is of the utterance.
    """
    rows, frames, mels = features_BTM.shape
    padded_BTM = F.pad(features_BTM, (0, 0, 0, -frames % stack))
    inputs = padded_BTM.view(rows, -1, mels * stack)
    outputs_B = outputs_of(frames_B, stack)
    return inputs, torch.arange(inputs.shape[1]) < outputs_B[:, None]


def outputs_of(frames_B: torch.Tensor, stack: int) -> torch.Tensor:
    """Return how many outputs so many frames have."""
    return (frames_B + stack - 1).div(stack, rounding_mode="floor")


def log_probabilities(
    model: Wav2Vec2BertForCTC, features_BTM: torch.Tensor, frames_B: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (log_probs (B, N, V) float32 on the model's device, outputs_B on the CPU).

    features_BTM, frames_B: on the CPU, frames after padding are left out.
    """
    inputs, keep_BN = stacked(features_BTM, frames_B, model.config.frame_stack)
    device = model.device
    logits = model(input_features=inputs.to(device), attention_mask=keep_BN.to(device)).logits
    return logits.float().log_softmax(dim=-1), keep_BN.sum(dim=1)


@torch.no_grad()
def take_encoder(model: Wav2Vec2BertForCTC, folder: Path, vocab: Any = None) -> None:
    """Give a recogniser the encoder of an exported model, in place; the output layer stays.

    folder: of a recogniser, or of an encoder alone. vocab is not looked at: this is a `start` of
    `repro.train.adaptation`. Raises RuntimeError for an encoder of another size.
    """
    prefix = f"{model.base_model_prefix}."
    model.base_model.load_state_dict({
        name.removeprefix(prefix): tensor
        for name, tensor in load_file(folder / "model.safetensors").items()
        if not name.startswith("lm_head.")})


def training_flops(model: PreTrainedModel, rows: int, frames: int) -> int:
    """Return the operations of an update on (rows, frames) frames, multiply-add = 2.

    Dense layers and convolutions of every module, scores and weighted sum over N x N, and the
    scores against relative positions.
    """
    config = model.config
    steps = -(-frames // config.frame_stack)
    total = 0
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            total += flops.linear(rows * steps, layer.in_features, layer.out_features)
        elif isinstance(layer, nn.Conv1d):
            total += 2 * rows * steps * layer.weight.numel()
    attention = 4 * flops.linear(rows * steps, steps, config.hidden_size)
    return flops.training(total + config.num_hidden_layers * attention)
