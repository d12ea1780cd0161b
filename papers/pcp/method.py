"""Prompt-based continued pre-training: the texts of a task as filled templates, guessed labels in.

A template's [MASK] is replaced by the word that answers for a guessed label; what comes out is
plain text, on which plain masked language modelling goes on. No loss knows where the word stands.
N examples, T positions. Source: Shi and Lipani 2023, section 3 and released code.
"""

from pathlib import Path
from typing import Literal

import numpy as np

from repro.data.clozes import ClozeTask, words_of
from repro.errors import UserError
from repro.train.adapting import Line, plain
from repro.train.streams import Streams


def filled_templates(
    task: ClozeTask,
    rows_N: np.ndarray,
    before: Path,
    streams: Streams,
    /,
    *,
    labels: Literal["guessed", "gold", "random", "removed"],
) -> list[Line]:
    """Return each text in its template, a label's word in place of the mask: section 3, step 1.

    labels: "guessed" those that the stage before left for the training split; "gold" the true ones
    (the fully supervised setting); "random" drawn evenly from the stream "labels" (the lower
    bound); "removed" neither word nor template: task-adaptive pre-training.
    Raises UserError where guesses are asked for and the stage before left none.
    """
    if labels == "removed":
        return plain(task, rows_N, before, streams)
    split, vocab = task.cloze.train, task.vocab
    words_N = task.words_C[_labels(task, before, streams, labels)]
    lines = []
    for row in rows_N:
        line = np.append(words_of(split, row, vocab, (vocab.mask,)), vocab.sep)
        lines.append(np.where(line == vocab.mask, words_N[row], line))
    return lines


def _labels(task: ClozeTask, before: Path, streams: Streams, labels: str) -> np.ndarray:
    """Return a label for each row of the training split, int64."""
    total = len(task.cloze.train)
    if labels == "gold":
        return np.asarray(task.cloze.train.labels)
    if labels == "random":
        return streams.numpy("labels").integers(len(task.words_C), size=total)
    path = before / "pool" / f"{task.name}.npy"
    try:
        found_N = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: no guessed labels; labels = 'guessed' needs a stage before that "
                        "labels the pool") from error
    if len(found_N) != total:
        raise UserError(f"{path}: {len(found_N)} labels for {total} examples")
    return found_N
