"""transformers' own models with their own losses, for the loops of others."""

import torch
from torch import nn
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    ElectraConfig,
    ElectraForMaskedLM,
    ElectraForPreTraining,
    LlamaConfig,
    LlamaForCausalLM,
)

from loops.setting import SETTING, decoder_shape, shape


class Pair(nn.Module):
    """Generator and discriminator with shared embeddings and the usual joint loss."""

    def __init__(self) -> None:
        super().__init__()
        size = {"embedding_size": SETTING["embedding"]}
        large = ElectraConfig(**shape(SETTING["hidden"]), **size)
        small = ElectraConfig(**shape(SETTING["generator_hidden"]), **size)
        self.discriminator = ElectraForPreTraining(large)
        self.generator = ElectraForMaskedLM(small)
        self.generator.electra.embeddings = self.discriminator.electra.embeddings
        self.generator.tie_weights()

    def forward(self, input_ids, labels, attention_mask=None):
        generated = self.generator(input_ids, attention_mask=attention_mask, labels=labels)
        chosen = labels != -100
        with torch.no_grad():
            scores = generated.logits[chosen]
            samples = torch.multinomial(scores.softmax(-1), 1).squeeze(-1)
            original = torch.where(chosen, labels, input_ids)
            corrupted = input_ids.clone()
            corrupted[chosen] = samples
        found = self.discriminator(
            corrupted, attention_mask=attention_mask, labels=(corrupted != original).long()
        )
        return {"loss": generated.loss + 50.0 * found.loss}


def build(task: str) -> nn.Module:
    """Return the model of a task."""
    match task:
        case "mlm":
            return BertForMaskedLM(BertConfig(**shape(SETTING["hidden"])))
        case "rtd":
            return Pair()
        case "clm":
            return LlamaForCausalLM(LlamaConfig(**decoder_shape()))
        case "finetune":
            return BertForSequenceClassification(
                BertConfig(**shape(SETTING["hidden"]), num_labels=SETTING["classes"]))
