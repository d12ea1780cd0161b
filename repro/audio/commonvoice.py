"""Common Voice from the Hugging Face hub: read sentences of many speakers, splits as published."""

import io
from collections.abc import Iterator

import soundfile

from repro.audio.utterances import Utterance, at_rate
from repro.data import hub

SPLITS = {"train": "train", "validation": "dev", "test": "test"}


def recordings(
    *,
    languages: tuple[str, ...],
    revision: str,
    dataset: str = "mozilla-foundation/common_voice_11_0",
) -> Iterator[Utterance]:
    """Yield every utterance of some languages, named as the data set names them (`sv-SE`).

    The language of an utterance is its first part (`sv`): the name of its pronunciation rules.
    Raises UserError when the data set is missing, saying what to download.
    """
    import datasets

    for language in languages:
        for split, ours in SPLITS.items():
            rows = hub.load(dataset, language, split, revision)
            rows = rows.cast_column("audio", datasets.Audio(decode=False))
            for row in rows:
                wave = at_rate(*soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="float32"))
                yield Utterance(f"{language}/{row['path']}", language.partition("-")[0],
                                row["client_id"], row["sentence"], wave, ours)
