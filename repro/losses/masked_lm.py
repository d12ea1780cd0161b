"""Masked language modelling. B sequences, T positions, M chosen positions, D hidden, V words."""

from collections.abc import Callable

import torch
from torch import nn
from transformers import PreTrainedModel

from repro.data.masking import mask_tokens
from repro.losses.cross_entropy import mean_cross_entropy
from repro.nn import flops
from repro.nn.encoders import encode, padding_of
from repro.nn.heads import gather, masked_lm_head
from repro.text.tokenizer import VocabInfo
from repro.train.streams import Streams


def masked_lm_loss(logits_MV: torch.Tensor, targets_M: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy over the chosen positions, a scalar in nats per token.

    logits_MV float, targets_M int64 (the original tokens), both at the chosen positions only.
    Raises ValueError if there is no position. Source: Devlin et al. 2019, section 3.1.
    """
    if not len(targets_M):
        raise ValueError("masked_lm_loss: no position is chosen")
    return mean_cross_entropy(logits_MV, targets_M)


class MaskedLMModel(nn.Module):
    """An encoder and an MLM head tied to its embeddings; vocab says which ids are special."""

    def __init__(self, encoder: PreTrainedModel, head: nn.Module, vocab: VocabInfo) -> None:
        super().__init__()
        self.encoder, self.head, self.vocab = encoder, head, vocab


class MaskedLM:
    """The objective of BERT without next-sentence prediction.

    encoder: factory `encoder(vocab)`. probability: share of tokens chosen; of these, mask_share
    become [MASK], random_share a random token, the rest stay. Source: Devlin et al. 2019.
    """

    def __init__(
        self,
        *,
        encoder: Callable[..., PreTrainedModel],
        probability: float = 0.15,
        mask_share: float = 0.8,
        random_share: float = 0.1,
    ) -> None:
        self.make_encoder = encoder
        self.probability = probability
        self.mask_share = mask_share
        self.random_share = random_share

    def build(self, vocab: VocabInfo, streams: Streams) -> MaskedLMModel:
        """Return encoder and head, initialised from the streams init.encoder and init.head."""
        streams.seed_global("init.encoder")
        encoder = self.make_encoder(vocab)
        streams.seed_global("init.head")
        return MaskedLMModel(encoder, masked_lm_head(encoder), vocab)

    def loss(
        self,
        model: MaskedLMModel,
        tokens_BT: torch.Tensor,
        keep_BT: torch.Tensor,
        streams: Streams,
        step: int,
    ) -> dict[str, torch.Tensor]:
        """Return {"loss": nats per chosen token}. tokens_BT int64, keep_BT bool, on the CPU."""
        masked = mask_tokens(
            tokens_BT,
            keep_BT,
            model.vocab,
            streams.generator("mask", step),
            probability=self.probability,
            mask_share=self.mask_share,
            random_share=self.random_share,
        )
        device = model.encoder.device
        padding_BT = padding_of(keep_BT)
        padding_BT = padding_BT if padding_BT is None else padding_BT.to(device)
        hidden_BTD = encode(model.encoder, masked.inputs_BT.to(device), padding_BT)
        logits_MV = model.head(gather(hidden_BTD, masked.positions.to(device)))
        return {"loss": masked_lm_loss(logits_MV, masked.targets.to(device))}

    def exported(self, model: MaskedLMModel) -> PreTrainedModel:
        """Return the encoder."""
        return model.encoder

    def training_flops(self, model: MaskedLMModel, batch_size: int, sequence_length: int) -> int:
        """Return the operations of one update over full rows, multiply-add = 2."""
        chosen = flops.masked_positions(batch_size, sequence_length, self.probability)
        config = model.encoder.config
        return flops.training(
            flops.encoder(config, batch_size, sequence_length)
            + flops.masked_lm_head(config, chosen)
        )
