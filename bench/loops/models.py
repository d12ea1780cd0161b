"""transformers' own models with their own losses, for the loops of others."""

import torch
from torch import nn
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    CLIPConfig,
    CLIPModel,
    ElectraConfig,
    ElectraForMaskedLM,
    ElectraForPreTraining,
    LlamaConfig,
    LlamaForCausalLM,
    MBartConfig,
    MBartForConditionalGeneration,
    Wav2Vec2BertConfig,
    Wav2Vec2BertForCTC,
)

from loops.setting import CLS, PAD, SEP, SETTING, encoder_shape


class Pair(nn.Module):
    """Generator and discriminator with shared embeddings and the usual joint loss."""

    def __init__(self) -> None:
        super().__init__()
        size = {"embedding_size": SETTING["embedding"]}
        large = ElectraConfig(**encoder_shape(SETTING["hidden"]), **size)
        small = ElectraConfig(**encoder_shape(SETTING["generator_hidden"]), **size)
        self.discriminator = ElectraForPreTraining(large)
        self.generator = ElectraForMaskedLM(small)
        self.generator.electra.embeddings = self.discriminator.electra.embeddings
        self.generator.tie_weights()

    def forward(self, input_ids, labels, attention_mask=None):
        generated = self.generator(input_ids, attention_mask=attention_mask, labels=labels)
        chosen = labels != -100
        with torch.no_grad():
            scores = generated.logits[chosen]
            samples = torch.multinomial(scores.float().softmax(-1), 1).squeeze(-1)
            original = torch.where(chosen, labels, input_ids)
            corrupted = input_ids.clone()
            corrupted[chosen] = samples
        found = self.discriminator(
            corrupted, attention_mask=attention_mask, labels=(corrupted != original).long()
        )
        return {"loss": generated.loss + 50.0 * found.loss}


def build(task: str) -> nn.Module:
    """Return the model of a task; of the shape that `loops.ours` trains."""
    hidden, encoder = SETTING["hidden"], encoder_shape(SETTING["hidden"])
    match task:
        case "mlm":
            return BertForMaskedLM(BertConfig(**encoder))
        case "rtd":
            return Pair()
        case "clm":
            return LlamaForCausalLM(_decoder(hidden))
        case "seq2seq":
            return MBartForConditionalGeneration(_encoder_decoder(hidden))
        case "ctc":
            return Wav2Vec2BertForCTC(_conformer(hidden))
        case "contrastive":
            return CLIPModel(_two_towers(hidden))
        case "finetune":
            return BertForSequenceClassification(
                BertConfig(**encoder, num_labels=SETTING["classes"]))
    raise ValueError(task)


def _decoder(hidden: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=SETTING["vocabulary"], hidden_size=hidden, num_hidden_layers=SETTING["layers"],
        num_attention_heads=SETTING["heads"], intermediate_size=SETTING["gated"],
        max_position_embeddings=SETTING["sequence_length"], tie_word_embeddings=True,
        attn_implementation="sdpa")


def _encoder_decoder(hidden: int) -> MBartConfig:
    sides = {f"{side}_{name}": SETTING[value] for side in ("encoder", "decoder")
             for name, value in (("layers", "layers"), ("attention_heads", "heads"),
                                 ("ffn_dim", "intermediate"))}
    return MBartConfig(
        vocab_size=SETTING["vocabulary"], d_model=hidden, dropout=SETTING["dropout"],
        attention_dropout=SETTING["dropout"], scale_embedding=True, tie_word_embeddings=True,
        max_position_embeddings=SETTING["sequence_length"], pad_token_id=PAD, bos_token_id=CLS,
        eos_token_id=SEP, forced_eos_token_id=None, attn_implementation="sdpa", **sides)


def _conformer(hidden: int) -> Wav2Vec2BertConfig:
    """Masks come from the collator, the same as ours."""
    dropouts = ("hidden_dropout", "activation_dropout", "attention_dropout", "feat_proj_dropout",
                "final_dropout", "conformer_conv_dropout")
    return Wav2Vec2BertConfig(
        vocab_size=SETTING["units"], pad_token_id=0, hidden_size=hidden,
        feature_projection_input_dim=SETTING["mels"] * SETTING["stack"],
        num_hidden_layers=SETTING["layers"], num_attention_heads=SETTING["heads"],
        intermediate_size=SETTING["intermediate"], conv_depthwise_kernel_size=SETTING["kernel"],
        position_embeddings_type="relative", max_source_positions=1000, layerdrop=0.0,
        apply_spec_augment=False, ctc_loss_reduction="mean", ctc_zero_infinity=True,
        **dict.fromkeys(dropouts, SETTING["dropout"]))


def _two_towers(hidden: int) -> CLIPConfig:
    common = {"hidden_size": hidden, "num_hidden_layers": SETTING["layers"],
              "num_attention_heads": SETTING["heads"], "projection_dim": hidden,
              "intermediate_size": SETTING["intermediate"], "hidden_act": "gelu"}
    text = {"vocab_size": SETTING["vocabulary"], "pad_token_id": PAD, "bos_token_id": CLS,
            "max_position_embeddings": SETTING["text_length"], "eos_token_id": SEP}
    vision = {"image_size": SETTING["image_size"], "patch_size": SETTING["patch"]}
    config = CLIPConfig(text_config=common | text, vision_config=common | vision,
                        projection_dim=hidden)
    config._attn_implementation = "sdpa"
    return config
