"""Batches: every window once an epoch, framed, and a function of the step alone."""

import numpy as np
import pytest
import torch

from repro.data.batches import pretraining_batch, units_per_epoch
from repro.errors import UserError
from repro.train.streams import Streams


def test_an_epoch_visits_every_window_once_and_the_next_in_another_order(corpus):
    toy = corpus([50] * 40)
    units = units_per_epoch(toy, sequence_length=10)
    assert units == 40 * 51 // 8
    per_epoch = []
    for epoch in range(2):
        rows = []
        for step in range(epoch * units // 5, (epoch + 1) * units // 5):
            tokens, _ = pretraining_batch(toy, Streams(3), step, batch_size=5, sequence_length=10)
            rows += tokens[:, 1:-1].tolist()
        per_epoch.append(rows)
    joined = np.asarray(toy.tokens[: units * 8]).reshape(units, 8).tolist()
    assert sorted(per_epoch[0]) == sorted(per_epoch[1]) == sorted(joined)
    assert per_epoch[0] != per_epoch[1]


def test_packed_rows_are_framed_and_full(corpus):
    toy = corpus([7] * 30)
    tokens, keep = pretraining_batch(toy, Streams(0), 0, batch_size=4, sequence_length=12)
    assert tokens.shape == keep.shape == (4, 12) and tokens.dtype == torch.int64
    assert (tokens[:, 0] == 2).all() and (tokens[:, -1] == 3).all() and keep.all()


def test_a_step_does_not_depend_on_the_steps_before(corpus):
    toy = corpus([50] * 40)
    walked = [
        pretraining_batch(toy, Streams(1), step, batch_size=8, sequence_length=16)[0]
        for step in range(40)
    ]
    jumped = pretraining_batch(toy, Streams(1), 37, batch_size=8, sequence_length=16)[0]
    assert torch.equal(walked[37], jumped)
    other = pretraining_batch(toy, Streams(2), 37, batch_size=8, sequence_length=16)[0]
    assert not torch.equal(jumped, other)


def test_a_batch_may_span_two_epochs(corpus):
    toy = corpus([7])
    tokens, _ = pretraining_batch(toy, Streams(0), 0, batch_size=6, sequence_length=6)
    assert sorted(tokens[:2, 1].tolist()) == sorted(tokens[2:4, 1].tolist()) == [5, 9]


def test_padded_rows_hold_one_document_each(corpus):
    toy = corpus([2, 9, 4])
    tokens, keep = pretraining_batch(
        toy, Streams(0), 0, batch_size=3, sequence_length=8, packed=False
    )
    rows = {row[1]: row for row in tokens.tolist()}
    assert rows[5] == [2, 5, 6, 3, 0, 0, 0, 0]
    assert rows[7] == [2, 7, 8, 9, 10, 11, 12, 3]  # cut, but closed
    assert rows[16] == [2, 16, 17, 18, 19, 3, 0, 0]
    assert torch.equal(keep, tokens != 0)


@pytest.mark.parametrize("length, packed", [(2, True), (0, False)])
def test_rows_too_short_for_a_token_are_an_error(corpus, length, packed):
    with pytest.raises(UserError, match="must be at least 3"):
        pretraining_batch(
            corpus([5]), Streams(0), 0, batch_size=1, sequence_length=length, packed=packed
        )


def test_a_sequence_longer_than_the_corpus_is_an_error(corpus):
    with pytest.raises(UserError, match=r"sequence_length = 512: corpus 'toy' has only 21 tokens"):
        pretraining_batch(corpus([10, 9]), Streams(0), 0, batch_size=1, sequence_length=512)
