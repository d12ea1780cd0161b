"""Visemes: what a phone looks like. Phones of one row look the same but for their timing.

A shape is five numbers: how far the lips are open, how wide and how round they are, how much of the
teeth and of the tongue is seen. Dominance is how much a phone imposes its shape on its neighbours.
"""

from typing import NamedTuple

import numpy as np

_ROWS = (
    # phones (IPA), open, width, round, teeth, tongue, dominance
    ("", 0.04, 0.50, 0.0, 0.0, 0.0, 0.6),
    ("p b m ɓ ɱ", 0.0, 0.50, 0.1, 0.0, 0.0, 2.5),
    ("f v ʋ", 0.10, 0.50, 0.0, 1.0, 0.0, 2.0),
    ("θ ð", 0.22, 0.55, 0.0, 0.6, 0.9, 1.2),
    ("t d n s z l ɾ ts dz ʈ ɖ", 0.22, 0.60, 0.0, 0.7, 0.3, 0.8),
    ("ʃ ʒ tʃ dʒ tɕ dʑ ɕ ʑ ʂ ʐ", 0.25, 0.28, 0.7, 0.6, 0.0, 1.2),
    ("k g ɡ ŋ x ɣ h ɦ j ɲ ʎ ç c ɟ q ʔ χ", 0.32, 0.50, 0.0, 0.2, 0.0, 0.4),
    ("r ɹ ʁ ʀ ɻ ɽ", 0.25, 0.38, 0.4, 0.2, 0.1, 0.7),
    ("w ʍ ɥ", 0.12, 0.10, 1.0, 0.0, 0.0, 1.6),
    ("i ɪ ɨ", 0.25, 0.95, 0.0, 0.5, 0.2, 1.3),
    ("e ɛ ø œ", 0.50, 0.80, 0.0, 0.4, 0.1, 1.3),
    ("a æ ɑ ä ɐ ʌ aɪ aʊ", 0.95, 0.60, 0.0, 0.3, 0.1, 1.4),
    ("ə ɜ ɘ ɚ ɝ", 0.38, 0.50, 0.0, 0.2, 0.0, 0.8),
    ("o ɔ ɒ oʊ ɔɪ", 0.60, 0.25, 0.8, 0.1, 0.0, 1.4),
    ("u ʊ ɯ y ʏ ʉ", 0.20, 0.10, 1.0, 0.0, 0.0, 1.4),
)
SILENCE = 0
_NEUTRAL = 12
_OF_PHONE = {phone: row for row, (phones, *_) in enumerate(_ROWS) for phone in phones.split()}
_LONGEST = max(map(len, _OF_PHONE))
_MARKS = str.maketrans("", "", "ˈˌːˑ")
# The commonest sound of a letter whose sign means another phone in IPA, or none.
_OF_LETTER = {"j": "ʒ", "y": "j", "c": "k", "'": "ə", "|": ""}
SHAPES = np.array([row[1:6] for row in _ROWS])
DOMINANCES = np.array([row[6] for row in _ROWS])


class Viseme(NamedTuple):
    """The shape of the lips, each number 0 to 1, and the dominance."""

    open: float
    width: float
    round: float
    teeth: float
    tongue: float
    dominance: float


def viseme_class(phone: str) -> int:
    """Return the row of a phone: that of its longest beginning in the table, without stress and
    length; the neutral vowel's where there is none, silence for a pause ("" or "_...")."""
    plain = phone.translate(_MARKS)
    if not plain or plain.startswith("_"):
        return SILENCE
    for size in range(min(_LONGEST, len(plain)), 0, -1):
        if plain[:size] in _OF_PHONE:
            return _OF_PHONE[plain[:size]]
    return _NEUTRAL


def letter_class(letter: str) -> int:
    """Return the row of a letter's commonest sound in English; silence for a word's border `|`."""
    return viseme_class(_OF_LETTER.get(letter, letter))


def viseme(phone: str) -> Viseme:
    """Return what a phone looks like."""
    row = viseme_class(phone)
    return Viseme(*SHAPES[row].tolist(), DOMINANCES[row].item())
