"""Phones: from espeak's IPA to a common inventory, how alike they are, and labels with mistakes."""

import csv
import io
import unicodedata
import zlib
from collections import Counter
from functools import lru_cache

import numpy as np

from repro.data import assets

PANPHON = "0.22.2"
Words = dict[str, list[str]]  # word -> phones
# Written in two letters, one phone all the same. What espeak writes in two letters else
# (diphthongs, palatal glides) is two phones that other languages share.
AFFRICATES = frozenset(("ts", "dz", "tʃ", "dʒ", "tɕ", "dʑ", "ʈʂ", "ɖʐ", "pf"))
VOWELS = frozenset("aɐɑɒæəɘɚɛɜɝeɤiɨɪoɔøœɵɶuʉʊʌɯyʏɞᵻ")
# What marks a phone and is none: stress, length, aspiration, palatalisation, stød beside a vowel.
_MARKS = frozenset("ˈˌːˑʰʲʷˠˤˀ͜͡-.'|^;!?_0123456789")


def common(names: list[str]) -> list[str]:
    """Return phones of the common inventory for espeak's names.

    Diacritics, length, stress and tone are dropped, ties untied, diphthongs taken apart; marks of a
    change of language, as `(en)`, are no phones.
    """
    found = []
    for name in names:
        if name.startswith("("):
            continue
        plain = "".join(
            letter for letter in unicodedata.normalize("NFD", name)
            if letter not in _MARKS and unicodedata.category(letter) in ("Ll", "Lo", "Lm")
        )
        plain = plain.replace("ε", "ɛ")  # a Greek letter in espeak's Danish
        if len(plain) > 1:
            plain = plain.replace("ʔ", "")
        while plain:
            size = 2 if plain[:2] in AFFRICATES else 1
            found.append(plain[:size])
            plain = plain[size:]
    return found


@lru_cache(maxsize=1)
def _articulation(version: str) -> dict[str, np.ndarray]:
    """Return segment -> its 24 articulatory features, each -1, 0 or 1."""
    text = assets.read("panphon", "*/ipa_all.csv", version).decode("utf-8")
    rows = csv.reader(io.StringIO(text))
    next(rows)
    value = {"+": 1, "-": -1, "0": 0}
    return {unicodedata.normalize("NFD", row[0]): np.array([value[cell] for cell in row[1:]])
            for row in rows}


def distance(one: str, two: str, version: str = PANPHON) -> float:
    """Return how far two phones are apart: the mean difference of their articulatory features, 0
    to 1; 1 where one of them is not in the table of PanPhon (Mortensen et al. 2016)."""
    table = _articulation(version)
    first, second = (table.get(_segment(phone)) for phone in (one, two))
    if first is None or second is None:
        return 0.0 if one == two else 1.0
    return float(np.abs(first - second).mean() / 2)


def _segment(phone: str) -> str:
    return f"{phone[0]}͡{phone[1]}" if phone in AFFRICATES else phone


def nearest(phone: str, inventory: list[str], version: str = PANPHON) -> str:
    """Return the phone of an inventory that is closest to another one, not itself; the first of
    equals in code point order."""
    others = sorted(set(inventory) - {phone})
    return min(others, key=lambda other: distance(phone, other, version), default=phone)


def weakened(
    words: Words, language: str, *, share: float, seed: int = 0, version: str = PANPHON
) -> Words:
    """Return the pronunciations with the mistakes of a rule-made lexicon, the same for a word
    wherever it stands.

    In a share of the places the closest phone of the language stands for the right one, and the two
    closest vowels are one: the more frequent of them.
    """
    counts = Counter(phone for phones in words.values() for phone in phones)
    inventory = sorted(counts)
    vowels = [phone for phone in inventory if phone in VOWELS]
    pairs = [(distance(a, b, version), a, b) for a in vowels for b in vowels if a < b]
    merged = {}
    if pairs:
        _, one, two = min(pairs)
        kept, lost = sorted((one, two), key=lambda phone: (-counts[phone], phone))
        merged[lost] = kept
    closest = {phone: nearest(phone, inventory, version) for phone in inventory}
    rng = np.random.default_rng([seed, zlib.crc32(language.encode())])
    found = {}
    for word in sorted(words):
        wrong = rng.random(len(words[word])) < share
        phones = [closest[phone] if bad else phone
                  for phone, bad in zip(words[word], wrong, strict=True)]
        found[word] = [merged.get(phone, phone) for phone in phones]
    return found
