"""A task of the data artefact in both of its forms, plain and as a cloze task, side by side.

N examples, C labels. The cloze form of task `x` is the task `x_cloze` of the same artefact, which
`repro.data.tasks.cloze` writes.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from repro.data.shards import SPLITS, Split, TaskArrays, open_task
from repro.data.tasks.cloze import template_of
from repro.errors import UserError
from repro.text import tokenizer as text
from repro.text.tokenizer import VocabInfo

SUFFIX = "_cloze"


@dataclass(frozen=True)
class ClozeTask:
    """words_C int64: the id that answers for each label, in label order. offsets: where the
    template's own tokens stand next to the mask, relative to it, ascending."""

    name: str
    plain: TaskArrays
    cloze: TaskArrays
    words_C: np.ndarray
    offsets: tuple[int, ...]

    @property
    def vocab(self) -> VocabInfo:
        return self.plain.vocab

    def pool(self, generator: np.random.Generator, examples: int | None = None) -> np.ndarray:
        """Return the rows of the training split that go without their labels, sorted, int64: all,
        or the first of a random order, so that a larger pool contains a smaller one."""
        total = len(self.plain.train)
        if examples is not None and not 1 <= examples <= total:
            raise UserError(f"task {self.name!r}: {examples} examples asked for, it has {total}")
        return np.sort(generator.permutation(total)[:examples])


def open_task_pair(artefact: Path, name: str) -> ClozeTask:
    """Return a task in both forms, after checking that they are one task.

    Raises UserError where the cloze form is missing, is no cloze task, has other labels or not one
    [MASK] a row (it was cut away), or where a word is more than one token.
    """
    plain, cloze = open_task(artefact, name), open_task(artefact, name + SUFFIX)
    notes = cloze.info["notes"]
    if "template" not in notes:
        raise UserError(f"task {name + SUFFIX!r}: has no template; write it by tasks.cloze.written")
    for split in SPLITS:
        one, two = getattr(plain, split), getattr(cloze, split)
        if not np.array_equal(one.labels, two.labels):
            raise UserError(f"task {name!r}, {split}: its cloze form has other labels")
        masks_N = (np.asarray(two.input_ids) == cloze.vocab.mask).sum(axis=1)
        if (bad := np.flatnonzero(masks_N != 1)).size:
            raise UserError(f"task {name + SUFFIX!r}, {split}: row {bad[0]} has {masks_N[bad[0]]} "
                            "[MASK]; shorten the texts (max_words) or raise task_length")
    tokenizer = text.load(artefact)
    words_C = np.asarray([single(tokenizer, word, name) for word in notes["words"]])
    template = template_of(notes["template"])
    before, after = (count(tokenizer, part) for part in (template.before, template.after))
    offsets = (*range(-before, 0), *range(1, after + 1))
    return ClozeTask(name, plain, cloze, words_C, offsets)


def single(tokenizer: Tokenizer, word: str, task: str) -> int:
    """Return the id of a word inside running text. Raises UserError if it is several tokens."""
    ids = tokenizer.encode(f" {word}", add_special_tokens=False).ids
    if len(ids) != 1 or ids[0] == text.vocab_info(tokenizer).unk:
        raise UserError(f"task {task!r}: the word {word!r} is {len(ids)} tokens or unknown; a "
                        "[MASK] is answered by one: choose another word, or make the tokenizer "
                        "keep it whole (repro.text.whole_words)")
    return ids[0]


def count(tokenizer: Tokenizer, literal: str) -> int:
    """Return how many tokens a piece of a template is."""
    return len(tokenizer.encode(literal.rstrip(), add_special_tokens=False).ids)


def words_of(split: Split, row: int, vocab: VocabInfo, kept: tuple[int, ...] = ()) -> np.ndarray:
    """Return the ids of a row without its special tokens; kept: special ids that stay."""
    ids_T = np.asarray(split.input_ids[row], dtype=np.int64)
    dropped = [index for index in vocab.special if index not in (vocab.unk, *kept)]
    return ids_T[~np.isin(ids_T, dropped)]
