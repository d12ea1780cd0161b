"""Measures of a speech recogniser: errors in units and in words, before and after adaptation."""

import json
from functools import cache
from pathlib import Path
from typing import Literal

import jiwer
import numpy as np
import torch
from transformers import AutoModelForCTC, PreTrainedModel

from repro.audio.batches import collate
from repro.audio.store import Entry, Speech, Spelling, read_spelling
from repro.context import RunContext
from repro.errors import UserError
from repro.evaluate.ctc_decoding import LexiconDecoder, greedy
from repro.evaluate.word_lm import Bigram
from repro.nn.conformer import log_probabilities
from repro.train import determinism

BATCH = 16
ORDER_SEED = 7  # of the choice of utterances where not all are measured
Device = Literal["cpu", "cuda"]


def word_error_rate(references: list[list[str]], found: list[list[str]]) -> float:
    """Return substitutions, deletions and insertions over all sentences, divided by the words said;
    of phones, where the lists hold phones. Above 1 where much is inserted. By jiwer."""
    return float(jiwer.wer([" ".join(line) for line in references],
                           [" ".join(line) for line in found]))


def transcribe(
    ctx: RunContext,
    *,
    target: str,
    beam: int = 16,
    lm_weights: tuple[float, ...] = (0.4, 0.8, 1.2, 1.6),
    test: int | None = None,
    dev: int | None = None,
    device: Device = "cpu",
) -> dict[str, float]:
    """Return the errors of the model that was adapted to `target`, on its language's test set.

    wer: words of the lexicon under a bigram model, its weight the best of lm_weights on dev; the
    lexicon and the model are the same whatever units spell the words. wer_without_lm: by the
    lexicon alone. per: of phones, best path, where the units are phones.
    test, dev: at most so many utterances of each language, None = all. Raises UserError for a
    missing model.
    """
    model, spelling = load(ctx.input("finetune") / target / "model", device)
    recogniser = Recogniser(Speech(ctx.input("data")), model, spelling, beam)
    weight, _ = recogniser.tuned(lm_weights, dev)
    found = {"wer": recogniser.errors("test", test, weight),
             "wer_without_lm": recogniser.errors("test", test, 0.0)}
    return found | ({"per": recogniser.unit_errors("test", test)}
                    if spelling.kind == "phones" else {})


def remembered(
    ctx: RunContext,
    *,
    targets: tuple[str, ...],
    beam: int = 16,
    lm_weights: tuple[float, ...] = (0.4, 0.8, 1.2, 1.6),
    test: int | None = None,
    dev: int | None = None,
    device: Device = "cpu",
) -> dict[str, float]:
    """Return the errors on the languages of pre-training: wer, wer_without_lm and per of the
    pre-trained model, forgetting: by how much the wer has grown after adaptation, with the old
    output layer put back, the mean over the targets.

    The weight of the language model is the best of lm_weights before adaptation.
    """
    speech, folder = Speech(ctx.input("data")), ctx.input("finetune")
    model, spelling = load(folder / "start", device)
    recogniser = Recogniser(speech, model, spelling, beam)
    weight, _ = recogniser.tuned(lm_weights, dev)
    before = recogniser.errors("test", test, weight)
    found = {"wer": before, "wer_without_lm": recogniser.errors("test", test, 0.0)}
    if spelling.kind == "phones":
        found["per"] = recogniser.unit_errors("test", test)
    after = []
    for target in targets:
        adapted, _ = load(folder / target / "model", device)
        model.base_model.load_state_dict(adapted.base_model.state_dict())
        adapted = Recogniser(speech, model, spelling, beam)
        after.append(adapted.errors("test", test, weight))
    return found | {"forgetting": sum(after) / len(after) - before}


def load(folder: Path, device: Device) -> tuple[PreTrainedModel, Spelling]:
    """Return an exported recogniser and what its units are. Raises UserError if it is missing."""
    try:
        model = AutoModelForCTC.from_pretrained(folder, local_files_only=True)
        (spelling,) = (read_spelling(path) for path in sorted(folder.glob("*.*.json"))
                       if path.name.split(".")[1] in ("phones", "subwords"))
    except (OSError, ValueError, json.JSONDecodeError) as error:
        raise UserError(f"{folder}: no readable recogniser; run the stage before again") from error
    return model.eval().to(determinism.device(device)), spelling


class Recogniser:
    """A model at work on the languages it has a spelling for. Its outputs are kept."""

    def __init__(
        self, speech: Speech, model: PreTrainedModel, spelling: Spelling, beam: int
    ) -> None:
        self.speech, self.model, self.spelling = speech, model, spelling
        self._heard: dict[tuple[str, int | None], list[tuple[Entry, np.ndarray]]] = {}
        self.decoder = cache(lambda language: LexiconDecoder(
            spelling.words[language],
            Bigram(speech.lines[language], spelling.words[language]), beam=beam))

    def heard(self, split: str, most: int | None) -> list[tuple[Entry, np.ndarray]]:
        """Return utterances with their outputs, log p (N, V) float32."""
        if (split, most) not in self._heard:
            self._heard[split, most] = self._hear(self._choose(split, most))
        return self._heard[split, most]

    def tuned(self, weights: tuple[float, ...], dev: int | None) -> tuple[float, float]:
        """Return (weight, error) of the best language model weight on dev, the least of equals."""
        if not weights:
            raise UserError("lm_weights: empty; name at least one")
        return min(((weight, self.errors("dev", dev, weight)) for weight in sorted(weights)),
                   key=lambda found: found[1])

    def errors(self, split: str, most: int | None, weight: float) -> float:
        """Return the word error rate, the mean over the languages."""
        lines: dict[str, tuple[list, list]] = {}
        for entry, log_probs_NV in self.heard(split, most):
            said, found = lines.setdefault(entry.language, ([], []))
            said.append(list(entry.words))
            found.append(self.decoder(entry.language).decode(log_probs_NV, weight))
        rates = [word_error_rate(*both) for both in lines.values()]
        return sum(rates) / len(rates)

    def unit_errors(self, split: str, most: int | None) -> float:
        """Return the error rate of units by the best path, the mean over the languages."""
        names = self.spelling.units
        lines: dict[str, tuple[list, list]] = {}
        for entry, log_probs_NV in self.heard(split, most):
            said, found = lines.setdefault(entry.language, ([], []))
            said.append([names[unit] for unit in self.spelling.spell(entry.language, entry.words)])
            found.append([names[unit] for unit in greedy(log_probs_NV)])
        rates = [word_error_rate(*both) for both in lines.values()]
        return sum(rates) / len(rates)

    def _choose(self, split: str, most: int | None) -> list[Entry]:
        chosen = []
        for number, language in enumerate(self.spelling.words):
            own = self.speech.chosen((language,), split)
            places = np.random.default_rng([ORDER_SEED, number]).permutation(len(own))[:most]
            chosen += [own[place] for place in sorted(places)]
        return chosen

    @torch.inference_mode()
    def _hear(self, entries: list[Entry]) -> list[tuple[Entry, np.ndarray]]:
        found = []
        order = sorted(entries, key=lambda entry: entry.frames)
        for start in range(0, len(order), BATCH):
            some = order[start : start + BATCH]
            features_BTM, frames_B, *_ = collate(self.speech, self.spelling, some)
            log_probs_BNV, outputs_B = log_probabilities(self.model, features_BTM, frames_B)
            for entry, rows, size in zip(some, log_probs_BNV.cpu(), outputs_B.tolist(),
                                         strict=True):
                found.append((entry, rows[:size].numpy()))
        return found
