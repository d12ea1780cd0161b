"""The data stage of lip reading: clips with transcripts, spellings, and text without video."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from repro.audio import espeak as speech
from repro.audio import phones, store
from repro.context import RunContext
from repro.data import assets, shards
from repro.data.documents import shuffled
from repro.data.encoding import encode_documents
from repro.data.growing import GrowingArray
from repro.errors import UserError
from repro.lips import clips as clips_on_disk
from repro.lips import prompts
from repro.lips.clips import BORDER, LANGUAGE
from repro.lips.mouths import Spoken
from repro.text import tokenizer as vocabularies

CORPUS = "text"
Tables = dict[str, dict[str, list[str]]]  # kind -> word -> units


def prepare(
    ctx: RunContext,
    *,
    text: Callable[..., list[str]],
    clips: Callable[..., Iterator[Spoken]],
    tokenizer: Callable[..., Tokenizer],
    copies: int = 1,
    transcribed: float = 0.0,
    size: int = 32,
    channels: int = 1,
    order_seed: int = 42,
    accent: str = "en-us",
    espeak: str = speech.VERSION,
) -> None:
    """Write the clips (`repro.lips.clips`), a tokenizer, corpora/text and manifest.json.

    text(): sentences that may be read or said; clips(sentences): utterances that are seen. Text
    without video is every sentence that no dev or test clip says. corpora/text: these sentences
    and, `copies` times, a pronouncing dictionary of all words in phones and in letters, so that a
    language model has met the names of the units; 0 = no dictionary. transcribed: this share of the
    sentences stands there again, behind its phones and behind its letters, without any mistake.
    Pronunciations are made word by word by espeak's rules for an accent, and nobody checks them.
    Raises UserError for an empty split, clips of another size, and data that is not fetched.
    """
    ctx.out.mkdir(parents=True, exist_ok=True)
    with assets.recorded() as used:
        voice = speech.espeak(espeak)
        pool = text()
        ctx.report(step=1, total=3, phase="text")
        writer = GrowingArray(ctx.out / clips_on_disk.FRAMES, np.uint8,
                              (channels, size, size))
        rows = list(_write(ctx, clips(pool), writer))
        writer.close()
        words = {word for line in pool for word in line.split()}
        words |= {word for row in rows for word in row["words"]}
        tables = _spelled(words, voice, accent)
    rows = [row for row in rows if all(word in tables["phones"] for word in row["words"])]
    if missing := {"train", "dev", "test"} - {row["split"] for row in rows}:
        raise UserError(f"prepare.clips: no {min(missing)} clip")
    reserved = {" ".join(row["words"]) for row in rows if row["split"] != "train"}
    sentences = [line for line in pool if line not in reserved
                 and all(word in tables["phones"] for word in line.split())]
    for kind, table in tables.items():
        inventory = sorted({unit for units in table.values() for unit in units})
        store.write_spelling(ctx.out, LANGUAGE, kind, {LANGUAGE: table}, inventory)
    store.write_utterances(ctx.out, rows)
    shards.write_json(ctx.out / clips_on_disk.SENTENCES, sentences)
    ctx.report(step=2, total=3, phase="clips")
    _write_text(ctx, sentences, tokenizer, copies, transcribed, order_seed)
    shards.write_json(ctx.out / "assets.json", dict(sorted(used.items())))
    shards.write_manifest(ctx.out)


def _write(ctx: RunContext, clips: Iterator[Spoken], writer: GrowingArray) -> Iterator[dict]:
    """Write the frames of every utterance; yield its row."""
    for done, clip in enumerate(clips, 1):
        if done % 100 == 0:
            ctx.report(step=done, total=done, phase="clips")
        timed = [(phone.name, phone.start, phone.end) for phone in clip.phones]
        yield {"id": clip.id, "speaker": clip.speaker, "split": clip.split,
               "words": clip.text.split(), "start": writer.add(clip.video),
               "frames": len(clip.video), "phones": timed}


def _spelled(words: set[str], voice: Any, accent: str) -> Tables:
    """Return how words are spelled in phones and in letters; those without a phone are left out."""
    said = {word: phones.common(voice.pronounce(word, accent)) for word in sorted(words)}
    in_phones = {word: units for word, units in said.items() if units}
    return {"phones": in_phones, "letters": {word: [BORDER, *word] for word in in_phones}}


def _write_text(
    ctx: RunContext, sentences: list[str], tokenizer: Callable[..., Tokenizer], copies: int,
    transcribed: float, seed: int,
) -> None:
    """Write the tokenizer and corpora/text."""
    spellings = [store.read_spelling(ctx.out / store.spelling_file(LANGUAGE, kind))
                 for kind in ("phones", "letters")]
    lines = [*map(prompts.answer, map(str.split, sentences)),
             *prompts.dictionary(spellings) * copies]
    for line in shuffled(sentences, seed, "transcribed")[: round(transcribed * len(sentences))]:
        words = tuple(line.split())
        lines += [prompts.question([one.units[unit] for unit in one.spell(LANGUAGE, words)])
                  + prompts.answer(words) for one in spellings]
    lines = shuffled(lines, seed, CORPUS)
    trained = tokenizer(lines)
    vocabularies.save(trained, ctx.out)
    shards.write_corpus(ctx.out / "corpora" / CORPUS, encode_documents(trained, lines),
                        vocabularies.vocab_info(trained).dtype, {"sentences": len(sentences)})
