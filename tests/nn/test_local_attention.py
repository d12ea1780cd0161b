"""Heads that begin at an offset do look there, and nothing else changes."""

import pytest
import torch

from repro.errors import UserError
from repro.nn import encoders
from repro.nn.local_attention import matching, sinusoids
from repro.text.tokenizer import VocabInfo

VOCAB = VocabInfo(size=60, pad=0, unk=1, cls=2, sep=3, mask=4, special=(0, 1, 2, 3, 4))


@pytest.mark.parametrize("offset", [-2, -1, 0, 1])
def test_query_and_key_match_best_at_the_offset(offset: int) -> None:
    table = torch.zeros(16, 64)
    table[:, :16] = sinusoids(16, 16)
    query, key = matching(16, 32, 64, offset)
    scores = (table @ query.T) @ (table @ key.T).T
    for position in range(3, 13):
        assert scores[position].argmax() == position + offset


@pytest.mark.parametrize("factory", [encoders.bert, encoders.electra])
def test_a_fresh_encoder_attends_to_its_neighbours(factory) -> None:
    sizes = {"hidden": 64, "layers": 1, "heads": 2, "intermediate": 64, "max_positions": 24,
             "initializer_range": 0.06, "dropout": 0.0, "attention_dropout": 0.0}
    if factory is encoders.electra:
        sizes["embedding"] = 64
    torch.manual_seed(0)
    model = factory(VOCAB, **sizes, local_heads=(-1, 1)).eval()
    tokens = torch.randint(5, 60, (32, 24))
    attention = model.encoder.layer[0].attention.self
    hidden = model.embeddings(tokens)
    query = attention.query(hidden).unflatten(2, (2, 32)).transpose(1, 2)
    key = attention.key(hidden).unflatten(2, (2, 32)).transpose(1, 2)
    weights = (query @ key.transpose(2, 3) / 32**0.5).softmax(-1).mean(0)
    for head, offset in enumerate((-1, 1)):
        found = {o: weights[head].diagonal(o).mean().item() for o in range(-3, 4)}
        assert max(found, key=found.get) == offset


def test_no_local_heads_means_the_usual_initialisation() -> None:
    def build(**more):
        torch.manual_seed(0)
        return encoders.bert(VOCAB, hidden=16, heads=2, layers=1, intermediate=16, **more)

    plain, empty = build().state_dict(), build(local_heads=()).state_dict()
    assert all(torch.equal(plain[name], empty[name]) for name in plain)
    local = build(local_heads=(-1, 1)).state_dict()
    changed = {name for name in plain if not torch.equal(plain[name], local[name])}
    assert {name.rsplit(".", 2)[-2] for name in changed} == {
        "word_embeddings", "position_embeddings", "query", "key"}


def test_embeddings_narrower_than_the_hidden_states_are_refused() -> None:
    with pytest.raises(UserError, match="local_heads"):
        encoders.electra(VOCAB, hidden=32, embedding=16, heads=2, local_heads=(-1,))
