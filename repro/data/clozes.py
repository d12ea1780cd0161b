"""A task of the data artefact in both of its forms, plain and as a cloze task, side by side.

N examples, C labels. The cloze form of task `x` is the task `x_cloze` of the same artefact, which
`repro.data.tasks.cloze` writes.
"""

from dataclasses import dataclass, replace
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

    Where a row was cut inside its template, its text is shortened instead (`mended`). Raises
    UserError where the cloze form is missing, is no cloze task, has other labels or not one [MASK]
    a row, or where a word is more than one token.
    """
    plain, cloze = open_task(artefact, name), open_task(artefact, name + SUFFIX)
    notes = cloze.info["notes"]
    if "template" not in notes:
        raise UserError(f"task {name + SUFFIX!r}: has no template; write it by tasks.cloze.written")
    tokenizer = text.load(artefact)
    words_C = np.asarray([single(tokenizer, word, name) for word in notes["words"]])
    template = template_of(notes["template"])
    before, after = (tokens_of(tokenizer, part) for part in (template.before, template.after))
    tail = np.asarray([*before, cloze.vocab.mask, *after])
    splits = {}
    for split in SPLITS:
        one, two = getattr(plain, split), getattr(cloze, split)
        if not np.array_equal(one.labels, two.labels):
            raise UserError(f"task {name!r}, {split}: its cloze form has other labels")
        ids_NT = mended(np.asarray(two.input_ids), tail, cloze.vocab)
        masks_N = (ids_NT == cloze.vocab.mask).sum(axis=1)
        if (bad := np.flatnonzero(masks_N != 1)).size:
            raise UserError(f"task {name + SUFFIX!r}, {split}: row {bad[0]} has {masks_N[bad[0]]} "
                            "[MASK], expected one")
        splits[split] = replace(two, input_ids=ids_NT)
    offsets = (*range(-len(before), 0), *range(1, len(after) + 1))
    return ClozeTask(name, plain, replace(cloze, **splits), words_C, offsets)


def mended(ids_NT: np.ndarray, tail_S: np.ndarray, vocab: VocabInfo) -> np.ndarray:
    """Return rows in which the mask stands with the template's own tokens beside it.

    A row that was cut ends in [SEP] at the last place. Where that happened inside tail_S (the mask
    and what stands next to it), the last places before it are given to the tail, and the text loses
    as many tokens; of a pair so long, the second text is lost.
    """
    made_NT = ids_NT.copy()
    at = int(np.flatnonzero(tail_S == vocab.mask)[0])
    last, size = ids_NT.shape[1] - 1, len(tail_S)
    for row in np.flatnonzero(ids_NT[:, last] == vocab.sep):
        (places,) = np.nonzero(ids_NT[row] == vocab.mask)
        start = int(places[0]) - at if len(places) == 1 else -1
        if len(places) < 2 and not np.array_equal(ids_NT[row, start : start + size], tail_S):
            made_NT[row, last - size : last] = tail_S
    return made_NT


def single(tokenizer: Tokenizer, word: str, task: str) -> int:
    """Return the id of a word inside running text. Raises UserError if it is several tokens."""
    ids = tokenizer.encode(f" {word}", add_special_tokens=False).ids
    if len(ids) != 1 or ids[0] == text.vocab_info(tokenizer).unk:
        raise UserError(f"task {task!r}: the word {word!r} is {len(ids)} tokens or unknown; a "
                        "[MASK] is answered by one: choose another word, or make the tokenizer "
                        "keep it whole (repro.text.whole_words)")
    return ids[0]


def tokens_of(tokenizer: Tokenizer, literal: str) -> list[int]:
    """Return the ids of a piece of a template as it stands inside running text."""
    return tokenizer.encode(literal.rstrip(), add_special_tokens=False).ids


def words_of(split: Split, row: int, vocab: VocabInfo, kept: tuple[int, ...] = ()) -> np.ndarray:
    """Return the ids of a row without its special tokens; kept: special ids that stay."""
    ids_T = np.asarray(split.input_ids[row], dtype=np.int64)
    dropped = [index for index in vocab.special if index not in (vocab.unk, *kept)]
    return ids_T[~np.isin(ids_T, dropped)]
