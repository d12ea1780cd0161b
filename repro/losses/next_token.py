"""Causal language modelling by a GPT-2. B sequences, T positions, N predicted tokens, D hidden."""

import torch
from transformers import GPT2LMHeadModel

from repro.losses.causal_lm import CausalLM
from repro.losses.cross_entropy import mean_cross_entropy
from repro.nn import flops, gpt2
from repro.train.streams import Streams


class NextToken(CausalLM):
    """Predict the next token, at every position but the last. decoder: factory of a GPT-2."""

    def loss(
        self,
        model: GPT2LMHeadModel,
        tokens_BT: torch.Tensor,
        keep_BT: torch.Tensor,
        streams: Streams,
        step: int,
    ) -> dict[str, torch.Tensor]:
        """Return {"loss": nats per token}. tokens_BT int64, keep_BT bool (False = padding, at the
        ends of rows), on the CPU. Raises UserError for rows longer than the decoder's positions."""
        tokens_BT = tokens_BT.to(model.device)
        hidden_BTD = gpt2.hidden_states(model, model.transformer.wte(tokens_BT))[:, :-1]
        targets_BT = tokens_BT[:, 1:]
        if not bool(keep_BT.all()):
            kept_BT = keep_BT[:, 1:].to(model.device)
            hidden_BTD, targets_BT = hidden_BTD[kept_BT], targets_BT[kept_BT]
        logits_NV = model.lm_head(hidden_BTD.reshape(-1, hidden_BTD.shape[-1]))
        return {"loss": mean_cross_entropy(logits_NV, targets_BT.flatten())}

    def exported(self, model: GPT2LMHeadModel) -> GPT2LMHeadModel:
        """Return the decoder itself."""
        return model

    def training_flops(
        self, model: GPT2LMHeadModel, batch_size: int, sequence_length: int
    ) -> int:
        """Return the operations of an update over full rows, multiply-add = 2."""
        head = flops.linear(batch_size * (sequence_length - 1), model.config.n_embd,
                            model.config.vocab_size)
        return flops.training(gpt2.trunk_flops(model.config, batch_size, sequence_length) + head)
