"""Replaced-token detection (ELECTRA) and what its ablations share.

B sequences, T positions, M chosen positions, D hidden, V words, K blocks of S words.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from repro.data.masking import mask_tokens
from repro.errors import UserError
from repro.losses.masked_lm import masked_lm_loss
from repro.nn import flops
from repro.nn.encoders import encode, padding_of, share_embeddings
from repro.nn.heads import discriminator_head, gather, masked_lm_head
from repro.text.tokenizer import VocabInfo
from repro.train.streams import Streams

SAMPLER_BLOCK = 128


def replaced_labels(
    original_BT: torch.Tensor, corrupted_BT: torch.Tensor, keep_BT: torch.Tensor
) -> torch.Tensor:
    """Return is_replaced_BT bool: the token differs from the original and is no padding.

    A generator's correct guess counts as ORIGINAL. Source: Clark et al. 2020, section 2.
    """
    return (original_BT != corrupted_BT) & keep_BT


@torch.no_grad()
def sample_tokens(
    logits_MV: torch.Tensor, generator: torch.Generator, temperature: float = 1.0
) -> torch.Tensor:
    """Return one token per row, int64 (M,), from softmax(logits / temperature); no gradient.

    generator: on the CPU. One uniform number per row is inverted through the distribution, first
    over blocks of words, then inside the block: M draws instead of the M x V of Gumbel noise, and
    no cumulative sum over V, which has no deterministic CUDA kernel.
    Raises UserError for a temperature that is not positive.
    """
    if not temperature > 0:
        raise UserError(f"temperature = {temperature}: expected a positive number")
    logits_MV = logits_MV.float()
    rows, words = logits_MV.shape
    blocks = -(-words // SAMPLER_BLOCK)
    weights_MV = logits_MV.new_zeros((rows, blocks * SAMPLER_BLOCK))
    filled_MV = weights_MV[:, :words]
    torch.sub(logits_MV, logits_MV.amax(dim=1, keepdim=True), out=filled_MV)
    if temperature != 1.0:
        filled_MV.div_(temperature)
    filled_MV.exp_()
    weights_MKS = weights_MV.view(rows, blocks, SAMPLER_BLOCK)
    uniform_M = torch.rand(rows, generator=generator, dtype=torch.float64).to(logits_MV.device)
    block_M, rest_M = _invert(weights_MKS.sum(dim=2), uniform_M)
    inside_MS = weights_MKS[torch.arange(rows, device=block_M.device), block_M]
    word_M, _ = _invert(inside_MS, rest_M)
    return block_M * SAMPLER_BLOCK + word_M


def _invert(weights_MN: torch.Tensor, uniform_M: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the index each uniform number falls on, and how far into it, in [0, 1)."""
    weights_MN = weights_MN.double()
    size = weights_MN.shape[1]
    # A matrix product instead of cumsum: the same sums on every device mode.
    sums_MN = (
        weights_MN @ torch.ones(size, size, dtype=torch.float64, device=weights_MN.device).triu()
    )
    target_M1 = uniform_M[:, None] * sums_MN[:, -1:]
    index_M = (sums_MN <= target_M1).sum(dim=1).clamp(max=size - 1)
    weight_M = weights_MN.gather(1, index_M[:, None])[:, 0]
    below_M = sums_MN.gather(1, index_M[:, None])[:, 0] - weight_M
    largest = 1.0 - 2.0**-53
    return index_M, ((target_M1[:, 0] - below_M) / weight_M).clamp(0.0, largest)


def replaced_token_loss(
    logits_BT: torch.Tensor, is_replaced_BT: torch.Tensor, keep_BT: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the mean binary cross-entropy over kept tokens, a scalar in nats per token.

    logits_BT float (positive = replaced), is_replaced_BT bool, keep_BT bool (False = padding,
    None = all kept). Raises ValueError if no token is kept. Source: Clark et al. 2020, section 2.
    """
    if keep_BT is not None:
        logits_BT, is_replaced_BT = logits_BT[keep_BT], is_replaced_BT[keep_BT]
    if not logits_BT.numel():
        raise ValueError("replaced_token_loss: no token is kept")
    return F.binary_cross_entropy_with_logits(logits_BT.float(), is_replaced_BT.float())


@torch.no_grad()
def detection_report(
    logits_BT: torch.Tensor, is_replaced_BT: torch.Tensor, keep_BT: torch.Tensor | None = None
) -> dict[str, torch.Tensor]:
    """Return what tells a detector from the base rate, as scalars.

    replaced_rate r; base_entropy -r ln r - (1 - r) ln(1 - r), the loss of knowing r alone, in
    nats; detection_auc, the probability that a replaced token scores above an original one (0.5
    where one of the two is absent; equal scores in position order).
    """
    if keep_BT is not None:
        logits_BT, is_replaced_BT = logits_BT[keep_BT], is_replaced_BT[keep_BT]
    labels_N = is_replaced_BT.flatten()
    sorted_N = labels_N[logits_BT.flatten().argsort(stable=True)]
    count = labels_N.numel()
    replaced = labels_N.sum()
    # Rank sum of Mann and Whitney, ranks counted from 1.
    ranks = torch.arange(1, count + 1, device=labels_N.device)
    above = (ranks * sorted_N).sum() - replaced * (replaced + 1) // 2
    pairs = replaced * (count - replaced)
    rate = replaced / count
    return {
        "replaced_rate": rate,
        "base_entropy": -(torch.xlogy(rate, rate) + torch.xlogy(1 - rate, 1 - rate)),
        "detection_auc": torch.where(pairs > 0, above / pairs.clamp(min=1), 0.5),
    }


@dataclass(frozen=True)
class Corruption:
    """A batch as the generator left it.

    original_BT, inputs_BT int64 (before, after); is_replaced_BT bool; padding_BT bool or None
    (nothing is padded); positions_M int64, flat, and targets_M, the originals there;
    generator_loss: scalar with gradient.
    """

    original_BT: torch.Tensor
    inputs_BT: torch.Tensor
    is_replaced_BT: torch.Tensor
    padding_BT: torch.Tensor | None
    positions_M: torch.Tensor
    targets_M: torch.Tensor
    generator_loss: torch.Tensor


class GeneratorModel(nn.Module):
    """The encoder to keep with its head, and the generator with its MLM head."""

    def __init__(
        self,
        encoder: PreTrainedModel,
        head: nn.Module,
        generator: PreTrainedModel,
        generator_head: nn.Module,
        vocab: VocabInfo,
    ) -> None:
        super().__init__()
        # First, so that shared embeddings go by the encoder's name.
        self.encoder, self.head = encoder, head
        self.generator, self.generator_head = generator, generator_head
        self.vocab = vocab


class ReplacedTokenDetection:
    """The objective of ELECTRA: generator MLM plus weighted replaced-token detection, jointly.

    encoder, generator: factories `f(vocab)`. tie_embeddings: the generator uses the encoder's
    embedding layer. The generator sees [MASK] at mask_share of the chosen positions and the
    token itself at the others (0.85 in the released code, which the paper does not mention); its
    samples at temperature make the encoder's input. Loss: generator_weight * generator +
    discriminator_weight * encoder. Source: Clark et al. 2020, sections 2, 3.2 and code.

    Another task on the same corrupted input is a sub-class with its own `make_head`,
    `encoder_loss` and `head_flops`.
    """

    def __init__(
        self,
        *,
        encoder: Callable[..., PreTrainedModel],
        generator: Callable[..., PreTrainedModel],
        probability: float = 0.15,
        mask_share: float = 0.85,
        discriminator_weight: float = 50.0,
        generator_weight: float = 1.0,
        temperature: float = 1.0,
        tie_embeddings: bool = True,
    ) -> None:
        self.make_encoder = encoder
        self.make_generator = generator
        self.probability = probability
        self.mask_share = mask_share
        self.discriminator_weight = discriminator_weight
        self.generator_weight = generator_weight
        self.temperature = temperature
        self.tie_embeddings = tie_embeddings

    def make_head(self, encoder: PreTrainedModel) -> nn.Module:
        """Return the freshly initialised head on the encoder."""
        return discriminator_head(encoder)

    def encoder_loss(
        self, model: GeneratorModel, hidden_BTD: torch.Tensor, corruption: Corruption
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the encoder's loss on the corrupted input and scalars to log."""
        logits_BT = model.head(hidden_BTD)
        labels_BT, keep_BT = corruption.is_replaced_BT, corruption.padding_BT
        loss = replaced_token_loss(logits_BT, labels_BT, keep_BT)
        return loss, detection_report(logits_BT, labels_BT, keep_BT)

    def head_flops(self, model: GeneratorModel, tokens: int, chosen: int) -> int:
        """Return the forward operations of the head, given tokens and chosen positions."""
        return flops.discriminator_head(model.encoder.config, tokens)

    def build(self, vocab: VocabInfo, streams: Streams) -> GeneratorModel:
        """Return all four modules, each initialised from its own stream (init.encoder, ...)."""
        streams.seed_global("init.encoder")
        encoder = self.make_encoder(vocab)
        streams.seed_global("init.head")
        head = self.make_head(encoder)
        streams.seed_global("init.generator")
        generator = self.make_generator(vocab)
        if self.tie_embeddings:
            share_embeddings(encoder, generator)
        streams.seed_global("init.generator_head")
        return GeneratorModel(encoder, head, generator, masked_lm_head(generator), vocab)

    def corrupt(
        self,
        model: GeneratorModel,
        tokens_BT: torch.Tensor,
        keep_BT: torch.Tensor,
        streams: Streams,
        step: int,
    ) -> Corruption:
        """Return the batch with generator samples at the chosen positions."""
        masked = mask_tokens(
            tokens_BT,
            keep_BT,
            model.vocab,
            streams.generator("mask", step),
            probability=self.probability,
            mask_share=self.mask_share,
            random_share=0.0,
        )
        device = model.encoder.device
        padding_BT = padding_of(keep_BT)
        padding_BT = padding_BT if padding_BT is None else padding_BT.to(device)
        original_BT, positions_M = tokens_BT.to(device), masked.positions.to(device)
        targets_M = masked.targets.to(device)
        hidden_BTD = encode(model.generator, masked.inputs_BT.to(device), padding_BT)
        logits_MV = model.generator_head(gather(hidden_BTD, positions_M))
        samples_M = sample_tokens(
            logits_MV.detach(), streams.generator("sample", step), self.temperature
        )
        inputs_BT = original_BT.flatten().scatter(0, positions_M, samples_M).view_as(original_BT)
        return Corruption(
            original_BT=original_BT,
            inputs_BT=inputs_BT,
            is_replaced_BT=replaced_labels(original_BT, inputs_BT, keep_BT.to(device)),
            padding_BT=padding_BT,
            positions_M=positions_M,
            targets_M=targets_M,
            generator_loss=masked_lm_loss(logits_MV, targets_M),
        )

    def loss(
        self,
        model: GeneratorModel,
        tokens_BT: torch.Tensor,
        keep_BT: torch.Tensor,
        streams: Streams,
        step: int,
    ) -> dict[str, torch.Tensor]:
        """Return the weighted sum as "loss", both losses in nats per token, and the report."""
        corruption = self.corrupt(model, tokens_BT, keep_BT, streams, step)
        hidden_BTD = encode(model.encoder, corruption.inputs_BT, corruption.padding_BT)
        encoder_loss, logged = self.encoder_loss(model, hidden_BTD, corruption)
        total = (
            self.generator_weight * corruption.generator_loss
            + self.discriminator_weight * encoder_loss
        )
        return {
            "loss": total,
            "generator_loss": corruption.generator_loss.detach(),
            "encoder_loss": encoder_loss.detach(),
            **logged,
        }

    def exported(self, model: GeneratorModel) -> PreTrainedModel:
        """Return the encoder; the generator is thrown away after pre-training."""
        return model.encoder

    def training_flops(self, model: GeneratorModel, batch_size: int, sequence_length: int) -> int:
        """Return the operations of one update over full rows, multiply-add = 2."""
        chosen = flops.masked_positions(batch_size, sequence_length, self.probability)
        generator = model.generator.config
        return flops.training(
            flops.encoder(generator, batch_size, sequence_length)
            + flops.masked_lm_head(generator, chosen)
            + flops.encoder(model.encoder.config, batch_size, sequence_length)
            + self.head_flops(model, batch_size * sequence_length, chosen)
        )
