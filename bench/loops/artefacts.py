"""The synthetic examples as data artefacts, as the data stages of the suite would leave them."""

import json
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, models

from loops import material
from loops.setting import SEP, SETTING, SPECIAL
from repro.audio import store as audio
from repro.data import shards
from repro.data.growing import GrowingArray
from repro.text import tokenizer as vocabularies
from repro.text.languages import WORD_MARKS, tag
from repro.vision import pictures

NAME, LANGUAGE = "examples", "en"
TEXT = f"{NAME}.{LANGUAGE}"  # the corpus


def write(task: str, folder: Path, count: int) -> None:
    """Write what a task reads: so many rows, sentences, utterances or pictures."""
    vocabularies.save(_tokenizer(), folder)
    match task:
        case "ctc":
            _speech(folder, count)
        case "contrastive":
            _pictures(folder, count)
        case "seq2seq":
            _corpus(folder, [[*words_T, SEP] for words_T in material.sentences(count)])
        case _:
            _corpus(folder, [material.rows(count).flatten()])
    shards.write_manifest(folder)


def _tokenizer() -> Tokenizer:
    """Every word is a piece of its own, and the last id a language's tag."""
    names = [*SPECIAL, *(f"{WORD_MARKS[1]}{i}" for i in range(len(SPECIAL), _last())),
             tag(LANGUAGE)]
    ids = {name: index for index, name in enumerate(names)}
    return vocabularies.with_template(Tokenizer(models.WordLevel(ids, unk_token="[UNK]")))


def _last() -> int:
    return SETTING["vocabulary"] - 1


def _corpus(folder: Path, documents: list[np.ndarray]) -> None:
    shards.write_corpus(folder / "corpora" / TEXT, documents, np.dtype(np.uint16), {})


def _speech(folder: Path, count: int) -> None:
    writer, found = GrowingArray(folder / audio.FEATURES, np.float16, (SETTING["mels"],)), []
    for number, (features_FM, units) in enumerate(material.utterances(count)):
        found.append({
            "id": str(number), "language": LANGUAGE, "speaker": "1", "split": "train",
            "origin": "synthetic", "words": [f"w{unit}" for unit in units],
            "start": writer.add(features_FM), "frames": len(features_FM)})
    writer.close()
    audio.write_utterances(folder, iter(found))
    names = [f"p{unit}" for unit in range(1, SETTING["units"])]
    spelled = {f"w{unit}": [name] for unit, name in enumerate(names, 1)}
    audio.write_spelling(folder, NAME, "phones", {LANGUAGE: spelled}, names)
    (folder / audio.LINES).write_text(json.dumps({LANGUAGE: []}), encoding="utf-8")


def _pictures(folder: Path, count: int) -> None:
    place, drawn = folder / pictures.KIND / NAME, material.pictures(count)
    pictures.write_images(place, (pictures.encode(pixels) for pixels, _ in drawn))
    captions = (np.array([*words, SEP]) for _, words in drawn)
    pictures.write_texts(place, captions, [1] * count, np.dtype(np.uint16))
    shards.write_json(place / "meta.json", {})
