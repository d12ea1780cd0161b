"""The data stage of speech: readers -> features, pronunciations, sub-words and text on disk.

Pronunciations are made word by word, by rule, and nobody checks them: the transcript of a sentence
in phones is that of its words, joined, as a lexicon would give it.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from repro.audio import espeak as speech
from repro.audio import phones, store, subwords
from repro.audio.features import WIDTH, log_mel, normalised
from repro.audio.store import Kind
from repro.audio.utterances import Caption, Utterance, words_of
from repro.context import RunContext
from repro.data import assets
from repro.data.growing import GrowingArray
from repro.data.shards import write_json, write_manifest
from repro.errors import UserError

Spelled = dict[str, dict[str, list[str]]]  # language -> word -> units
Text = Callable[..., list[Caption]]


def prepare(
    ctx: RunContext,
    *,
    sources: tuple[Callable[..., Iterator[Utterance]], ...],
    groups: dict[str, tuple[str, ...]],
    tokenizer: Callable,
    target_tokenizer: Callable,
    text: Text | None = None,
    weaken: Callable | None = None,
    mels: int = 80,
    shortest: int = 4,
    longest: int = 2000,
    espeak: str = speech.VERSION,
) -> None:
    """Write a speech artefact (`repro.audio.store`) and manifest.json.

    sources: readers; groups: name -> languages that share one set of units. tokenizer: of groups of
    several languages, target_tokenizer: of groups of one. text(language): sentences for language
    models, instead of the training transcripts; their words enter the lexicon. weaken(words,
    language): puts mistakes into the pronunciations of languages that are synthesised by the very
    rules that pronounce them. shortest: frames a label needs, in any spelling; longest: frames of
    an utterance; others are left out.
    No sentence of dev or test is in train, in any voice, nor in the text. Raises UserError for a
    language without utterances, and for data that is not fetched.
    """
    ctx.out.mkdir(parents=True, exist_ok=True)
    with assets.recorded() as used:
        speech.espeak(espeak)
        writer = GrowingArray(ctx.out / store.FEATURES, np.float16, (mels,))
        rows = list(_read(ctx, sources, writer, mels, longest))
        writer.close()
        languages = sorted({language for members in groups.values() for language in members})
        every = {language: _lines(rows, language, text) for language in languages}
        tables = {language: _pronounced(rows, every, language, weaken) for language in languages}
    reserved = {(row["language"], *row["words"]) for row in rows if row["split"] != "train"}
    lines = {language: [line for line in found if (language, *line.split()) not in reserved]
             for language, found in every.items()}
    spelled = {name: _write_group(ctx, name, members, tables, lines,
                                  tokenizer if len(members) > 1 else target_tokenizer)
               for name, members in groups.items()}
    rows = [row for row in rows if row["language"] in tables]
    kept = _kept(rows, groups, spelled, shortest)
    for name, members in groups.items():
        for language in members:
            if not any(row["language"] == language for row in kept):
                raise UserError(f"prepare.groups: {name}: no utterance in language {language!r}")
    store.write_utterances(ctx.out, kept)
    write_json(ctx.out / store.LINES, lines)
    write_json(ctx.out / "assets.json", dict(sorted(used.items())))
    write_manifest(ctx.out)


def _read(
    ctx: RunContext, sources: Iterable[Callable], writer: GrowingArray, mels: int, longest: int
) -> Iterator[dict[str, Any]]:
    """Write the features of every utterance; yield its row."""
    done = 0
    for source in sources:
        for item in source():
            words = words_of(item.text)
            if not words or len(item.wave) < WIDTH:
                continue
            features_TM = normalised(log_mel(item.wave, mels))
            if len(features_TM) > longest:
                continue
            done += 1
            if done % 100 == 0:
                ctx.report(step=done, total=done, phase=f"reading {item.language}")
            yield {"id": item.id, "language": item.language, "speaker": item.speaker,
                   "split": item.split, "origin": item.origin, "words": words,
                   "start": writer.add(features_TM), "frames": len(features_TM)}


def _lines(rows: list[dict[str, Any]], language: str, text: Text | None) -> list[str]:
    """Return the sentences of a language as words joined by spaces, each once."""
    if text is None:
        found = (row["words"] for row in rows
                 if row["language"] == language and row["split"] == "train")
    else:
        found = (words_of(caption.text) for caption in text(language))
    return list(dict.fromkeys(" ".join(words) for words in found))


def _pronounced(
    rows: list[dict[str, Any]], lines: dict[str, list[str]], language: str,
    weaken: Callable | None,
) -> dict[str, list[str]]:
    """Return word -> phones of every word of a language."""
    spoken = [row for row in rows if row["language"] == language]
    words = {word for row in spoken for word in row["words"]}
    words |= {word for line in lines[language] for word in line.split()}
    voice = speech.espeak()
    found = {word: phones.common(voice.pronounce(word, language)) for word in sorted(words)}
    synthesised = any(row["origin"] == "synthesised" for row in spoken)
    return weaken(found, language) if weaken is not None and synthesised else found


def _write_group(
    ctx: RunContext, name: str, members: tuple[str, ...],
    tables: dict[str, dict[str, list[str]]], lines: dict[str, list[str]], tokenizer: Callable,
) -> dict[Kind, Spelled]:
    """Write how the words of a group are spelled, in both kinds of units: words that both can."""
    trained = tokenizer([line for language in members for line in lines[language]])
    in_subwords, in_phones = {}, {}
    for language in members:
        pieces = {word: trained.encode(word).tokens for word in tables[language]}
        # A letter of dev or test alone is in no unit and would be lost.
        whole = {word: found for word, found in pieces.items() if "".join(found) == f"▁{word}"}
        in_phones[language] = {word: tables[language][word] for word in whole
                               if tables[language][word]}
        in_subwords[language] = {word: whole[word] for word in in_phones[language]}
    inventory = sorted({phone for table in in_phones.values()
                        for found in table.values() for phone in found})
    store.write_spelling(ctx.out, name, "phones", in_phones, inventory)
    store.write_spelling(ctx.out, name, "subwords", in_subwords, subwords.units_of(trained))
    return {"phones": in_phones, "subwords": in_subwords}


def _kept(
    rows: list[dict[str, Any]], groups: dict[str, tuple[str, ...]],
    spelled: dict[str, dict[Kind, Spelled]], shortest: int,
) -> list[dict[str, Any]]:
    """Return the rows that every arm can use: sayable, long enough in any spelling for CTC to have
    a path, and, in train, not a sentence of dev or test (nor, in dev, one of test)."""
    said: dict[str, set[tuple]] = {"train": set(), "dev": set(), "test": set()}
    for row in rows:
        said[row["split"]].add((row["language"], *row["words"]))
    banned = {"train": said["dev"] | said["test"], "dev": said["test"], "test": set()}
    found = []
    for row in rows:
        key = (row["language"], *row["words"])
        tables = [spelling[row["language"]] for name, kinds in spelled.items()
                  if row["language"] in groups[name] for spelling in kinds.values()]
        sayable = all(word in table for table in tables for word in row["words"])
        if key in banned[row["split"]] or not tables or not sayable:
            continue
        needed = max(_places([unit for word in row["words"] for unit in table[word]])
                     for table in tables)
        if needed * shortest <= row["frames"]:
            found.append(row)
    return found


def _places(units: list[str]) -> int:
    """Return the outputs that CTC needs: one a unit, and a blank between equal ones."""
    return len(units) + sum(a == b for a, b in zip(units, units[1:], strict=False))
