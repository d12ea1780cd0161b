"""Pre-training heads on transformers' encoders. M chosen positions, D hidden, E embedding, V words.

The sub-modules are those of BertForMaskedLM, ElectraForMaskedLM and ElectraForPreTraining, under
the same parameter names, so that weights move between them and ours (`masked_lm_weights`).
"""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.models.bert.modeling_bert import BertPredictionHeadTransform
from transformers.models.electra.modeling_electra import (
    ElectraDiscriminatorPredictions,
    ElectraGeneratorPredictions,
)


class MaskedLMHead(nn.Module):
    """dense, activation, LayerNorm, then scores against the token embeddings plus a bias.

    decoder_VE is the encoder's own embedding matrix (tied). It is for gathered positions: scores
    over a vocabulary at positions that the loss never looks at are most of the cost of an MLM.
    """

    def __init__(self, transform: nn.Module, decoder_VE: nn.Parameter) -> None:
        super().__init__()
        self.transform = transform
        self.decoder = decoder_VE
        self.bias = nn.Parameter(torch.zeros(decoder_VE.shape[0]))

    def forward(self, hidden_MD: torch.Tensor) -> torch.Tensor:
        """Return logits_MV."""
        return F.linear(self.transform(hidden_MD), self.decoder, self.bias)


def masked_lm_head(encoder: PreTrainedModel) -> MaskedLMHead:
    """Return a freshly initialised MLM head tied to the encoder's embeddings."""
    if encoder.config.model_type == "electra":
        transform = ElectraGeneratorPredictions(encoder.config)
    else:
        transform = BertPredictionHeadTransform(encoder.config)
    transform.apply(encoder._init_weights)
    return MaskedLMHead(transform, encoder.get_input_embeddings().weight)


def discriminator_head(encoder: PreTrainedModel) -> nn.Module:
    """Return ElectraForPreTraining's head, freshly initialised: hidden_BTD -> logits_BT."""
    head = ElectraDiscriminatorPredictions(encoder.config)
    head.apply(encoder._init_weights)
    return head


def gather(hidden_BTD: torch.Tensor, positions_M: torch.Tensor) -> torch.Tensor:
    """Return hidden_MD at flat positions (row * T + column), int64."""
    return hidden_BTD.flatten(0, 1).index_select(0, positions_M)


def masked_lm_weights(encoder: PreTrainedModel, head: MaskedLMHead) -> dict[str, torch.Tensor]:
    """Return encoder and head under the names of BertForMaskedLM or ElectraForMaskedLM.

    For load_state_dict(..., strict=True) after tying: every entry they have is here.
    """
    family = encoder.config.model_type
    weights = {f"{family}.{name}": value for name, value in encoder.state_dict().items()}
    transform = head.transform.state_dict()
    if family == "electra":
        weights |= {f"generator_predictions.{name}": value for name, value in transform.items()}
        weights |= {
            "generator_lm_head.weight": head.decoder,
            "generator_lm_head.bias": head.bias,
        }
        return weights
    weights |= {f"cls.predictions.transform.{name}": value for name, value in transform.items()}
    return weights | {
        "cls.predictions.decoder.weight": head.decoder,
        "cls.predictions.decoder.bias": head.bias,
        "cls.predictions.bias": head.bias,
    }
