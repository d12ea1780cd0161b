"""Masked language modelling that keeps its head, for prompting and for training on."""

from collections.abc import Callable

from transformers import PreTrainedModel

from repro.losses.masked_lm import MaskedLM, MaskedLMModel
from repro.nn import masked_lms
from repro.text.tokenizer import VocabInfo
from repro.train.streams import Streams


class WholeMaskedLM(MaskedLM):
    """`MaskedLM`, exported as ...ForMaskedLM with its head.

    head: factory `head(encoder)` of a head to start from; None = a fresh one.
    """

    def __init__(
        self,
        *,
        encoder: Callable[..., PreTrainedModel],
        head: Callable[..., PreTrainedModel] | None = None,
        probability: float = 0.15,
        mask_share: float = 0.8,
        random_share: float = 0.1,
    ) -> None:
        super().__init__(encoder=encoder, probability=probability, mask_share=mask_share,
                         random_share=random_share)
        self.make_head = head

    def build(self, vocab: VocabInfo, streams: Streams) -> MaskedLMModel:
        """Return encoder and head; fresh ones are those of `MaskedLM`."""
        model = super().build(vocab, streams)
        if self.make_head is not None:
            model.head = self.make_head(model.encoder)
        return model

    def exported(self, model: MaskedLMModel) -> PreTrainedModel:
        """Return the whole model, around the tensors that are trained."""
        return masked_lms.whole(model.encoder, model.head)
