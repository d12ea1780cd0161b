"""Floating-point operations of encoders and heads, from their shapes; multiply-add = 2.

Matrix products only, as torch's FlopCounterMode counts them. B sequences, T positions.
"""

from transformers import PretrainedConfig

# The backward pass computes a gradient for the input and one for the weight of each product.
BACKWARD_SHARE = 2


def training(forward: int) -> int:
    """Return forward plus backward operations."""
    return (1 + BACKWARD_SHARE) * forward


def linear(rows: int, inputs: int, outputs: int) -> int:
    """Return the operations of a dense layer on so many rows."""
    return 2 * rows * inputs * outputs


def encoder(config: PretrainedConfig, batch_size: int, length: int) -> int:
    """Return the forward operations of a BERT or ELECTRA encoder on (B, T) tokens.

    Per layer: four D x D maps, two D x F maps, scores and weighted sum over T x T; and ELECTRA's
    map from embeddings to the hidden size where they differ.
    """
    rows, hidden = batch_size * length, config.hidden_size
    layer = 4 * linear(rows, hidden, hidden)
    layer += 2 * linear(rows, hidden, config.intermediate_size)
    layer += 2 * linear(rows, length, hidden)
    embedding = embedding_size(config)
    projection = linear(rows, embedding, hidden) if embedding != hidden else 0
    return config.num_hidden_layers * layer + projection


def masked_lm_head(config: PretrainedConfig, positions: int) -> int:
    """Return the forward operations of the MLM head at so many positions."""
    embedding = embedding_size(config)
    transform = linear(positions, config.hidden_size, embedding)
    return transform + linear(positions, embedding, config.vocab_size)


def discriminator_head(config: PretrainedConfig, positions: int) -> int:
    """Return the forward operations of the replaced-token head at so many positions."""
    hidden = config.hidden_size
    return linear(positions, hidden, hidden) + linear(positions, hidden, 1)


def masked_positions(batch_size: int, length: int, probability: float) -> int:
    """Return how many positions of full rows are chosen: a share of all but [CLS] and [SEP]."""
    return batch_size * max(1, round(probability * (length - 2)))


def embedding_size(config: PretrainedConfig) -> int:
    """Return the width of the token embeddings."""
    return getattr(config, "embedding_size", config.hidden_size)
