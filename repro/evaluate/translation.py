"""Translation of a test set: BLEU and chrF++ by sacrebleu, and how often in the wrong language."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from sacrebleu.metrics import BLEU, CHRF

from repro.context import RunContext
from repro.data.shards import open_corpus
from repro.errors import UserError
from repro.evaluate import seq2seq


def translation(
    ctx: RunContext,
    *,
    corpus: str,
    source: str,
    target: str,
    sentences: int | None = None,
    beams: int = 5,
    length_penalty: float = 1.0,
    ratio: float = 1.2,
    extra: int = 10,
    batch_size: int = 50,
    identify: dict[str, str] | None = None,
    device: Literal["cpu", "cuda"] = "cpu",
) -> dict[str, float]:
    """Return bleu and chrf (chrF++) of the first test sentences, and off_target with `identify`.

    corpus: a parallel set (test.it-en). beams, length_penalty: see `seq2seq.generate`. At most
    ratio x the tokens read + extra are written. identify: language -> corpus of it; a translation
    is off target when these make another language than `target` likelier.
    Raises UserError for a missing model or corpus.
    """
    model = seq2seq.load_model(seq2seq.model_folder(ctx), device)
    written = seq2seq.translate(
        ctx, model, corpus, source, target, count=sentences, beams=beams,
        length_penalty=length_penalty, ratio=ratio, extra=extra, batch_size=batch_size)
    references = seq2seq.raw_texts(ctx, corpus, target, sentences)
    found = scores(seq2seq.decode(ctx, written), references)
    if identify is not None:
        if target not in identify:
            raise UserError(f"translation.identify: has no corpus of {target!r}")
        found["off_target"] = off_target(ctx, written, identify, target)
    return found


def scores(hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Return corpus bleu (13a tokens) and chrf (chrF++: characters to 6, words to 2), in points."""
    return {"bleu": BLEU().corpus_score(hypotheses, [references]).score,
            "chrf": CHRF(word_order=2).corpus_score(hypotheses, [references]).score}


def off_target(
    ctx: RunContext, written: list[list[int]], identify: dict[str, str], target: str
) -> float:
    """Return the share of rows that are likelier in another language than the target, or empty.

    By the counts of pieces in a corpus of each language, one added (naive Bayes).
    """
    names = sorted(identify)
    scores_LV = []
    for name in names:
        corpus = open_corpus(ctx.input("data"), identify[name])
        counts_V = 1.0 + np.bincount(corpus.tokens, minlength=corpus.vocab.size)
        scores_LV.append(np.log(counts_V / counts_V.sum()))
    totals_LN = np.array([[one_V[row].sum() for row in written] for one_V in scores_LV])
    wrong_N = totals_LN.argmax(axis=0) != names.index(target)
    wrong_N |= np.array([not row for row in written])
    return float(wrong_N.mean())
