"""Measures of lip reading: a recogniser of units, and what turns units into a sentence.

N outputs, U units.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import jiwer
import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, PreTrainedModel

from repro.audio.store import Spelling, read_spelling
from repro.context import RunContext
from repro.errors import UserError
from repro.evaluate.ctc_decoding import LexiconDecoder, greedy
from repro.evaluate.transcription import word_error_rate
from repro.evaluate.word_lm import Bigram
from repro.lips import prompts
from repro.lips.batches import videos
from repro.lips.clips import BORDER, LANGUAGE, Clip, Clips
from repro.nn.video import VideoMAEForCTC, log_probabilities
from repro.text import tokenizer as vocabularies
from repro.train import determinism

STAGE, MODEL = "recognise", "model"
BATCH = 50
Device = Literal["cpu", "cuda"]
Lines = list[list[str]]
Heard = list[np.ndarray]  # by clip: log p (N, V)
Writer = Callable[[RunContext, Clips, Spelling, Heard], Lines]


def read_lips(
    ctx: RunContext, *, write: Writer, test: int | None = None, device: Device = "cpu"
) -> dict[str, float]:
    """Return the errors on test clips: new sentences, by people in no training clip.

    write: from outputs to words: `letters`, `lexicon` or `language_model`. wer, cer: of words, and
    of letters and spaces. wer_unseen: the share of wrong words among those that no training clip
    holds, left out where the test clips hold none. per: of phones by the best path, where units
    are phones. test: the first so many clips, None = all.
    Raises UserError for a missing model.
    """
    clips = Clips(ctx.input("data"))
    model, spelling = load(ctx.input(STAGE) / MODEL, device)
    chosen = clips.of("test")[:test]
    heard = outputs(clips, model, chosen)
    said = [list(clip.words) for clip in chosen]
    written = write(ctx, clips, spelling, heard)
    found = {"wer": word_error_rate(said, written), "cer": letter_error_rate(said, written)}
    wrong = errors_among(clips.unseen, said, written)
    if wrong is not None:
        found["wer_unseen"] = wrong
    if spelling.kind == "phones":
        units = [names(spelling, spelling.spell(LANGUAGE, clip.words)) for clip in chosen]
        found["per"] = word_error_rate(units, best_paths(spelling, heard))
    return found


def letters(ctx: RunContext, clips: Clips, spelling: Spelling, heard: Heard) -> Lines:
    """Return the words that the best path of letters spells. Raises UserError for phones."""
    if spelling.kind != "letters":
        raise UserError(f"letters: the recogniser writes {spelling.kind}")
    return ["".join(units).replace(BORDER, " ").split() for units in best_paths(spelling, heard)]


def lexicon(
    ctx: RunContext,
    clips: Clips,
    spelling: Spelling,
    heard: Heard,
    /,
    *,
    lm_weights: tuple[float, ...] = (0.0,),
    beam: int = 16,
    dev: int | None = None,
    device: Device = "cpu",
) -> Lines:
    """Return the most probable words of the lexicon, under a bigram model of the text without
    video. lm_weights: of that model, 0 = the lexicon alone; of several, the best on dev clips.
    dev: the first so many of these."""
    if not lm_weights:
        raise UserError("lm_weights: empty; name at least one")
    spelled = spelling.words[LANGUAGE]
    decoder = LexiconDecoder(spelled, Bigram(clips.sentences, spelled), beam=beam)
    weight = lm_weights[0]
    if len(lm_weights) > 1:
        chosen = clips.of("dev")[:dev]
        model, _ = load(ctx.input(STAGE) / MODEL, device)
        tuning, said = outputs(clips, model, chosen), [list(clip.words) for clip in chosen]
        weight = min(sorted(lm_weights), key=lambda one: word_error_rate(
            said, [decoder.decode(rows_NV, one) for rows_NV in tuning]))
    return [decoder.decode(rows_NV, weight) for rows_NV in heard]


def language_model(
    ctx: RunContext,
    clips: Clips,
    spelling: Spelling,
    heard: Heard,
    /,
    *,
    folder: str,
    beams: int = 4,
    longest: int = 24,
    device: Device = "cpu",
) -> Lines:
    """Return what a decoder writes when it is asked for the sentence behind the best path's units.

    folder: of the decoder in the artefact of the stage before. beams: 1 is greedy. longest: tokens
    of a sentence. Raises UserError for a missing model.
    """
    path = ctx.input(STAGE) / folder
    try:
        decoder = AutoModelForCausalLM.from_pretrained(path, local_files_only=True)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: no readable decoder; run the stages before again") from error
    decoder = decoder.eval().to(determinism.device(device))
    tokenizer = vocabularies.load(clips.folder)
    return rewrite(decoder, tokenizer, best_paths(spelling, heard), beams=beams, longest=longest)


@torch.inference_mode()
def rewrite(
    decoder: PreTrainedModel, tokenizer: Tokenizer, asked: Lines, *, beams: int, longest: int
) -> Lines:
    """Return the words that a decoder writes behind each list of units, up to [SEP].

    Questions of one length go together: none is padded.
    """
    end = vocabularies.vocab_info(tokenizer).sep
    questions = prompts.questions(tokenizer, asked)
    order = sorted(range(len(questions)), key=lambda index: (len(questions[index]), index))
    written: Lines = [[] for _ in questions]
    while order:
        size = len(questions[order[0]])
        some = [index for index in order[:BATCH] if len(questions[index]) == size]
        order = order[len(some):]
        tokens_BT = torch.tensor([questions[index] for index in some], device=decoder.device)
        found_BT = decoder.generate(
            tokens_BT, attention_mask=torch.ones_like(tokens_BT), num_beams=beams, do_sample=False,
            max_new_tokens=longest, eos_token_id=end, pad_token_id=end)
        for index, row in zip(some, found_BT[:, size:].tolist(), strict=True):
            ids = row[: row.index(end)] if end in row else row
            written[index] = tokenizer.decode(ids, skip_special_tokens=True).split()
    return written


def load(folder: Path, device: Device) -> tuple[VideoMAEForCTC, Spelling]:
    """Return a recogniser and what its units are. Raises UserError if it is missing."""
    try:
        model = VideoMAEForCTC.from_pretrained(folder, local_files_only=True)
        (path,) = (path for path in folder.glob("*.*.json") if path.name.count(".") == 2)
        spelling = read_spelling(path)
    except (OSError, ValueError, json.JSONDecodeError) as error:
        raise UserError(f"{folder}: no readable recogniser; run the stage before again") from error
    return model.eval().to(determinism.device(device)), spelling


@torch.inference_mode()
def outputs(clips: Clips, model: VideoMAEForCTC, chosen: list[Clip]) -> Heard:
    """Return log p (N, V) float32 of each clip."""
    found: Heard = []
    for start in range(0, len(chosen), BATCH):
        video_BTCSS = videos(clips, chosen[start : start + BATCH], model.config.num_frames)
        found += list(log_probabilities(model, video_BTCSS).cpu().numpy())
    return found


def names(spelling: Spelling, units: list[int]) -> list[str]:
    """Return the names of units."""
    return [spelling.units[unit] for unit in units]


def best_paths(spelling: Spelling, heard: Heard) -> Lines:
    """Return the units of each clip's best path."""
    return [names(spelling, greedy(rows_NV)) for rows_NV in heard]


def letter_error_rate(references: Lines, found: Lines) -> float:
    """Return the errors in letters and spaces, divided by those said. By jiwer."""
    return float(jiwer.cer([" ".join(line) for line in references],
                           [" ".join(line) for line in found]))


def errors_among(words: frozenset[str], references: Lines, found: Lines) -> float | None:
    """Return the share of these words that were replaced or left out, None where none was said.

    By jiwer's alignment, which is the one that the error rate counts on.
    """
    aligned = jiwer.process_words([" ".join(line) for line in references],
                                  [" ".join(line) for line in found])
    total = sum(word in words for line in references for word in line)
    wrong = sum(
        line[place] in words
        for line, chunks in zip(references, aligned.alignments, strict=True)
        for chunk in chunks if chunk.type in ("substitute", "delete")
        for place in range(chunk.ref_start_idx, chunk.ref_end_idx))
    return wrong / total if total else None
