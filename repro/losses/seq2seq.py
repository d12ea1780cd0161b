"""Writing a row after reading another: translation and denoising alike.

B rows, S positions read, T positions written, N of them kept (no padding), D hidden, V words.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F
from transformers.models.mbart.modeling_mbart import shift_tokens_right

from repro.errors import UserError
from repro.nn import seq2seq
from repro.nn.seq2seq import MBartForConditionalGeneration
from repro.text.tokenizer import VocabInfo
from repro.train.streams import Streams


def predictions(
    model: MBartForConditionalGeneration, inputs_BS: torch.Tensor, labels_BT: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (logits_NV, targets_N) at every position of the labels that is no padding.

    Both int64, on the CPU; the results are on the model's device. The decoder reads the labels
    rotated by one: their last token, the language's tag, comes first (mBART, cc25).
    Raises ValueError if nothing is to be written.
    """
    pad, device = model.config.pad_token_id, model.device
    kept_N = (labels_BT != pad).flatten().nonzero()[:, 0]
    if not len(kept_N):
        raise ValueError("seq2seq: no token to write")
    is_read_BS = inputs_BS != pad
    hidden_BTD = model.model(
        input_ids=inputs_BS.to(device),
        # Without padding no mask: attention may then take its fastest kernel.
        attention_mask=None if bool(is_read_BS.all()) else is_read_BS.long().to(device),
        decoder_input_ids=shift_tokens_right(labels_BT, pad).to(device),
        use_cache=False,
    ).last_hidden_state
    hidden_ND = hidden_BTD.flatten(0, 1)[kept_N.to(device)]
    logits_NV = model.lm_head(hidden_ND) + model.final_logits_bias
    return logits_NV, labels_BT.flatten()[kept_N].to(device)


def smoothed_cross_entropy(
    logits_NV: torch.Tensor, targets_N: torch.Tensor, smoothing: float
) -> torch.Tensor:
    """Return the mean of -sum_v q(v) log softmax(logits)[v], nats per token, a scalar.

    q is 1 - smoothing at the target and shares the rest equally among all others, as in fairseq;
    torch's own argument shares it among all V, the target included, hence the factor.
    """
    size = logits_NV.shape[1]
    return F.cross_entropy(
        logits_NV.float(), targets_N, label_smoothing=smoothing * size / (size - 1)
    )


class Seq2Seq:
    """Write the labels after reading the inputs; what these are is the batches' matter.

    model: factory `model(vocab)`. smoothing: share of the target's probability given to others.
    """

    def __init__(
        self, *, model: Callable[..., MBartForConditionalGeneration], smoothing: float = 0.0
    ) -> None:
        if not 0 <= smoothing < 0.5:
            raise UserError(f"smoothing = {smoothing}: expected at least 0 and below 0.5")
        self.make_model, self.smoothing = model, smoothing

    def build(self, vocab: VocabInfo, streams: Streams) -> MBartForConditionalGeneration:
        """Return the model, initialised from the stream init.seq2seq."""
        streams.seed_global("init.seq2seq")
        return self.make_model(vocab)

    def loss(
        self,
        model: MBartForConditionalGeneration,
        inputs_BS: torch.Tensor,
        labels_BT: torch.Tensor,
        streams: Streams,
        step: int,
    ) -> dict[str, torch.Tensor]:
        """Return {"loss": nats per token, smoothed}. Both int64, on the CPU."""
        logits_NV, targets_N = predictions(model, inputs_BS, labels_BT)
        return {"loss": smoothed_cross_entropy(logits_NV, targets_N, self.smoothing)}

    def exported(self, model: MBartForConditionalGeneration) -> nn.Module:
        """Return the model itself."""
        return model

    def training_flops(
        self, model: MBartForConditionalGeneration, batch_size: int, source_length: int,
        target_length: int,
    ) -> int:
        """Return the operations of a batch of full rows, multiply-add = 2."""
        return seq2seq.training_flops(model.config, batch_size, source_length, target_length)
