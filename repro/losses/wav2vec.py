"""wav2vec 2.0's self-supervision: tell the true quantised input at a masked place from others.

B utterances, T frames, N encoder inputs (stacked frames), M masked ones of the batch, K negatives,
D width of the comparison. Source: Baevski et al. 2020, section 3.2.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel, Wav2Vec2Config, Wav2Vec2ForPreTraining
from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2GumbelVectorQuantizer

from repro.nn.conformer import outputs_of, stacked, training_flops
from repro.train.streams import Streams

HOTTEST, COOLEST, COOLING = 2.0, 0.5, 0.999995  # Gumbel temperature by update: section 4.2


def masked_spans(
    outputs_B: torch.Tensor, probability: float, length: int, generator: torch.Generator
) -> torch.Tensor:
    """Return mask_BN, bool, on the CPU: spans of `length` inputs that begin at a share
    `probability` of the places, drawn without repetition; they may overlap. At least two inputs of
    every utterance that has them are masked."""
    mask_BN = torch.zeros(len(outputs_B), int(outputs_B.max()), dtype=torch.bool)
    for row, size in enumerate(outputs_B.tolist()):
        span = min(length, size)
        places = size - span + 1
        count = min(places, max(1, round(probability * size)))
        starts = torch.randperm(places, generator=generator)[:count]
        covered = starts[:, None] + torch.arange(max(span, min(2, size)))
        mask_BN[row, covered.flatten().clamp(max=size - 1)] = True
    return mask_BN


def negatives(mask_BN: torch.Tensor, count: int, generator: torch.Generator) -> torch.Tensor:
    """Return index_MK into the M masked places of the batch in row order: `count` others of the
    same utterance, uniform with repetition. Where there is no other, the place itself."""
    found, start = [], 0
    for size in mask_BN.sum(dim=1).tolist():
        own = torch.arange(size)[:, None]
        draws = torch.randint(max(1, size - 1), (size, count), generator=generator)
        found.append(start + (draws + (draws >= own)).clamp(max=max(0, size - 1)))
        start += size
    return torch.cat(found)


def contrastive_loss(
    predicted_MD: torch.Tensor, quantised_MD: torch.Tensor, index_MK: torch.Tensor,
    temperature: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (loss, accuracy), means over the masked places: cross-entropy of the true quantised
    vector among the negatives by cosine similarity over temperature.

    A negative equal to the true vector does not count against it. Equation 3 of the paper.
    """
    others_KMD = quantised_MD[index_MK].transpose(0, 1)
    logits_CM = Wav2Vec2ForPreTraining.compute_contrastive_logits(
        quantised_MD[None], others_KMD, predicted_MD[None], temperature)
    same_KM = (quantised_MD == others_KMD).all(dim=-1)
    same_CM = F.pad(same_KM, (0, 0, 1, 0))
    logits_MC = logits_CM.masked_fill(same_CM, -torch.inf).T.float()
    right = torch.zeros(len(logits_MC), dtype=torch.int64, device=logits_MC.device)
    return F.cross_entropy(logits_MC, right), (logits_MC.argmax(dim=1) == 0).float().mean()


class ContrastiveModel(nn.Module):
    """An encoder without output layer, the quantiser of its inputs, and both projections."""

    def __init__(
        self, encoder: PreTrainedModel, groups: int, codes: int, width: int
    ) -> None:
        super().__init__()
        inputs = encoder.config.feature_projection_input_dim
        config = Wav2Vec2Config(
            num_codevector_groups=groups, num_codevectors_per_group=codes, codevector_dim=width,
            conv_dim=(inputs,), conv_stride=(1,), conv_kernel=(1,), num_feat_extract_layers=1)
        self.encoder = encoder
        self.quantizer = Wav2Vec2GumbelVectorQuantizer(config)
        # As Wav2Vec2ForPreTraining initialises it.
        self.quantizer.weight_proj.weight.data.normal_(mean=0.0, std=1)
        self.quantizer.weight_proj.bias.data.zero_()
        nn.init.uniform_(self.quantizer.codevectors)
        self.project_hidden = nn.Linear(encoder.config.hidden_size, width)
        self.project_codes = nn.Linear(width, width)


class Contrastive:
    """Pre-training without labels, on the encoder that is fine-tuned later.

    encoder: factory `encoder(units)`; its output layer is left off. probability, span: of masks,
    see `masked_spans`. groups, codes: of the product quantiser. width: of the comparison.
    diversity: weight of the loss that wants all codes used. The inputs are fixed filterbanks: there
    is no convolutional feature encoder to train.
    """

    def __init__(
        self,
        *,
        encoder: Callable[..., PreTrainedModel],
        probability: float = 0.065,
        span: int = 10,
        negatives: int = 100,
        groups: int = 2,
        codes: int = 320,
        width: int = 256,
        temperature: float = 0.1,
        diversity: float = 0.1,
    ) -> None:
        self.make_encoder = encoder
        self.probability, self.span, self.negatives = probability, span, negatives
        self.sizes = {"groups": groups, "codes": codes, "width": width}
        self.temperature, self.diversity = temperature, diversity

    def build(self, vocab: Any, streams: Streams) -> ContrastiveModel:
        """Return encoder and quantiser, initialised from the streams init.encoder and init.head.

        The encoder's first weights are those that `CTC` gives it with the same seed.
        """
        streams.seed_global("init.encoder")
        encoder = self.make_encoder(vocab.size).base_model
        encoder.config.apply_spec_augment = True  # transformers' name for: look at masks
        streams.seed_global("init.head")
        return ContrastiveModel(encoder, **self.sizes)

    def loss(
        self,
        model: ContrastiveModel,
        features_BTM: torch.Tensor,
        frames_B: torch.Tensor,
        labels_BU: torch.Tensor,
        units_B: torch.Tensor,
        streams: Streams,
        step: int,
    ) -> dict[str, torch.Tensor]:
        """Return {"loss", "contrastive": nats, "accuracy", "codes": how many are in use}.

        A batch of `repro.audio.batches`, on the CPU; its labels are not looked at.
        """
        stack = model.encoder.config.frame_stack
        generator = streams.generator("mask", step)
        mask_BN = masked_spans(
            outputs_of(frames_B, stack), self.probability, self.span, generator)
        index_MK = negatives(mask_BN, self.negatives, generator)
        inputs, keep_BN = stacked(features_BTM, frames_B, stack)
        device = model.encoder.device
        mask_BN = F.pad(mask_BN, (0, inputs.shape[1] - mask_BN.shape[1])).to(device)
        found = model.encoder(
            input_features=inputs.to(device), attention_mask=keep_BN.to(device),
            mask_time_indices=mask_BN)
        model.quantizer.temperature = max(COOLEST, HOTTEST * COOLING**step)
        codes_1MD, in_use = model.quantizer(found.extract_features[mask_BN][None])
        predicted_MD = model.project_hidden(found.last_hidden_state[mask_BN])
        contrast, accuracy = contrastive_loss(
            predicted_MD, model.project_codes(codes_1MD[0]), index_MK.to(device), self.temperature)
        every = self.sizes["groups"] * self.sizes["codes"]
        loss = contrast + self.diversity * (every - in_use) / every
        return {"loss": loss, "contrastive": contrast.detach(), "accuracy": accuracy,
                "codes": in_use.detach()}

    def exported(self, model: ContrastiveModel) -> PreTrainedModel:
        """Return the encoder."""
        return model.encoder

    def training_flops(
        self, model: ContrastiveModel, batch_size: int, sequence_length: int
    ) -> int:
        """Return the operations of an update over full rows of frames: those of the encoder; the
        quantiser's are a few per cent of them and not counted."""
        return training_flops(model.encoder, batch_size, sequence_length)
