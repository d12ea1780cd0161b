"""A masked language model as a classifier: the scores of the label words at the [MASK].

B examples, T positions, C labels, D hidden size, S soft tokens.
"""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from repro.data.clozes import ClozeTask
from repro.data.shards import Split
from repro.errors import UserError
from repro.evaluate.batching import Batch
from repro.evaluate.classifier import Classifier, build_head
from repro.nn.encoders import encode
from repro.nn.heads import MaskedLMHead, gather


class Cloze(nn.Module):
    """Logits of C words at the one [MASK] of each row, by the head that pre-training left.

    Source: Schick and Schuetze 2021, equation 1; softmax over these words only.
    """

    form = "cloze"

    def __init__(
        self, encoder: PreTrainedModel, head: MaskedLMHead, words_C: torch.Tensor, mask: int
    ) -> None:
        super().__init__()
        self.encoder, self.head, self.mask = encoder, head, mask
        self.register_buffer("words_C", words_C, persistent=False)

    @property
    def device(self) -> torch.device:
        return self.words_C.device

    def label_vectors(self) -> torch.Tensor:
        """Return the embeddings_CD that the words are scored by."""
        return self.head.decoder[self.words_C]

    def hidden(self, ids_BT: torch.Tensor, places_B: torch.Tensor, keep_BT: torch.Tensor | None
               ) -> torch.Tensor:
        """Return the last hidden states, (B, T, D)."""
        return encode(self.encoder, ids_BT, keep_BT)

    def forward(self, batch: Batch) -> torch.Tensor:
        """Return logits_BC. The order of the rows is kept."""
        ids_BT = batch.input_ids_BT.to(self.device)
        keep_BT = None if batch.keep_BT is None else batch.keep_BT.to(self.device)
        places_B = (ids_BT == self.mask).flatten().nonzero()[:, 0]
        hidden_BTD = self.hidden(ids_BT, places_B, keep_BT)
        features_BD = self.head.transform(gather(hidden_BTD, places_B))
        return F.linear(features_BD, self.label_vectors(), self.head.bias[self.words_C])


class SoftCloze(Cloze):
    """Cloze whose template and label words are vectors of their own, trained with all the rest.

    They begin as the embeddings of the template's tokens and of the words. Source: Zhang et al.
    2022 (DART), section 3; without its auxiliary fluency loss.
    """

    def __init__(
        self, encoder: PreTrainedModel, head: MaskedLMHead, words_C: torch.Tensor, mask: int,
        template_S: torch.Tensor, offsets: tuple[int, ...],
    ) -> None:
        super().__init__(encoder, head, words_C, mask)
        table = encoder.get_input_embeddings().weight.detach()
        self.register_buffer("offsets_S", torch.tensor(offsets), persistent=False)
        self.template_SD = nn.Parameter(table[template_S].clone())
        self.words_CD = nn.Parameter(table[words_C].clone())

    def label_vectors(self) -> torch.Tensor:
        """Return the words' own vectors."""
        return self.words_CD

    def hidden(self, ids_BT: torch.Tensor, places_B: torch.Tensor, keep_BT: torch.Tensor | None
               ) -> torch.Tensor:
        """Return the last hidden states with the soft vectors in the template's places."""
        embedded_BTD = self.encoder.get_input_embeddings()(ids_BT)
        flat = embedded_BTD.flatten(0, 1)
        index = (places_B[:, None] + self.offsets_S).flatten()
        flat = flat.index_copy(0, index, self.template_SD.repeat(len(places_B), 1))
        inputs_BTD = flat.view_as(embedded_BTD)
        return self.encoder(inputs_embeds=inputs_BTD, attention_mask=keep_BT).last_hidden_state


class Classed(Classifier):
    """The usual classifier on the first token of the plain text, beside which `Cloze` stands."""

    form = "plain"


Model = Cloze | Classed


def hard(encoder: PreTrainedModel, head: MaskedLMHead, task: ClozeTask, /) -> Cloze:
    """Return prompt-based fine-tuning with a template and words of the vocabulary."""
    return Cloze(encoder, head, torch.from_numpy(task.words_C), task.vocab.mask)


def soft(encoder: PreTrainedModel, head: MaskedLMHead, task: ClozeTask, /) -> SoftCloze:
    """Return prompt-based fine-tuning with a template and words that are trained.

    Raises UserError where the template has no token of its own next to the mask.
    """
    template_S = template_tokens(task.cloze.train, task)
    return SoftCloze(encoder, head, torch.from_numpy(task.words_C), task.vocab.mask, template_S,
                     task.offsets)


def classed(encoder: PreTrainedModel, head: MaskedLMHead, task: ClozeTask, /) -> Classed:
    """Return a fresh head (dense, tanh, linear) on the first token; the language model's head is
    left aside."""
    labels = len(task.words_C)
    dropout = getattr(encoder.config, "hidden_dropout_prob", 0.1)
    made = build_head("dense_tanh", encoder.config.hidden_size, labels, dropout)
    return Classed(encoder, made, "cls")


def template_tokens(split: Split, task: ClozeTask) -> torch.Tensor:
    """Return the ids_S that stand around the mask of every row, int64. Raises UserError where
    rows disagree or there is none."""
    if not task.offsets:
        raise UserError(f"task {task.name!r}: its template has no token next to the [MASK]")
    ids_NT = torch.from_numpy(split.input_ids[:].astype("int64"))
    place_N = (ids_NT == task.vocab.mask).int().argmax(dim=1)
    around_NS = ids_NT.gather(1, place_N[:, None] + torch.tensor(task.offsets))
    if not bool((around_NS == around_NS[0]).all()):
        raise UserError(f"task {task.name!r}: the tokens of its template are not the same in every "
                        "row; part a literal from the slots by spaces")
    return around_NS[0]
