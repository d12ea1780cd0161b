"""The survey's own training experiment in small: instruction mixtures of equal make.

Zhao et al. 2023 tune LLaMA-7B on Self-Instruct-52K and on four improvements of it: more complex,
more diverse, balanced in difficulty, more instructions. Here the instructions are about words of
WordNet, so that every answer is known.
"""

import json
import random
import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal

from repro.context import RunContext
from repro.data import wordnet
from repro.data.documents import Document
from repro.errors import UserError
from repro.evaluate.continuations import score
from repro.evaluate.language_models import load
from repro.text import tokenizer as vocabularies

MARKER = "=>"
Item = tuple[str, str]
Set = Literal["seen", "unseen", "two_step"]


class Draw:
    """Random words of one part of WordNet: those for training, or the fifth kept for testing."""

    def __init__(self, seed: str, part: str, version: str) -> None:
        self.random = random.Random(seed)
        self.nouns = _nouns(version, part == "test")

    def words(self, count: int) -> list[str]:
        return [word for word, _ in self.random.sample(self.nouns, count)]

    def noun(self) -> Item:
        """Return a noun and its lexicographer's class (animal, artifact, ...)."""
        return self.random.choice(self.nouns)


def _listed(asked: str, answer: Callable[[list[str]], list[str]], count: int = 3):
    def make(draw: Draw) -> Item:
        words = draw.words(count)
        return asked.format(" ".join(words)), " ".join(answer(words))

    return make


def _class(draw: Draw) -> Item:
    noun, label = draw.noun()
    return f"class of {noun}", label


TYPES: dict[str, Callable[[Draw], Item]] = {
    "repeat": _listed("repeat {}", lambda words: words, 1),
    "first": _listed("first of {}", lambda words: words[:1]),
    "class": _class,
    "twice": _listed("say {} twice", lambda words: words * 2, 1),
    "last": _listed("last of {}", lambda words: words[-1:]),
    "swap": _listed("swap {}", lambda words: words[::-1], 2),
    "reverse": _listed("reverse {}", lambda words: words[::-1]),
    "ends": _listed("ends of {}", lambda words: [words[0], words[-1]]),
    "second": _listed("second of {}", lambda words: words[1:2]),
    "rest": _listed("all but the first of {}", lambda words: words[1:]),
}
SEEN, UNSEEN = ("repeat", "first", "class"), ("second", "rest")
DIVERSE = tuple(name for name in TYPES if name not in UNSEEN)


def one_step(draw: Draw, types: tuple[str, ...]) -> Item:
    """Return an instruction of one of the types and its response."""
    return TYPES[draw.random.choice(types)](draw)


def two_step(draw: Draw, types: tuple[str, ...]) -> Item:
    """Return an instruction that asks for something to be done with another one's response."""
    asked, answer = one_step(draw, types)
    if draw.random.random() < 0.5:
        return f"{asked} , then say it twice", f"{answer} {answer}"
    return f"{asked} , then say done", f"{answer} done"


def mixture(name: str, draw: Draw) -> Item:
    """Return an example of a mixture: base and scaled have the same types."""
    if name == "complex":
        return two_step(draw, SEEN)
    return one_step(draw, DIVERSE if name == "diverse" else SEEN)


def instructions(
    *, examples: int = 1500, scaled: int = 3000, seed: int = 5, version: str = "3.0.0"
) -> Iterator[Document]:
    """Yield the examples of the four mixtures, one document each, in turn; `scaled` has more.

    version: of the asset with WordNet.
    """
    sizes = {"base": examples, "complex": examples, "diverse": examples, "scaled": scaled}
    for index in range(max(sizes.values())):
        for name, size in sizes.items():
            if index < size:
                asked, answer = mixture(name, Draw(f"{seed}/{name}/{index}", "train", version))
                text = f"{asked} {MARKER} {answer}"
                yield Document(f"instruct/{name}/{index}", (text,), name)


def released(*, folder: str, name: str) -> Iterator[Document]:
    """Yield the instructions of one of the paper's files, <folder>/<name>.json, as its released
    code frames them (Alpaca's template). They lie on the authors' drive, which their repository
    names. Raises UserError for a file that is not there."""
    path = Path(folder) / f"{name}.json"
    if not path.is_file():
        raise UserError(f"{path}: missing; get it as Experiments/InstructTuning of "
                        "github.com/RUCAIBox/LLMSurvey says")
    for index, row in enumerate(json.loads(path.read_text(encoding="utf-8"))):
        given = f"\n\n### Input:\n{row['input']}" if row.get("input") else ""
        text = f"### Instruction:\n{row['instruction']}{given}\n\n### Response:\n{row['output']}"
        yield Document(f"instruct/{name}/{index}", (text,), name)


def followed(
    ctx: RunContext, *, which: Set, items: int = 200, seed: int = 5, version: str = "3.0.0"
) -> dict[str, float]:
    """Return exact_match and nll on instructions about words that training never named: of the
    types seen in every mixture, of types unseen in all, or of two steps."""
    tokenizer = vocabularies.load(ctx.input("data"))
    return score(load(ctx), tokenizer, held_out_items(which, items, seed, version))


def held_out_items(which: Set, items: int, seed: int, version: str) -> list[Item]:
    """Return (instruction with the marker, response) pairs, the same for all models."""
    draw = Draw(f"{seed}/{which}", "test", version)
    make = two_step if which == "two_step" else one_step
    types = UNSEEN if which == "unseen" else SEEN
    found = (make(draw, types) for _ in range(items))
    return [(f"{asked} {MARKER}", answer) for asked, answer in found]


@lru_cache(maxsize=4)
def _nouns(version: str, test: bool) -> tuple[Item, ...]:
    """Return nouns of one short word with their class; a fifth, by checksum, is for testing."""
    found: dict[str, str] = {}
    for synset in wordnet.synsets(version):
        word = synset.lemmas[0]
        short = word.isascii() and word.isalpha() and word.islower() and 3 <= len(word) <= 7
        if synset.pos == "n" and short:
            found.setdefault(word, synset.file.partition(".")[2].lower())
    return tuple(item for item in found.items() if (zlib.crc32(item[0].encode()) % 5 == 0) == test)
