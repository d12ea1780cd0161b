import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.data.shards import Split
from repro.errors import UserError
from repro.evaluate import batching
from repro.evaluate.examples import examples
from repro.train.streams import Streams


def tagged():
    ids = np.array([[2, 9, 8, 3, 0, 0], [2, 7, 3, 0, 0, 0], [2, 6, 5, 9, 4, 3]])
    labels = np.array(
        [[-100, 1, 0, -100, -100, -100], [-100, 2, -100, -100, -100, -100],
         [-100, 0, -100, 1, 2, -100]]
    )
    return examples(Split(ids, np.zeros_like(ids), labels), np.arange(3), 0, "tagging")


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 90), st.integers(1, 12), st.integers(0, 3))
def test_an_epoch_covers_each_example_once(total, batch_size, epoch):
    lengths = torch.arange(total) % 7 + 2
    rows = batching.epoch_rows(lengths, batch_size, Streams(1), epoch)
    assert torch.cat(rows).sort().values.tolist() == list(range(total))
    assert len(rows) == batching.steps_per_epoch(total, batch_size)
    assert max(map(len, rows)) <= batch_size


def test_epochs_differ_and_repeat_themselves():
    lengths = torch.randint(2, 9, (50,), generator=torch.Generator().manual_seed(0))
    order = batching.TrainingOrder(lengths, 8, Streams(1))
    first = [order(i).tolist() for i in range(14)]
    assert first[:7] != first[7:]
    again = batching.TrainingOrder(lengths, 8, Streams(1))
    assert [again(i).tolist() for i in reversed(range(14))] == first[::-1]


def test_bucketing_saves_padding():
    lengths = torch.randint(3, 60, (256,), generator=torch.Generator().manual_seed(0))
    rows = batching.epoch_rows(lengths, 16, Streams(1), 0)
    padded = sum(int(lengths[r].max()) * len(r) for r in rows)
    assert padded < 1.15 * int(lengths.sum())


def test_a_batch_is_trimmed_and_masked_only_where_it_is_padded():
    data = tagged()
    short = batching.gather(data, torch.tensor([0, 1]))
    assert short.input_ids_BT.tolist() == [[2, 9, 8, 3], [2, 7, 3, 0]]
    assert short.keep_BT.tolist() == [[True] * 4, [True] * 3 + [False]]
    assert batching.gather(data, torch.tensor([2])).keep_BT is None


def test_tagging_places_point_at_the_labelled_pieces():
    data = tagged()
    batch = batching.gather(data, torch.tensor([2, 0]))
    assert batch.input_ids_BT.flatten()[batch.places_U].tolist() == [6, 9, 4, 9, 8]
    assert batch.targets_U.tolist() == [0, 1, 2, 1, 0]
    assert batch.units_U.tolist() == [3, 4, 5, 0, 1]


def test_padding_inside_a_row_counts_as_content():
    ids = np.array([[2, 0, 9, 3, 0]])
    data = examples(Split(ids, ids * 0, np.array([1])), np.arange(1), 0, "classification")
    assert data.lengths_N.tolist() == [4]


def test_an_empty_batch_size_is_refused():
    with pytest.raises(UserError, match="batch_size = 0"):
        batching.steps_per_epoch(5, 0)
