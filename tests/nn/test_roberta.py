"""RoBERTa's shape without its weights, and weights of another shape."""

import pytest
import torch
from transformers import RobertaConfig, RobertaModel

from repro.errors import UserError
from repro.nn import published, roberta
from repro.text.tokenizer import VocabInfo

VOCAB = VocabInfo(size=50265, pad=1, unk=3, cls=0, sep=2, mask=50264, special=(0, 1, 2, 3, 50264))


def test_roberta_base_has_the_size_that_is_published() -> None:
    with torch.device("meta"):
        model = roberta.encoder(VOCAB, model="FacebookAI/roberta-base", revision="main")
    # 50,265 + 514 + 1 embeddings of 768 and their LayerNorm; 12 layers of 7,087,872.
    expected = (50265 + 514 + 1) * 768 + 2 * 768 + 12 * 7087872
    assert sum(p.numel() for p in model.parameters()) == expected == 124055040


def test_weights_of_another_shape_are_refused() -> None:
    shape = {"vocab_size": 30, "num_hidden_layers": 1, "num_attention_heads": 2,
             "intermediate_size": 8, "max_position_embeddings": 12, "type_vocab_size": 1}
    narrow, wide = (RobertaModel(RobertaConfig(hidden_size=size, **shape), add_pooling_layer=False)
                    for size in (4, 8))
    before = {name: tensor.clone() for name, tensor in narrow.state_dict().items()}
    published.fill(narrow, {n: t + 1 for n, t in before.items()}, "toy")
    assert all(torch.equal(t, before[n] + 1) for n, t in narrow.state_dict().items())
    with pytest.raises(UserError, match="toy: embeddings.word_embeddings.weight is"):
        published.fill(narrow, wide.state_dict(), "toy")
