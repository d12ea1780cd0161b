"""RoBERTa with its published weights, for papers that start from them.

B sequences, T positions, D hidden size.
"""

from transformers import AutoModel, RobertaConfig, RobertaModel

from repro.nn import published
from repro.text.tokenizer import VocabInfo

POSITION_OFFSET = 2  # positions of RoBERTa count from the padding id + 1


def encoder(
    vocab: VocabInfo,
    /,
    *,
    model: str,
    revision: str,
    hidden: int = 768,
    layers: int = 12,
    heads: int = 12,
    intermediate: int = 3072,
    max_positions: int = 512,
) -> RobertaModel:
    """Return a RobertaModel without pooler with the weights of a model of the hub.

    hidden, layers, heads, intermediate, max_positions: its shape, as the paper gives it; a model of
    another shape is refused. On the meta device only the shape is made, so a dry run needs no
    weights. Raises UserError when the weights are neither in the cache nor reachable, or differ in
    shape or vocabulary. Source: Liu et al. 2019.
    """
    config = RobertaConfig(
        vocab_size=vocab.size,
        pad_token_id=vocab.pad,
        bos_token_id=vocab.cls,
        eos_token_id=vocab.sep,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=intermediate,
        max_position_embeddings=max_positions + POSITION_OFFSET,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        attn_implementation="sdpa",
    )
    made = RobertaModel(config, add_pooling_layer=False)
    if made.device.type == "meta":
        return made
    found = published.fetch(AutoModel, model, revision, add_pooling_layer=False)
    published.fill(made, found.state_dict(), model)
    return made
