import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, BertModel, ElectraConfig, ElectraModel

from repro.evaluate import classifier, flops

SHAPE = {
    "vocab_size": 50, "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "intermediate_size": 96,
}


@pytest.mark.parametrize(
    "encoder",
    [
        BertModel(BertConfig(**SHAPE), add_pooling_layer=False),
        ElectraModel(ElectraConfig(embedding_size=16, **SHAPE)),
    ],
    ids=["bert", "electra"],
)
@pytest.mark.parametrize("head_name", ["linear", "dense_gelu"])
def test_per_example_cost_agrees_with_torchs_counter(encoder, head_name):
    head = classifier.build_head(head_name, 48, 5, 0.0)
    lengths = [7, 7, 31]
    counted = 0
    for length in lengths:
        # The math kernel, because the counter does not know the CPU's fused attention.
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            hidden = encoder(torch.ones(1, length, dtype=torch.int64)).last_hidden_state
            head(hidden[:, 0])
        counted += counter.get_total_flops()
    ours = flops.per_example(encoder, head, lengths, rows=3)
    assert ours == pytest.approx(counted / 3, rel=0.02)


def test_an_encoder_may_say_its_own_cost():
    class Other(torch.nn.Module):
        def forward_flops(self, batch_size: int, length: int) -> int:
            return 1000 * batch_size * length

    head = classifier.build_head("linear", 8, 2, 0.0)
    lengths = np.array([2, 4])
    assert flops.per_example(Other(), head, lengths, rows=2) == 3000 + 2 * 8 * 2
