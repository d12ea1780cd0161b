"""Tux Paint's stamps: one-sentence captions in 77 languages, and people reading them in twelve.

Mostly one speaker a language. Captions of one stamp are translations of each other.
"""

import hashlib
import io
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import soundfile

from repro.audio.utterances import Caption, Utterance, at_rate, is_plain, split_of, trimmed
from repro.data import assets
from repro.errors import UserError

ASSET = "tuxpaint-stamps-default"
VERSION = "2022.06.04-1"
SLOWEST, FASTEST = 3.0, 35.0  # letters a second: beyond them the recording is of another text
TEST, DEV = 0.12, 0.04


def captions(language: str, version: str = VERSION) -> list[Caption]:
    """Return the captions in a language, in the order of the stamps' paths.

    Those with digits are left out. Raises UserError for a language without captions.
    """
    assets.path(ASSET, version)
    found = [Caption(key, text) for stamp, key, texts in _stamps(version)
             if is_plain(text := texts.get(language, ""))]
    if not found:
        raise UserError(f"asset '{ASSET}': no caption in language {language!r}")
    return found


def recordings(
    *, languages: tuple[str, ...], utterances: int | None = None, version: str = VERSION
) -> Iterator[Utterance]:
    """Yield what people read, by language, trimmed of silence.

    Split by caption: 12 % of the stamps are test in every language, 4 % dev. Recordings slower than
    3 or faster than 35 letters a second are left out. utterances: read at most so many of each
    split of a language; None = all.
    """
    assets.path(ASSET, version)
    present = _members(version)
    for language in languages:
        taken: Counter[str] = Counter()
        suffix = "" if language == "en" else f"_{language}"
        for stamp, key, texts in _stamps(version):
            member = f"{stamp}_desc{suffix}.ogg"
            text, split = texts.get(language, ""), split_of(key, TEST, DEV)
            if member not in present or not is_plain(text):
                continue
            if utterances is not None and taken[split] >= utterances:
                continue
            content = _read(member, version)
            wave = trimmed(at_rate(*soundfile.read(io.BytesIO(content), dtype="float32")))
            if SLOWEST <= len(text) / (len(wave) / 16000) <= FASTEST:
                taken[split] += 1
                yield Utterance(f"{language}/{stamp}", language, f"tux-{language}", text, wave,
                                split)


def _read(member: str, version: str) -> bytes:
    """Return the bytes of a member. With 7,000 of them, the list is read once and not every time
    as by `assets.read_member`."""
    content = (_folder(version) / member).read_bytes()
    if hashlib.sha256(content).hexdigest() != _members(version)[member]:
        raise UserError(f"asset '{ASSET}': {member}: altered since it was fetched; fetch it again: "
                        f"repro data fetch --force {ASSET}")
    return content


@lru_cache(maxsize=1)
def _folder(version: str) -> Path:
    return assets.path(ASSET, version)


@lru_cache(maxsize=1)
def _members(version: str) -> dict[str, str]:
    """Return path -> sha256 of every member."""
    assets.path(ASSET, version)
    return (assets.manifest(assets.find(ASSET)) or {})["members"]


@lru_cache(maxsize=1)
def _stamps(version: str) -> list[tuple[str, str, dict[str, str]]]:
    """Return (path without ending, English caption, caption by language) of every stamp."""
    found = []
    for member in sorted(name for name in _members(version) if name.endswith(".txt")):
        content = _read(member, version).decode("utf-8", errors="replace")
        lines = [line.strip() for line in content.splitlines()]
        texts = {"en": lines[0] if lines else ""}
        for line in lines[1:]:
            language, mark, text = line.partition(".utf8=")
            if mark:
                texts[language] = text.strip()
        found.append((member.removesuffix(".txt"), texts["en"], texts))
    return found
