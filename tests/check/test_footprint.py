import pytest
import torch
from torch import nn

from repro.check.footprint import GpuLike, Live, _working, measure
from repro.data.batches import TokenRows
from repro.losses.masked_lm import MaskedLM
from repro.nn import encoders
from repro.text.tokenizer import VocabInfo
from repro.train import optimizers
from repro.train.streams import Streams

VOCAB = VocabInfo(200, pad=0, unk=1, cls=2, sep=3, mask=4, special=(0, 1, 2, 3, 4))
SHAPE = {"batch_size": 4, "sequence_length": 32}


def encoder(vocab, dropout=0.0, layers=2):
    return encoders.bert(vocab, hidden=32, layers=layers, heads=4, intermediate=64,
                         max_positions=32, dropout=dropout, attention_dropout=dropout)


def adamw(model):
    return optimizers.adamw(model, lr=1e-3)


def size(bf16=False, dropout=0.0, layers=2, **shape):
    objective = MaskedLM(encoder=lambda vocab: encoder(vocab, dropout, layers))
    return measure(objective, adamw, rows(**shape), VOCAB, bf16=bf16)[0]


def rows(**shape):
    return TokenRows(corpus="text", **{**SHAPE, **shape})


def test_memory_is_counted_while_a_tensor_lives_and_only_on_its_device():
    with Live("meta") as live:
        one = torch.empty(1000, device="meta")
        two = one + 1
        three = two.view(10, 100)
        assert live.now == live.peak == 8000
        del one
        assert live.now == 4000
        del two
        assert live.now == 4000, "the view keeps the storage"
        del three
        torch.empty(10**6)
    assert (live.now, live.peak) == (0, 8000)


def test_what_autograd_keeps_stays_counted_until_it_is_used():
    with Live("meta") as live:
        x = torch.empty(1000, device="meta", requires_grad=True)
        loss = x.exp().sin().sum()
        # x, its exponential (kept by both) and the number; the sine is gone again.
        assert (live.now, live.peak) == (8004, 12004)
        loss.backward()
        assert live.now == 8004, "x, its gradient, the number"


def test_the_meta_device_needs_what_the_cpu_needs():
    objective = MaskedLM(encoder=encoder)
    model = objective.build(VOCAB, Streams(0)).train()
    plain = torch.overrides.BaseTorchFunctionMode()
    real = _working(objective, model, rows().example(VOCAB), plain)
    # Counted on the CPU, tokens, masks and random numbers are in it, too.
    assert size().working == pytest.approx(real, rel=0.05)


def test_parameters_and_state_are_those_of_the_real_model():
    real = encoder(VOCAB)
    found = size()
    assert found.exported == sum(p.numel() for p in real.parameters())
    assert found.weights == 4 * found.trained
    assert found.optimizer == pytest.approx(2 * found.weights, rel=0.01)


def test_memory_is_linear_in_rows_and_in_layers():
    rows = [size(batch_size=b).working for b in (8, 16, 24)]
    assert rows[2] - rows[1] == pytest.approx(rows[1] - rows[0], rel=0.05)
    layers = [size(layers=n, batch_size=64).working for n in (1, 2, 3)]
    assert layers[2] - layers[1] == pytest.approx(layers[1] - layers[0], rel=0.05)


def test_half_precision_needs_less_but_more_than_half():
    full, half = size(batch_size=64).working, size(batch_size=64, bf16=True).working
    assert full / 2 < half < full


def test_dropout_keeps_one_byte_an_element():
    without, with_dropout = size(batch_size=64).working, size(batch_size=64, dropout=0.1).working
    # Two layers drop after attention and after the feed-forward part, the embeddings once.
    masks = 5 * 64 * 32 * 32
    assert with_dropout - without >= masks
    assert with_dropout - without <= 6 * masks


def test_attention_keeps_no_square_matrix():
    query = torch.empty(2, 4, 512, 16, device="meta", requires_grad=True)
    with GpuLike(False), Live("meta") as live:
        nn.functional.scaled_dot_product_attention(query, query, query, dropout_p=0.1)
    assert live.peak < 2 * 4 * 512 * 512
