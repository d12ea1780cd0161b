"""What measures of an encoder-decoder share: its model, its test sentences, and generation.

B rows, S positions read, T positions written.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForSeq2SeqLM, PreTrainedModel

from repro.context import RunContext
from repro.data.seq2seq import END, closed, limited, open_side, padded, sentence
from repro.data.shards import Corpus, check
from repro.errors import UserError
from repro.text import tokenizer as vocabularies
from repro.text.languages import tag_ids
from repro.train import determinism


def model_folder(ctx: RunContext) -> Path:
    """Return the model folder of the one stage that is measured, the data apart."""
    stages = [stage for stage in ctx.inputs if stage != "data"]
    if len(stages) != 1:
        raise UserError(f"{ctx.stage} measures {stages or 'no stage'}: expected one")
    return ctx.input(stages[0]) / "model"


def load_model(folder: Path, device: str) -> PreTrainedModel:
    """Return the encoder-decoder of a folder, ready to measure. Raises UserError."""
    try:
        model = AutoModelForSeq2SeqLM.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: no readable model; run the stage before again") from error
    return model.eval().to(determinism.device(device))


def sentences(
    ctx: RunContext, corpus: str, language: str, count: int | None
) -> tuple[Corpus, list[np.ndarray]]:
    """Return (corpus, the ids of its first sentences), without ends. Raises UserError."""
    side = open_side(ctx.input("data"), corpus, language)
    return side, [sentence(side, index) for index in range(limited(side, count))]


def raw_texts(ctx: RunContext, corpus: str, language: str, count: int | None) -> list[str]:
    """Return the sentences of a test set as they were before any tokenisation."""
    name = f"texts/{corpus}.{language}.txt"
    check(ctx.input("data"), name)
    return (ctx.input("data") / name).read_text(encoding="utf-8").split("\n")[:-1][:count]


def by_length(rows: list[np.ndarray], batch_size: int) -> Iterator[list[int]]:
    """Yield batches of row numbers, shortest rows first: little padding."""
    order = sorted(range(len(rows)), key=lambda index: (len(rows[index]), index))
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


@torch.inference_mode()
def generate(
    model: PreTrainedModel,
    inputs_BS: torch.Tensor,
    start: int,
    *,
    beams: int,
    longest: int,
    length_penalty: float = 1.0,
) -> list[list[int]]:
    """Return what the model writes for each row, without the start and from [SEP] on.

    inputs_BS int64, padded. start: id of the language to write in, with which the decoder begins.
    beams: 1 is greedy. longest: tokens written at most, [SEP] included. A hypothesis is ranked by
    its log-probability over its length to the power length_penalty.
    """
    config = model.config
    found = model.generate(
        input_ids=inputs_BS.to(model.device),
        attention_mask=(inputs_BS != config.pad_token_id).long().to(model.device),
        decoder_start_token_id=start,
        num_beams=beams,
        do_sample=False,
        max_new_tokens=longest,
        length_penalty=length_penalty,
        early_stopping=beams > 1,
    )
    return [row[1:][: _end(row[1:], config.eos_token_id)] for row in found.tolist()]


def translate(
    ctx: RunContext,
    model: PreTrainedModel,
    corpus: str,
    source: str,
    target: str,
    *,
    count: int | None,
    beams: int,
    length_penalty: float,
    ratio: float,
    extra: int,
    batch_size: int,
) -> list[list[int]]:
    """Return the ids written for each test sentence: at most ratio x the tokens read + extra.

    Sentences are read whole, up to the model's positions. Raises UserError for a missing corpus.
    """
    side, rows = sentences(ctx, corpus, source, count)
    ids = tag_ids(ctx.input("data"), (source, target))
    most = model.config.max_position_embeddings
    written: list[list[int]] = [[]] * len(rows)
    for batch in by_length(rows, batch_size):
        inputs_BS = padded(
            [closed(rows[index], ids[source], side.vocab, most) for index in batch], side.vocab)
        longest = min(int(ratio * inputs_BS.shape[1] + extra), most - END)
        outputs = generate(model, inputs_BS, ids[target], beams=beams, longest=longest,
                           length_penalty=length_penalty)
        for index, output in zip(batch, outputs, strict=True):
            written[index] = output
        ctx.count(tokens=inputs_BS.numel() + sum(map(len, outputs)))
    return written


def decode(ctx: RunContext, rows: list[list[int]]) -> list[str]:
    """Return the text of rows of ids, special tokens and tags left out."""
    tokenizer = vocabularies.load(ctx.input("data"))
    return [tokenizer.decode(row, skip_special_tokens=True).strip() for row in rows]


def _end(row: list[int], stop: int) -> int:
    return row.index(stop) if stop in row else len(row)
